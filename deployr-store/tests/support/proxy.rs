//! A proxy before Postgres that loses answers: what was asked for is done, and whoever
//! asked never hears of it; or has them come late.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// A way to the server. It ends with the test's runtime.
pub(crate) struct Proxy {
    at: SocketAddr,
    /// How many answers until one is lost; 0 for none.
    until_loss: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
    /// How many milliseconds later each answer comes.
    delay: Arc<AtomicU64>,
}

impl Proxy {
    /// A proxy before the server on that port of this machine.
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Self {
            at: listener.local_addr().unwrap(),
            until_loss: Arc::default(),
            lost: Arc::default(),
            delay: Arc::default(),
        };
        let (until_loss, lost) = (proxy.until_loss.clone(), proxy.lost.clone());
        let delay = proxy.delay.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.unwrap().into_split();
                tokio::spawn(forward(from_client, to_server));
                tokio::spawn(answer(
                    from_server,
                    to_client,
                    until_loss.clone(),
                    lost.clone(),
                    delay.clone(),
                ));
            }
        });
        proxy
    }

    /// A server's URL, by way of this proxy.
    pub(crate) fn way_to(&self, url: &str, port: u16) -> String {
        let here = format!(":{}/", self.at.port());
        format!(
            "{}?sslmode=disable",
            url.replace(&format!(":{port}/"), &here)
        )
    }

    /// Loses the `n`-th answer from now, counted from 1: of those that end a transaction,
    /// or a statement that is one.
    pub(crate) fn lose(&self, n: usize) {
        self.until_loss.store(n, Ordering::SeqCst);
    }

    /// Has each answer come so many milliseconds later.
    pub(crate) fn delay(&self, millis: u64) {
        self.delay.store(millis, Ordering::SeqCst);
    }

    /// How many answers were lost.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let _ = copy(&mut from, &mut to).await;
}

/// Passes the server's messages on, those of one answer together: each ends with
/// `ReadyForQuery`. <https://www.postgresql.org/docs/current/protocol-message-formats.html>
async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    until_loss: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
    delay: Arc<AtomicU64>,
) {
    let (mut answer, mut done) = (Vec::new(), false);
    loop {
        let mut head = [0; 5];
        if from.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length - 4];
        if from.read_exact(&mut body).await.is_err() {
            return;
        }
        answer.extend_from_slice(&head);
        answer.extend_from_slice(&body);
        match head[0] {
            // `CommandComplete`
            b'C' => done = true,
            b'Z' => {
                // Not in a transaction any more: what was done is committed.
                let counts = done && body == b"I";
                let left = |n: usize| n.checked_sub(1);
                if counts
                    && until_loss.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) == Ok(1)
                {
                    lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                let delay = Duration::from_millis(delay.load(Ordering::SeqCst));
                tokio::time::sleep(delay).await;
                if to.write_all(&answer).await.is_err() {
                    return;
                }
                answer.clear();
                done = false;
            }
            _ => {}
        }
    }
}
