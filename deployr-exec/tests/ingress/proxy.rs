use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use deployr_core::executor::Endpoint;
use deployr_core::value::Network;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::support::{
    LOCAL, app, app_at, echo, get, get_request, ingress, open_tunnel, raw, read_until, route,
    streamed, text,
};

const HOST: &str = "shop.localhost";

/// A port on which nothing listens at the moment.
async fn free_address() -> SocketAddr {
    TcpListener::bind(LOCAL)
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

#[tokio::test]
async fn headers_are_passed_on_cleanly() {
    let ingress = ingress().await;
    let app = app(|request| async move {
        let mut lines: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        let mut response = text(format!(
            "{} {}\n{}",
            request.method(),
            request.uri(),
            lines.join("\n")
        ));
        for (name, value) in [
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("x-own", "1"),
            ("x-deployr-release", "999"),
        ] {
            response.headers_mut().append(name, value.parse().unwrap());
        }
        response
    })
    .await;
    route(&ingress, 3, app.endpoint(), 1).await;
    let answer = raw(&ingress, "GET /a%20b?q=1&r HTTP/1.1\r\nhost: Shop.localhost:99\r\nconnection: close, x-gone\r\nx-gone: 1\r\nte: trailers\r\nkeep-alive: 1\r\nproxy-authorization: x\r\nx-forwarded-for: 10.0.0.1\r\nx-forwarded-for: 10.0.0.2\r\nx-forwarded-proto: https\r\nupgrade: x\r\ncookie: a=b\r\n\r\n").await;
    assert_eq!(
        answer.body,
        "GET /a%20b?q=1&r\ncookie=a=b\nhost=Shop.localhost:99\nx-forwarded-for=10.0.0.1, 10.0.0.2, 127.0.0.1\nx-forwarded-host=Shop.localhost:99\nx-forwarded-proto=https"
    );
    assert_eq!(answer.header("x-own"), Some("1"));
    assert_eq!(answer.release(), 3);
    assert_eq!(
        (answer.header("x-hop"), answer.header("keep-alive")),
        (None, None)
    );
    let star = raw(
        &ingress,
        &format!("OPTIONS * HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n"),
    )
    .await;
    assert!(star.body.starts_with("OPTIONS *\n"), "{star:?}");
}

#[tokio::test]
async fn only_a_trusted_proxy_says_who_asked_and_by_which_scheme() {
    let seen = |request: http::Request<_>| async move {
        let of = |name: &str| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let _: &hyper::body::Incoming = request.body();
        text(format!(
            "{:?} {:?}",
            of("x-forwarded-for"),
            of("x-forwarded-proto")
        ))
    };
    let app = app(seen).await;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\nx-forwarded-for: 203.0.113.9\r\n\
         x-forwarded-proto: https\r\n\r\n"
    );
    let network = |text| Network::parse(text).unwrap();
    for (trusted, expected) in [
        (vec![], r#"Some("127.0.0.1") Some("http")"#),
        (
            vec![network("10.0.0.0/8")],
            r#"Some("127.0.0.1") Some("http")"#,
        ),
        (
            vec![network("127.0.0.1")],
            r#"Some("203.0.113.9, 127.0.0.1") Some("https")"#,
        ),
    ] {
        let ingress = ingress().await.trusted_proxies(trusted.clone());
        route(&ingress, 1, app.endpoint(), 1).await;
        assert_eq!(raw(&ingress, &request).await.body, expected, "{trusted:?}");
    }
}

#[tokio::test]
async fn bodies_stream() {
    let ingress = ingress().await;
    let (sender, response) = streamed();
    let response = std::sync::Mutex::new(Some(response));
    let app = app(move |_| {
        let r = response.lock().unwrap().take().unwrap();
        async { r }
    })
    .await;
    route(&ingress, 1, app.endpoint(), 1).await;
    let mut client = TcpStream::connect(ingress.local_addr()).await.unwrap();
    client
        .write_all(get_request(HOST, "/").as_bytes())
        .await
        .unwrap();
    for chunk in ["first", "second"] {
        // Each arrives while the body is not at its end.
        sender.send(chunk).unwrap();
        read_until(&mut client, chunk).await;
    }
    // The client goes, and the app notices.
    drop(client);
    timeout(Duration::from_secs(5), sender.closed())
        .await
        .unwrap();
}

#[tokio::test]
async fn large_uploads_arrive_whole() {
    let ingress = ingress().await;
    let app = app(|request| async move {
        let mut body = request.into_body();
        let mut sum = 0_usize;
        while let Some(frame) = body.frame().await {
            sum += frame.unwrap().into_data().map_or(0, |data| data.len());
        }
        text(sum.to_string())
    })
    .await;
    route(&ingress, 1, app.endpoint(), 1).await;
    let size = 32 * 1024 * 1024;
    let body = "x".repeat(size);
    let known = format!(
        "POST / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n{body}"
    );
    assert_eq!(raw(&ingress, &known).await.body, size.to_string());
    let chunked = format!(
        "POST / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"
    );
    assert_eq!(raw(&ingress, &chunked).await.body, size.to_string());
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_frees_the_app() {
    let ingress = ingress().await;
    let gone = Arc::new(Notify::new());
    struct Tell(Arc<Notify>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let tell = Arc::clone(&gone);
    let app = app(move |_| {
        let tell = Tell(Arc::clone(&tell));
        async move {
            let _tell = tell;
            std::future::pending().await
        }
    })
    .await;
    route(&ingress, 1, app.endpoint(), 1).await;
    let mut client = TcpStream::connect(ingress.local_addr()).await.unwrap();
    client
        .write_all(get_request(HOST, "/").as_bytes())
        .await
        .unwrap();
    app.reached(1).await;
    drop(client);
    timeout(Duration::from_secs(5), gone.notified())
        .await
        .unwrap();
}

#[tokio::test]
async fn upgrades_pass_both_ways() {
    let ingress = ingress().await;
    let app = echo().await;
    route(&ingress, 1, app.endpoint(), 1).await;
    let mut tunnel = open_tunnel(&ingress).await;
    for word in ["ping", "pong"] {
        tunnel.write_all(word.as_bytes()).await.unwrap();
        assert_eq!(read_until(&mut tunnel, word).await, word);
    }
    tunnel.shutdown().await.unwrap();
    assert_eq!(tunnel.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_restart_is_bridged() {
    let ingress = ingress().await;
    let address = free_address().await;
    route(&ingress, 1, Endpoint::Http { address }, 1).await;
    let start = async {
        sleep(Duration::from_millis(700)).await;
        app_at(address, |request| async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            text(body)
        })
        .await
    };
    let post = format!(
        "POST / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody"
    );
    let (_app, got, posted) = tokio::join!(start, get(&ingress, HOST, "/"), raw(&ingress, &post));
    assert_eq!(got.status, 200);
    assert_eq!((posted.status, posted.body.as_str()), (200, "body"));
}

#[tokio::test]
async fn an_app_that_stays_away_is_told() {
    let ingress = ingress().await;
    route(
        &ingress,
        1,
        Endpoint::Http {
            address: free_address().await,
        },
        1,
    )
    .await;
    let begun = Instant::now();
    let answer = get(&ingress, HOST, "/").await;
    assert_eq!((answer.status, answer.release()), (502, 1));
    assert!(
        (4..8).contains(&begun.elapsed().as_secs()),
        "{:?}",
        begun.elapsed()
    );
}

/// Answers on each connection once, and closes it at the next request.
#[tokio::test]
async fn closed_connections_lose_no_request() {
    let ingress = ingress().await;
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let address = listener.local_addr().unwrap();
    let lost = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lost);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                read_until(&mut stream, "\r\n\r\n").await;
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await
                    .unwrap();
                if stream.read(&mut [0; 1]).await.unwrap_or(0) > 0 {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    route(&ingress, 1, Endpoint::Http { address }, 1).await;
    for i in 0..10 {
        assert_eq!(get(&ingress, HOST, "/").await.status, 200, "GET {i}");
        let post = format!(
            "POST / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx"
        );
        assert_eq!(raw(&ingress, &post).await.status, 200, "POST {i}");
    }
    assert!(
        lost.load(Ordering::Relaxed) > 0,
        "no connection was used again"
    );
}

#[tokio::test]
async fn a_silent_app_times_out_but_a_slow_upload_does_not() {
    let ingress = ingress().await.response_timeout(Duration::from_millis(300));
    let app = app(|request| async move {
        if request.method() == "GET" {
            std::future::pending::<()>().await;
        }
        text(request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    route(&ingress, 1, app.endpoint(), 1).await;
    assert_eq!(get(&ingress, HOST, "/").await.status, 504);
    let mut client = TcpStream::connect(ingress.local_addr()).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\ncontent-length: 8\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..8 {
        sleep(Duration::from_millis(100)).await;
        client.write_all(b"x").await.unwrap();
    }
    read_until(&mut client, "xxxxxxxx").await;
}
