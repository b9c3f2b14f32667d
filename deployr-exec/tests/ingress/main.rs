//! The builtin ingress, over real sockets.
#![cfg(feature = "builtin-ingress")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // its helpers are tests too

mod files;
mod proxy;
mod support;
mod switch;

use std::time::Duration;

use deployr_core::error::StepError;
use deployr_core::ingress::Ingress;
use deployr_core::value::DomainName;
use deployr_exec::ingress::BuiltinIngress;
use serde_json::json;

use support::{LOCAL, app, get, ingress, raw, route, slug, text};

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = ingress().await;
    let fault = BuiltinIngress::bind(first.local_addr())
        .await
        .err()
        .expect("no fault");
    assert!(!fault.retryable);
    let port = first.local_addr().port();
    assert!(
        fault
            .reason
            .starts_with(&format!("port {port} is in use; stop")),
        "{fault}"
    );
}

#[tokio::test]
async fn unknown_hosts_learn_nothing() {
    let ingress = ingress().await;
    let app = app(|_| async { text("secret") }).await;
    route(&ingress, 1, app.endpoint(), 1).await;
    for host in [
        "other.localhost",
        "a.shop.localhost",
        "localhost",
        "127.0.0.1",
        "example.com",
    ] {
        let answer = get(&ingress, host, "/").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (404, "no such site\n"),
            "{host}"
        );
    }
}

#[tokio::test]
async fn hosts_are_read_without_case_and_port() {
    let ingress = ingress().await;
    let app = app(|_| async { text("ok") }).await;
    route(&ingress, 7, app.endpoint(), 1).await;
    for host in [
        "shop.localhost",
        "SHOP.LOCALHOST",
        "shop.localhost:1234",
        "Shop.localhost.:80",
    ] {
        let answer = get(&ingress, host, "/").await;
        assert_eq!(
            (answer.status, answer.release(), answer.body.as_str()),
            (200, 7, "ok"),
            "{host}"
        );
    }
    let absolute = raw(
        &ingress,
        "GET http://shop.localhost/ HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(absolute.status, 200);
}

#[tokio::test]
async fn bad_hosts_are_refused() {
    let ingress = ingress().await;
    for host in [
        "",
        "host: \r\n",
        "host: a b\r\n",
        "host: u@shop.localhost\r\n",
        "host: a\r\nhost: b\r\n",
    ] {
        let answer = raw(
            &ingress,
            &format!("GET / HTTP/1.1\r\n{host}connection: close\r\n\r\n"),
        )
        .await;
        assert_eq!(answer.status, 400, "{host:?}");
    }
    let tunnel = raw(
        &ingress,
        "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(tunnel.status, 405);
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let ingress = ingress().await;
    let answer = get(
        &ingress,
        "shop.localhost",
        &format!("/{}", "x".repeat(100_000)),
    )
    .await;
    assert!(matches!(answer.status, 414 | 431), "{}", answer.status);
}

#[tokio::test]
async fn health_is_told_to_hosts_that_are_no_projects() {
    let ingress = ingress()
        .await
        .with_health(|| Ok(json!({ "status": "ok" })));
    let answer = get(&ingress, "localhost", "/healthz").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"status":"ok"}"#)
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        get(&ingress, "gone.localhost", "/healthz").await.status,
        404
    );
    let app = app(|_| async { text("the app's own") }).await;
    route(&ingress, 1, app.endpoint(), 1).await;
    assert_eq!(
        get(&ingress, "shop.localhost", "/healthz").await.body,
        "the app's own"
    );
}

#[tokio::test]
async fn health_that_is_not_well_has_a_status_that_monitors_know() {
    let ingress = ingress()
        .await
        .with_health(|| Err(json!({ "status": "store unavailable" })));
    let answer = get(&ingress, "localhost", "/healthz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, r#"{"status":"store unavailable"}"#);
}

#[tokio::test]
async fn routes_are_kept_in_order_and_lower_turns_refused() {
    let ingress = ingress()
        .await
        .domain(&DomainName::parse("Example.ORG").unwrap());
    let app = app(|_| async { text("ok") }).await;
    let port = ingress.local_addr().port();
    assert_eq!(
        ingress.url(&slug()),
        Some(format!("http://shop.example.org:{port}"))
    );
    route(&ingress, 3, app.endpoint(), 5).await;
    route(&ingress, 3, app.endpoint(), 5).await;
    let lower = support::a_route(2, app.endpoint(), 4);
    match ingress.route(lower).await {
        Err(StepError::Fault(fault)) => assert!(!fault.retryable, "{fault}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        ingress.routes().await.unwrap(),
        [support::a_route(3, app.endpoint(), 5)]
    );
    assert_eq!(get(&ingress, "shop.example.org", "/").await.release(), 3);
    ingress.remove(&slug()).await.unwrap();
    ingress.remove(&slug()).await.unwrap();
    assert_eq!(ingress.routes().await.unwrap(), []);
    assert_eq!(get(&ingress, "shop.example.org", "/").await.status, 404);
}

#[tokio::test]
async fn shutdown_waits_and_then_cuts() {
    for (grace, whole) in [
        (Duration::from_secs(5), true),
        (Duration::from_millis(50), false),
    ] {
        let ingress = ingress().await;
        let app = app(|_| async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            text("late")
        })
        .await;
        route(&ingress, 1, app.endpoint(), 1).await;
        let address = ingress.local_addr();
        let slow = tokio::spawn(support::exchange(
            address,
            support::get_request("shop.localhost", "/"),
        ));
        app.reached(1).await;
        ingress.shutdown(grace).await;
        let answer = slow.await.unwrap();
        assert_eq!(answer.ends_with("late"), whole, "{answer}");
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        drop(BuiltinIngress::bind(LOCAL).await.unwrap());
    }
}
