use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use deployr_core::executor::Endpoint;
use deployr_core::ingress::{Ingress, Route};
use deployr_core::model::Turn;
use deployr_core::value::Slug;
use deployr_exec::ingress::CaddyIngress;
use deployr_testkit::caddy::Caddy;

pub(crate) const HOST: &str = "shop.localhost";

pub(crate) fn ingress(caddy: &Caddy) -> CaddyIngress {
    CaddyIngress::new(caddy.admin().parse().unwrap())
        .listen(caddy.listen())
        .without_tls()
}

pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub(crate) fn a_route(name: &str, endpoint: Endpoint, turn: i64) -> Route {
    Route {
        slug: slug(name),
        release: turn,
        endpoint,
        domains: Vec::new(),
        turn: Turn::new(turn, 1),
    }
}

pub(crate) async fn route(ingress: &CaddyIngress, endpoint: Endpoint, turn: i64) {
    ingress
        .route(a_route("shop", endpoint, turn))
        .await
        .unwrap();
}

pub(crate) fn folder(path: &Path, single_page: bool) -> Endpoint {
    Endpoint::Folder {
        path: path.to_owned(),
        single_page,
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(n, value)| n.eq_ignore_ascii_case(name).then_some(value))
    }
}

pub(crate) fn get(address: SocketAddr, host: &str, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n"))
}

/// Sends a request line with headers and reads to the end.
pub(crate) fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(stream, "{request}connection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
