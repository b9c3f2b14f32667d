//! A Caddy that others use too.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use deployr_core::error::StepError;
use deployr_core::ingress::Ingress;
use deployr_core::model::Turn;
use deployr_core::testing::ingress::HttpServer;
use deployr_core::value::DomainName;
use deployr_testkit::caddy::Caddy;
use serde_json::Value;
use tokio::task::JoinSet;

use super::support::{HOST, a_route, get, ingress, route, slug};

const OTHERS: &str = r#"{"http":{"servers":{"srv0":{"listen":["LISTEN"],"automatic_https":{"disable":true},
    "routes":[{"@id":"theirs","handle":[{"handler":"static_response","body":"theirs"}]}]}}}}"#;

fn quick(text: &str) -> HttpServer {
    HttpServer::start(text, Duration::ZERO)
}

/// What Caddy's admin API says of a path.
fn config(caddy: &Caddy, path: &str) -> Value {
    let ask = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", caddy.admin());
    let mut answer = String::new();
    match caddy.admin().strip_prefix("unix/") {
        Some(path) => {
            let mut stream = UnixStream::connect(path).unwrap();
            stream
                .write_all(ask.replace(caddy.admin(), "").as_bytes())
                .unwrap();
            stream.read_to_string(&mut answer).unwrap();
        }
        None => {
            let mut stream = std::net::TcpStream::connect(caddy.admin()).unwrap();
            stream.write_all(ask.as_bytes()).unwrap();
            stream.read_to_string(&mut answer).unwrap();
        }
    }
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn routes_of_others_stay_as_they_are() {
    let caddy = Caddy::start_with(OTHERS);
    let at = caddy.listen();
    let before = config(&caddy, "/config/apps/http/servers");
    let ours = ingress(&caddy).server("srv0");
    // Another engine on the same Caddy, with a project of the same name.
    let domain = DomainName::parse("apps.example.com").unwrap();
    let others = ours.clone().domain(&domain);
    let (one, two) = (quick("one"), quick("two"));
    route(&ours, one.endpoint(), 1).await;
    route(&others, two.endpoint(), 7).await;
    assert_eq!(get(at, HOST, "/").body, "one");
    assert_eq!(get(at, "SHOP.Apps.Example.COM:80", "/").body, "two");
    assert_eq!(
        ours.routes().await.unwrap(),
        [a_route("shop", one.endpoint(), 1)]
    );
    // Theirs answers for all but the names below the domains.
    assert_eq!(get(at, "example.com", "/").body, "theirs");
    for host in ["other.localhost", "other.apps.example.com"] {
        let answer = get(at, host, "/");
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (404, "no such site\n"),
            "{host}"
        );
    }
    ours.remove(&slug("shop")).await.unwrap();
    others.remove(&slug("shop")).await.unwrap();
    let mut after = config(&caddy, "/config/apps/http/servers");
    let routes = after["srv0"]["routes"].as_array_mut().unwrap();
    routes.retain(|route| !route["@id"].as_str().unwrap().starts_with("deployr:"));
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_server_without_routes_gets_some() {
    let caddy = Caddy::start_with(
        r#"{"http":{"servers":{"srv0":{"listen":["LISTEN"],"automatic_https":{"disable":true}}}}}"#,
    );
    let ingress = ingress(&caddy).server("srv0");
    let one = quick("one");
    route(&ingress, one.endpoint(), 1).await;
    assert_eq!(get(caddy.listen(), HOST, "/").body, "one");
    assert_eq!(get(caddy.listen(), "no.localhost", "/").status, 404);
}

/// Two engines make the first route of a new Caddy, while somebody else changes it too.
#[tokio::test(flavor = "multi_thread")]
async fn changes_that_come_at_once_are_all_made() {
    let caddy = Caddy::start();
    let engines: Vec<_> = (0..2)
        .map(|engine: u8| {
            let domain = DomainName::parse(format!("e{engine}.example")).unwrap();
            (engine, ingress(&caddy).domain(&domain))
        })
        .collect();
    let one = quick("one");
    let mut all = JoinSet::new();
    for (_, ingress) in &engines {
        for n in 0..4 {
            let (ingress, route) = (
                ingress.clone(),
                a_route(&format!("p{n}"), one.endpoint(), 1),
            );
            all.spawn(async move { ingress.route(route).await.unwrap() });
        }
    }
    all.join_all().await;
    for (engine, ingress) in &engines {
        assert_eq!(ingress.routes().await.unwrap().len(), 4);
        for n in 0..4 {
            let host = format!("p{n}.e{engine}.example");
            assert_eq!(get(caddy.listen(), &host, "/").body, "one", "{host}");
        }
        let nobody = get(caddy.listen(), &format!("no.e{engine}.example"), "/");
        assert_eq!(nobody.status, 404);
    }
}

#[tokio::test]
async fn the_turn_is_kept_where_another_engine_finds_it() {
    let caddy = Caddy::start();
    let (one, two) = (quick("one"), quick("two"));
    route(&ingress(&caddy), two.endpoint(), 5).await;
    let refused = ingress(&caddy)
        .route(a_route("shop", one.endpoint(), 4))
        .await;
    match refused {
        Err(StepError::Fault(fault)) if !fault.retryable => {
            assert!(
                fault
                    .reason
                    .contains("deployment 5, attempt 1 serves release 5"),
                "{fault}"
            );
        }
        other => panic!("must be refused: {other:?}"),
    }
    assert_eq!(get(caddy.listen(), HOST, "/").body, "two");
}

/// Whoever read before another wrote must not write over it.
#[tokio::test(flavor = "multi_thread")]
async fn of_turns_that_race_the_highest_stays() {
    let caddy = Caddy::start();
    let ingress = ingress(&caddy);
    let servers: Vec<_> = (0..8).map(|n| quick(&n.to_string())).collect();
    for round in 0..5_i64 {
        let mut all = JoinSet::new();
        for (server, n) in servers.iter().zip(0..) {
            let route = a_route("shop", server.endpoint(), 10 * round + n);
            let ingress = ingress.clone();
            all.spawn(async move {
                match ingress.route(route).await {
                    Err(StepError::Fault(fault)) if fault.retryable => panic!("{fault}"),
                    _ => {}
                }
            });
        }
        all.join_all().await;
        let highest = a_route("shop", servers[7].endpoint(), 10 * round + 7);
        assert_eq!(ingress.routes().await.unwrap(), [highest]);
        assert_eq!(get(caddy.listen(), HOST, "/").body, "7");
    }
}

/// All that is running goes on; a change would disturb it, of all projects at once.
#[tokio::test]
async fn a_restart_of_the_engine_changes_nothing() {
    let caddy = Caddy::start();
    let (one, two) = (quick("one"), quick("two"));
    route(&ingress(&caddy), one.endpoint(), 4).await;
    route(&ingress(&caddy), two.endpoint(), 5).await;
    let before = config(&caddy, "/config/");
    let mut again = a_route("shop", two.endpoint(), 5);
    again.turn = Turn::after(5);
    ingress(&caddy).route(again.clone()).await.unwrap();
    assert_eq!(config(&caddy, "/config/"), before);
    // It has been started anew, and is elsewhere.
    let moved = quick("moved");
    again.endpoint = moved.endpoint();
    ingress(&caddy).route(again).await.unwrap();
    assert_eq!(get(caddy.listen(), HOST, "/").body, "moved");
}
