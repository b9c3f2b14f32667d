//! A visitor of the site, with as little HTTP as it takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(5);

/// The front page of `host`, as the server at `address` gives it; else what went wrong.
pub(super) async fn page(address: SocketAddr, host: &str) -> Result<String, String> {
    let answer = tokio::time::timeout(PATIENCE, get(address, host)).await;
    let answer = answer
        .map_err(|_| "no answer in time")?
        .map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("half an answer")?;
    match head.split(' ').nth(1) {
        Some("200") if body.trim_end().ends_with("</html>") => Ok(body.to_owned()),
        Some("200") => Err("half a page".into()),
        _ => Err(head.lines().next().unwrap_or_default().to_owned()),
    }
}

async fn get(address: SocketAddr, host: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0: the answer comes in one piece, and ends with the connection.
    stream
        .write_all(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// How many ask at the same time.
const VISITORS: usize = 4;

/// Visitors who ask for the page without a pause, until stopped.
pub(super) struct Visitors {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Visits>>,
}

/// The requests that the visitors have made, and those that failed.
#[derive(Debug, Default)]
pub(super) struct Visits {
    pub(super) made: usize,
    pub(super) failed: Vec<String>,
}

impl Visitors {
    pub(super) fn start(address: SocketAddr, host: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let visitor = |_| tokio::spawn(visit(address, host.to_owned(), stop.clone()));
        let tasks = (0..VISITORS).map(visitor).collect();
        Self { stop, tasks }
    }

    pub(super) async fn stop(self) -> Visits {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Visits::default();
        for task in self.tasks {
            match task.await {
                Ok(visits) => {
                    all.made += visits.made;
                    all.failed.extend(visits.failed);
                }
                Err(error) => all.failed.push(error.to_string()),
            }
        }
        all
    }
}

async fn visit(address: SocketAddr, host: String, stopped: Arc<AtomicBool>) -> Visits {
    let mut visits = Visits::default();
    while !stopped.load(Ordering::Relaxed) {
        visits.made += 1;
        if let Err(error) = page(address, &host).await {
            visits.failed.push(error);
        }
        // Each is a new connection, and a port stays taken for a while.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    visits
}
