//! A Caddy that is away, slow or restarted, and apps that are.

use std::time::{Duration, Instant};

use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::ingress::Ingress;
use deployr_core::testing::ingress::HttpServer;
use deployr_exec::ingress::{AdminAddress, CaddyIngress};
use deployr_testkit::caddy::Caddy;
use deployr_testkit::free_port;

use super::support::{HOST, a_route, get, ingress, route, slug};

fn quick(text: &str) -> HttpServer {
    HttpServer::start(text, Duration::ZERO)
}

fn fault<T: std::fmt::Debug>(answer: StepResult<T>) -> Fault {
    match answer {
        Err(StepError::Fault(fault)) => fault,
        other => panic!("must be a fault, not {other:?}"),
    }
}

async fn assert_all_say(ingress: &CaddyIngress, one: &HttpServer, what: &str) {
    let shop = slug("shop");
    let faults = [
        fault(ingress.route(a_route("shop", one.endpoint(), 9)).await),
        fault(ingress.drain(&shop, Duration::from_secs(9)).await),
        fault(ingress.remove(&shop).await),
        fault(ingress.routes().await),
        ingress.check().await.unwrap_err(),
    ];
    for fault in faults {
        let fits = fault.retryable && fault.reason.contains(what);
        assert!(
            fits && fault.reason.contains("start Caddy, or"),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_caddy_that_is_away_or_slow_is_named_with_what_to_do() {
    let one = quick("one");
    let nobody = format!("127.0.0.1:{}", free_port());
    let away = CaddyIngress::new(nobody.parse().unwrap());
    assert_all_say(
        &away,
        &one,
        &format!("{nobody} does not answer: Connection refused"),
    )
    .await;
    let away = CaddyIngress::new("unix//nonexistent/caddy.sock".parse().unwrap());
    assert_all_say(&away, &one, "No such file").await;

    let caddy = Caddy::start();
    let slow = ingress(&caddy).patience(Duration::from_millis(200));
    slow.check().await.unwrap();
    caddy.freeze();
    let began = Instant::now();
    assert_all_say(&slow, &one, "nothing came for 0.2 s").await;
    assert!(began.elapsed() < Duration::from_secs(10));
    caddy.thaw();
    route(&ingress(&caddy), one.endpoint(), 1).await;
    assert_eq!(get(caddy.listen(), HOST, "/").body, "one");
}

#[tokio::test]
async fn what_is_not_caddy_and_what_caddy_refuses_is_told() {
    let other = HttpServer::start("hello", Duration::ZERO);
    let address: AdminAddress = other.address().to_string().parse().unwrap();
    let one = quick("one");
    let fault_of = fault(
        CaddyIngress::new(address)
            .route(a_route("shop", one.endpoint(), 1))
            .await,
    );
    assert!(fault_of.reason.contains("expected value"), "{fault_of:?}");

    // A port that somebody else has.
    let caddy = Caddy::start();
    let taken = ingress(&caddy).listen(other.address());
    let fault = fault(taken.route(a_route("shop", one.endpoint(), 1)).await);
    assert!(
        !fault.retryable && fault.reason.contains("address already in use"),
        "{fault:?}"
    );
}

#[tokio::test]
async fn routes_survive_a_restart_of_caddy_or_can_be_made_again() {
    let mut caddy = Caddy::start();
    let ingress = ingress(&caddy);
    let (one, two) = (quick("one"), quick("two"));
    route(&ingress, one.endpoint(), 3).await;
    caddy.crash();
    caddy.up(true);
    assert_eq!(get(caddy.listen(), HOST, "/").body, "one");
    assert_eq!(
        ingress.routes().await.unwrap(),
        [a_route("shop", one.endpoint(), 3)]
    );
    assert!(!fault(ingress.route(a_route("shop", two.endpoint(), 2)).await).retryable);

    caddy.crash();
    caddy.up(false);
    assert_eq!(ingress.routes().await.unwrap(), []);
    assert_eq!(
        ingress
            .drain(&slug("shop"), Duration::from_secs(9))
            .await
            .unwrap(),
        0
    );
    ingress.remove(&slug("shop")).await.unwrap();
    route(&ingress, two.endpoint(), 3).await;
    assert_eq!(get(caddy.listen(), HOST, "/").body, "two");
}

#[tokio::test]
async fn an_app_that_is_away_is_waited_for_and_then_named() {
    let caddy = Caddy::start();
    let ingress = ingress(&caddy);
    let nobody = ([127, 0, 0, 1], free_port()).into();
    let endpoint = deployr_core::executor::Endpoint::Http { address: nobody };
    route(&ingress, endpoint, 1).await;
    let at = caddy.listen();
    let visit = tokio::task::spawn_blocking(move || get(at, HOST, "/"));
    let answer = visit.await.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (502, "502 Bad Gateway\n")
    );
    assert_eq!(answer.header("x-deployr-release"), Some("1"));
}
