//! Clients that ask over and over, as light as they can be: they share the cores with the
//! server under test.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Error;

const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_millis(200);
const MEASURED: Duration = Duration::from_millis(1_000);

/// A page of a server.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) server: SocketAddr,
    pub(super) host: String,
    pub(super) path: &'static str,
}

impl Page {
    /// Requests a second over [`CONNECTIONS`] connections that stay open. Each answer is
    /// read whole and has `length` bytes.
    pub(super) fn rate(&self, length: usize) -> Result<f64, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let begin = Instant::now() + WARM_UP;
            let mut clients = JoinSet::new();
            for _ in 0..CONNECTIONS {
                clients.spawn(ask(self.clone(), length, begin));
            }
            let mut answers = 0;
            while let Some(client) = clients.join_next().await {
                answers += client?.map_err(|error| format!("{}: {error}", self.path))?;
            }
            Ok(f64::from(answers) / MEASURED.as_secs_f64())
        })
    }
}

/// Counts the answers from `begin` on.
async fn ask(page: Page, length: usize, begin: Instant) -> Result<u32, String> {
    let mut connection = Connection::open(&page).await?;
    let mut answers = 0;
    loop {
        let answer = connection.ask().await?;
        if answer.status() != "200" || answer.body.len() != length {
            return Err(format!("{} bytes after {}", answer.body.len(), answer.head));
        }
        let now = Instant::now();
        if now >= begin + MEASURED {
            return Ok(answers);
        }
        answers += u32::from(now >= begin);
    }
}

/// One that stays open.
pub(super) struct Connection {
    stream: TcpStream,
    request: String,
    buffer: Vec<u8>,
}

pub(super) struct Answer<'a> {
    pub(super) head: &'a str,
    pub(super) body: &'a [u8],
}

impl Connection {
    pub(super) async fn open(page: &Page) -> Result<Self, String> {
        let stream = TcpStream::connect(page.server)
            .await
            .map_err(|error| error.to_string())?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let Page { host, path, .. } = page;
        Ok(Self {
            stream,
            request: format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            buffer: Vec::with_capacity(256 * 1024),
        })
    }

    /// Sends the request, and reads the answer to its last byte.
    pub(super) async fn ask(&mut self) -> Result<Answer<'_>, String> {
        let lost = |error: std::io::Error| error.to_string();
        self.stream
            .write_all(self.request.as_bytes())
            .await
            .map_err(lost)?;
        self.buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|(_, end)| self.buffer.len() < end) {
            if self.stream.read_buf(&mut self.buffer).await.map_err(lost)? == 0 {
                return Err(format!("closed after {} bytes", self.buffer.len()));
            }
            if whole.is_none() {
                whole = measure(&self.buffer)?;
            }
        }
        let (head, body) = self.buffer.split_at(whole.map_or(0, |(head, _)| head));
        let head = str::from_utf8(head).map_err(|error| error.to_string())?;
        Ok(Answer { head, body })
    }
}

/// Where an answer's head ends, and where all of it, once the head is there.
fn measure(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = str::from_utf8(&bytes[..head]).map_err(|error| error.to_string())?;
    let length = header(text, "content-length").and_then(|value| value.parse::<usize>().ok());
    let length = length.ok_or_else(|| format!("an answer without a length: {text}"))?;
    Ok(Some((head + 4, head + 4 + length)))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Answer<'_> {
    pub(super) fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }
}
