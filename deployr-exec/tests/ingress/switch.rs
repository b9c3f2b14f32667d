use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use deployr_core::ingress::Ingress;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::support::{
    App, app, echo, exchange, get, get_request, ingress, open_tunnel, read_until, route, slug,
    streamed, text,
};

const HOST: &str = "shop.localhost";
const LONG: Duration = Duration::from_secs(10);

async fn release(number: usize) -> App {
    app(move |_| async move {
        sleep(Duration::from_millis(2)).await;
        let (sender, response) = streamed();
        let word: &'static str = format!("{number};").leak();
        tokio::spawn(async move {
            for _ in 0..3 {
                let _ = sender.send(word);
                sleep(Duration::from_millis(1)).await;
            }
        });
        response
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn switches_lose_and_mix_no_request() {
    let ingress = Arc::new(ingress().await);
    let mut present = release(1).await;
    route(&ingress, 1, present.endpoint(), 1).await;
    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (done, answered) = (Arc::clone(&done), Arc::clone(&answered));
            let address = ingress.local_addr();
            tokio::spawn(async move {
                // One connection for all: a failure cannot hide behind a new one.
                let stream = TcpStream::connect(address).await.unwrap();
                let (mut sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                while !done.load(Ordering::Relaxed) {
                    sender.ready().await.unwrap();
                    let request = Request::get("/")
                        .header("host", HOST)
                        .body(Empty::<Bytes>::new());
                    let response = sender.send_request(request.unwrap()).await.unwrap();
                    assert_eq!(response.status(), 200);
                    let release = response.headers()["x-deployr-release"]
                        .to_str()
                        .unwrap()
                        .to_owned();
                    let body = response.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(body, format!("{release};").repeat(3), "mixed");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for number in 2..=21 {
        let next = release(number).await;
        sleep(Duration::from_millis(25)).await;
        let turn = i64::try_from(number).unwrap();
        route(&ingress, turn, next.endpoint(), turn).await;
        assert_eq!(ingress.drain(&slug(), LONG).await.unwrap(), 0);
        // Dropping kills the old app together with its connections.
        present = next;
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    drop(present);
    let answered = answered.load(Ordering::Relaxed);
    println!("{answered} requests over 20 switches");
    assert!(answered > 200, "{answered}");
}

#[tokio::test]
async fn drain_waits_for_a_slow_request() {
    let ingress = ingress().await;
    let (old, new) = (
        release_that_takes(500).await,
        app(|_| async { text("new") }).await,
    );
    route(&ingress, 1, old.endpoint(), 1).await;
    let slow = tokio::spawn(exchange(ingress.local_addr(), get_request(HOST, "/")));
    old.reached(1).await;
    route(&ingress, 2, new.endpoint(), 2).await;
    assert_eq!(get(&ingress, HOST, "/").await.body, "new");
    let begun = Instant::now();
    assert_eq!(ingress.drain(&slug(), LONG).await.unwrap(), 0);
    assert!(begun.elapsed() > Duration::from_millis(300) && begun.elapsed() < LONG);
    assert!(slow.await.unwrap().ends_with("old"));
    // Nothing is left to do.
    assert_eq!(ingress.drain(&slug(), LONG).await.unwrap(), 0);
}

async fn release_that_takes(millis: u64) -> App {
    app(move |_| async move {
        sleep(Duration::from_millis(millis)).await;
        text("old")
    })
    .await
}

#[tokio::test]
async fn drain_cuts_what_is_left_and_counts_it() {
    let ingress = ingress().await;
    // One waits for its head, one is in its body, one is a tunnel; each in its own
    // former release.
    let silent = release_that_takes(60_000).await;
    route(&ingress, 1, silent.endpoint(), 1).await;
    let waiting = tokio::spawn(exchange(ingress.local_addr(), get_request(HOST, "/")));
    silent.reached(1).await;

    let (sender, response) = streamed();
    let response = std::sync::Mutex::new(Some(response));
    let halfway = app(move |_| {
        let r = response.lock().unwrap().take().unwrap();
        async { r }
    })
    .await;
    route(&ingress, 2, halfway.endpoint(), 2).await;
    let mut reading = TcpStream::connect(ingress.local_addr()).await.unwrap();
    reading
        .write_all(get_request(HOST, "/").as_bytes())
        .await
        .unwrap();
    sender.send("half").unwrap();
    read_until(&mut reading, "half").await;

    let echo = echo().await;
    route(&ingress, 3, echo.endpoint(), 3).await;
    let mut tunnel = open_tunnel(&ingress).await;

    let new = app(|_| async { text("new") }).await;
    route(&ingress, 4, new.endpoint(), 4).await;
    let begun = Instant::now();
    assert_eq!(
        ingress
            .drain(&slug(), Duration::from_millis(300))
            .await
            .unwrap(),
        3
    );
    assert!(begun.elapsed() >= Duration::from_millis(300));

    let ends = async {
        assert!(waiting.await.unwrap().starts_with("HTTP/1.1 503 "));
        let mut rest = String::new();
        let _ = reading.read_to_string(&mut rest).await;
        assert!(
            !rest.contains("0\r\n\r\n"),
            "a cut body looks whole: {rest:?}"
        );
        assert_eq!(tunnel.read(&mut [0; 8]).await.unwrap_or(0), 0);
        sender.closed().await;
    };
    timeout(Duration::from_secs(5), ends).await.unwrap();
    assert_eq!(ingress.drain(&slug(), LONG).await.unwrap(), 0);
    assert_eq!(get(&ingress, HOST, "/").await.body, "new");
}

#[tokio::test]
async fn a_tunnel_counts_until_it_closes() {
    let ingress = ingress().await;
    let (echo, new) = (echo().await, app(|_| async { text("new") }).await);
    route(&ingress, 1, echo.endpoint(), 1).await;
    let tunnel = open_tunnel(&ingress).await;
    route(&ingress, 2, new.endpoint(), 2).await;
    let slug = slug();
    let close = async {
        sleep(Duration::from_millis(300)).await;
        drop(tunnel);
    };
    let begun = Instant::now();
    let (cut, ()) = tokio::join!(ingress.drain(&slug, LONG), close);
    assert_eq!(cut.unwrap(), 0);
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < LONG);
}

#[tokio::test]
async fn a_release_that_is_routed_again_is_not_drained() {
    let ingress = ingress().await;
    let (one, two) = (
        release_that_takes(400).await,
        app(|_| async { text("two") }).await,
    );
    route(&ingress, 1, one.endpoint(), 1).await;
    let slow = tokio::spawn(exchange(ingress.local_addr(), get_request(HOST, "/")));
    one.reached(1).await;
    route(&ingress, 1, one.endpoint(), 2).await;
    route(&ingress, 2, two.endpoint(), 3).await;
    route(&ingress, 1, one.endpoint(), 4).await;
    assert_eq!(ingress.drain(&slug(), Duration::ZERO).await.unwrap(), 0);
    assert!(slow.await.unwrap().ends_with("old"));
}

#[tokio::test]
async fn a_removed_site_ends_its_requests() {
    let ingress = ingress().await;
    let old = release_that_takes(300).await;
    route(&ingress, 1, old.endpoint(), 1).await;
    let slow = tokio::spawn(exchange(ingress.local_addr(), get_request(HOST, "/")));
    old.reached(1).await;
    ingress.remove(&slug()).await.unwrap();
    assert_eq!(get(&ingress, HOST, "/").await.status, 404);
    assert_eq!(ingress.drain(&slug(), LONG).await.unwrap(), 0);
    assert!(slow.await.unwrap().ends_with("old"));
}

#[tokio::test]
async fn a_request_that_comes_before_its_route_waits_for_it() {
    let ingress = ingress().await.starting();
    let address = ingress.local_addr();
    let early = tokio::spawn(exchange(address, get_request(HOST, "/")));
    let other = tokio::spawn(exchange(address, get_request("other.localhost", "/")));
    // Another connection's answer shows that those two were accepted.
    assert_eq!(get(&ingress, "localhost", "/").await.status, 404);
    let new = release_that_takes(0).await;
    route(&ingress, 1, new.endpoint(), 1).await;
    assert!(early.await.unwrap().starts_with("HTTP/1.1 200"));
    ingress.ready();
    assert!(other.await.unwrap().starts_with("HTTP/1.1 404"));
    ingress.ready();
    assert_eq!(get(&ingress, "other.localhost", "/").await.status, 404);
}
