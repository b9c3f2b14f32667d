use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{HttpServer, IngressHarness};
use crate::error::StepError;
use crate::executor::Endpoint;
use crate::ingress::Route;
use crate::model::Turn;
use crate::testing::suite::check_list;
use crate::value::{CustomDomain, Slug};

type Harness = Arc<IngressHarness>;

check_list! { Harness;
    a_route_takes_requests_to_its_endpoint,
    a_new_route_takes_the_place_of_the_old,
    a_route_of_a_lower_turn_is_refused,
    the_same_route_may_be_made_again,
    each_project_has_its_own_route,
    a_project_is_reached_at_its_domains_too,
    a_removed_project_is_not_served,
    routes_come_in_the_order_of_their_names,
    routes_that_are_made_at_once_are_all_there,
    no_request_is_lost_in_twenty_switches,
    drain_without_requests_is_over_at_once,
    requests_that_had_begun_end_where_they_began,
    drain_leaves_what_does_not_end_in_time,
}

pub(super) fn checks() -> &'static [(&'static str, CheckFn)] {
    CHECKS
}

const LONG: Duration = Duration::from_secs(20);

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn quick(text: &str) -> HttpServer {
    HttpServer::start(text, Duration::ZERO)
}

fn route(name: &str, endpoint: Endpoint, turn: i64) -> Route {
    Route {
        slug: slug(name),
        release: turn,
        endpoint,
        domains: Vec::new(),
        turn: Turn::new(turn, 1),
    }
}

impl IngressHarness {
    async fn route(&self, name: &str, to: &HttpServer, turn: i64) {
        self.ingress
            .route(route(name, to.endpoint(), turn))
            .await
            .unwrap();
    }

    async fn assert_says(&self, name: &str, text: &str) {
        let answer = (self.visit)(slug(name)).await;
        assert_eq!(answer.as_deref(), Ok(text), "the answer of {name}");
    }
}

async fn a_route_takes_requests_to_its_endpoint(h: Harness) {
    let server = quick("one");
    assert!(
        (h.visit)(slug("app")).await.is_err(),
        "there is no route yet"
    );
    h.route("app", &server, 1).await;
    for _ in 0..3 {
        h.assert_says("app", "one").await;
    }
    assert_eq!(
        h.ingress.routes().await.unwrap(),
        [route("app", server.endpoint(), 1)]
    );
}

async fn a_new_route_takes_the_place_of_the_old(h: Harness) {
    let (one, two) = (quick("one"), quick("two"));
    h.route("app", &one, 1).await;
    h.assert_says("app", "one").await;
    h.route("app", &two, 2).await;
    for _ in 0..3 {
        h.assert_says("app", "two").await;
    }
    assert_eq!(
        h.ingress.routes().await.unwrap(),
        [route("app", two.endpoint(), 2)]
    );
}

async fn a_route_of_a_lower_turn_is_refused(h: Harness) {
    let (one, two) = (quick("one"), quick("two"));
    h.route("app", &two, 5).await;
    for turn in [1, 4] {
        match h.ingress.route(route("app", one.endpoint(), turn)).await {
            Err(StepError::Fault(fault)) if !fault.retryable => {}
            answer => panic!("turn {turn} after 5 must be refused for good, not {answer:?}"),
        }
        h.assert_says("app", "two").await;
    }
    assert_eq!(
        h.ingress.routes().await.unwrap(),
        [route("app", two.endpoint(), 5)]
    );
}

async fn the_same_route_may_be_made_again(h: Harness) {
    let (one, moved) = (quick("one"), quick("moved"));
    for _ in 0..2 {
        h.route("app", &one, 3).await;
        h.assert_says("app", "one").await;
    }
    // After a restart, the same release is somewhere else.
    h.route("app", &moved, 3).await;
    h.assert_says("app", "moved").await;
}

async fn each_project_has_its_own_route(h: Harness) {
    let (one, two) = (quick("one"), quick("two"));
    tokio::join!(h.route("app", &one, 9), h.route("app-more", &two, 1));
    h.assert_says("app", "one").await;
    h.assert_says("app-more", "two").await;
    assert!((h.visit)(slug("ap")).await.is_err(), "nobody has that name");
}

async fn a_project_is_reached_at_its_domains_too(h: Harness) {
    let Some(visit) = &h.visit_host else {
        return;
    };
    let (one, two) = (quick("one"), quick("two"));
    let at = |name: &str, to: &HttpServer, turn, domains: &[&str]| Route {
        domains: domains
            .iter()
            .map(|name| CustomDomain::parse(name).unwrap())
            .collect(),
        ..route(name, to.endpoint(), turn)
    };
    let (shop, www) = ("shop.example.com", "www.example.com");
    let first = at("app", &one, 1, &[shop, www]);
    h.ingress.route(first.clone()).await.unwrap();
    h.ingress
        .route(at("other", &two, 1, &["other.example.org"]))
        .await
        .unwrap();
    for (host, text) in [
        (shop, "one"),
        ("WWW.example.COM", "one"),
        ("other.example.org", "two"),
    ] {
        assert_eq!(visit(host.into()).await.as_deref(), Ok(text), "{host}");
    }
    h.assert_says("app", "one").await;
    assert_eq!(h.ingress.routes().await.unwrap()[0], first);
    for stranger in ["example.com", "a.shop.example.com", "shop.example.org"] {
        assert!(
            visit(stranger.into()).await.is_err(),
            "{stranger} is nobody's"
        );
    }
    // One goes to another project.
    h.ingress.route(at("app", &one, 1, &[www])).await.unwrap();
    assert!(visit(shop.into()).await.is_err());
    h.ingress
        .route(at("other", &two, 1, &[shop]))
        .await
        .unwrap();
    for (host, text) in [(shop, "two"), (www, "one")] {
        assert_eq!(visit(host.into()).await.as_deref(), Ok(text), "{host}");
    }
    assert!(visit("other.example.org".into()).await.is_err());
    // The other way round: its new project comes before its old one has let go.
    h.ingress
        .route(at("other", &two, 1, &[shop, www]))
        .await
        .unwrap();
    h.ingress.route(at("app", &one, 1, &[])).await.unwrap();
    assert_eq!(visit(www.into()).await.as_deref(), Ok("two"));
    h.assert_says("app", "one").await;
    h.ingress.remove(&slug("other")).await.unwrap();
    assert!(visit(shop.into()).await.is_err());
}

async fn a_removed_project_is_not_served(h: Harness) {
    let (one, two) = (quick("one"), quick("two"));
    h.route("app", &one, 1).await;
    h.route("other", &two, 1).await;
    for _ in 0..2 {
        h.ingress.remove(&slug("app")).await.unwrap();
    }
    h.ingress.remove(&slug("unknown")).await.unwrap();
    assert!((h.visit)(slug("app")).await.is_err());
    h.assert_says("other", "two").await;
    assert_eq!(
        h.ingress.routes().await.unwrap(),
        [route("other", two.endpoint(), 1)]
    );
    h.route("app", &one, 2).await;
    h.assert_says("app", "one").await;
}

async fn routes_come_in_the_order_of_their_names(h: Harness) {
    let server = quick("one");
    assert!(h.ingress.routes().await.unwrap().is_empty());
    for name in ["mid", "zoo", "abc"] {
        h.route(name, &server, 1).await;
    }
    let routes = h.ingress.routes().await.unwrap();
    let names: Vec<_> = routes.iter().map(|route| route.slug.as_str()).collect();
    assert_eq!(names, ["abc", "mid", "zoo"]);
}

async fn drain_without_requests_is_over_at_once(h: Harness) {
    let (one, two) = (quick("one"), quick("two"));
    let began = Instant::now();
    h.route("app", &one, 1).await;
    assert_eq!(h.ingress.drain(&slug("app"), LONG).await.unwrap(), 0);
    h.assert_says("app", "one").await;
    h.route("app", &two, 2).await;
    for _ in 0..2 {
        assert_eq!(h.ingress.drain(&slug("app"), LONG).await.unwrap(), 0);
    }
    assert_eq!(h.ingress.drain(&slug("unknown"), LONG).await.unwrap(), 0);
    assert!(began.elapsed() < LONG / 2, "nothing was to be waited for");
    h.assert_says("app", "two").await;
}

/// Waits until a server has a request.
async fn reached(server: &HttpServer) {
    let began = Instant::now();
    while server.asked() == 0 {
        assert!(began.elapsed() < LONG, "no request arrived");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn requests_that_had_begun_end_where_they_began(h: Harness) {
    if !h.drains {
        return;
    }
    let slow = HttpServer::start("slow", Duration::from_millis(400));
    let new = quick("new");
    h.route("app", &slow, 1).await;
    let visit = tokio::spawn((h.visit)(slug("app")));
    reached(&slow).await;
    h.route("app", &new, 2).await;
    h.assert_says("app", "new").await;
    assert_eq!(
        h.ingress.drain(&slug("app"), LONG).await.unwrap(),
        0,
        "nothing was cut"
    );
    // It has ended; the visitor may still be reading.
    assert_eq!(visit.await.unwrap().as_deref(), Ok("slow"));
}

async fn drain_leaves_what_does_not_end_in_time(h: Harness) {
    if !h.drains {
        return;
    }
    let stuck = HttpServer::start("stuck", LONG);
    let new = quick("new");
    h.route("app", &stuck, 1).await;
    let visit = tokio::spawn((h.visit)(slug("app")));
    reached(&stuck).await;
    h.route("app", &new, 2).await;
    let began = Instant::now();
    let left = h
        .ingress
        .drain(&slug("app"), Duration::from_millis(200))
        .await
        .unwrap();
    assert_eq!(left, 1);
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "it was given its time"
    );
    if !h.cuts {
        assert!(!visit.is_finished(), "nothing ends it but its release");
        drop(stuck);
    }
    assert!(visit.await.unwrap().is_err(), "the request was cut");
    assert!(began.elapsed() < LONG / 2, "and at once");
    h.assert_says("app", "new").await;
}

async fn routes_that_are_made_at_once_are_all_there(h: Harness) {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let servers = names.map(quick);
    for turn in 1..=2 {
        let routes = names.iter().zip(&servers);
        futures::future::join_all(routes.map(|(name, server)| h.route(name, server, turn))).await;
        for name in names {
            h.assert_says(name, name).await;
        }
        let routes = h.ingress.routes().await.unwrap();
        let expected = names.iter().zip(&servers);
        let expected = expected.map(|(name, server)| route(name, server.endpoint(), turn));
        assert_eq!(routes, expected.collect::<Vec<_>>());
    }
    let slugs = names.map(slug);
    let removed = slugs.iter().map(|slug| h.ingress.remove(slug));
    for removed in futures::future::join_all(removed).await {
        removed.unwrap();
    }
    assert_eq!(h.ingress.routes().await.unwrap(), []);
}

/// Each release is gone as soon as the next one has taken over and it has been drained.
async fn no_request_is_lost_in_twenty_switches(h: Harness) {
    if !h.drains {
        return;
    }
    const SWITCHES: i64 = 20;
    let pause = Duration::from_millis(3);
    let mut present = HttpServer::start("1", pause);
    h.route("app", &present, 1).await;
    let over = Arc::new(AtomicBool::new(false));
    let visitors: Vec<_> = (0..4)
        .map(|_| {
            let (h, over) = (Arc::clone(&h), Arc::clone(&over));
            tokio::spawn(async move {
                let (mut visits, mut before) = (0, 1);
                while !over.load(Ordering::SeqCst) {
                    let answer = (h.visit)(slug("app")).await;
                    let release: i64 = answer.expect("an answer").parse().unwrap();
                    assert!(release >= before, "{release} came after {before}");
                    (visits, before) = (visits + 1, release);
                }
                visits
            })
        })
        .collect();
    for turn in 2..=SWITCHES + 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let next = HttpServer::start(&turn.to_string(), pause);
        h.route("app", &next, turn).await;
        assert_eq!(h.ingress.drain(&slug("app"), LONG).await.unwrap(), 0);
        present = next;
    }
    over.store(true, Ordering::SeqCst);
    let mut visits = 0;
    for visitor in visitors {
        visits += visitor.await.unwrap();
    }
    assert!(visits > SWITCHES, "{visits} visits are no load");
    drop(present);
}
