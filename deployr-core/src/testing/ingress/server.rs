use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::executor::Endpoint;

const PATIENCE: Duration = Duration::from_secs(30);

/// A web server that answers every request with one text, on a thread of its own.
/// Ends when it is dropped, with all that it has not answered, as a process that is killed.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    asked: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl HttpServer {
    /// Answers with `text` after `pause`.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    #[must_use]
    pub fn start(text: &str, pause: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("the port");
        let (asked, over) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let open = Arc::new(Mutex::new(Vec::new()));
        let server = Self {
            address,
            open: Arc::clone(&open),
            asked: Arc::clone(&asked),
            over: Arc::clone(&over),
        };
        let text = text.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (text, asked) = (text.clone(), Arc::clone(&asked));
                if let (Ok(stream), Ok(mut open)) = (stream.try_clone(), open.lock()) {
                    open.push(stream);
                }
                std::thread::spawn(move || {
                    // Whoever asks may go away at any time.
                    let _ = answer(&stream, &text, pause, &asked);
                    // What is kept of it would hold it open.
                    stream.shutdown(Shutdown::Both)
                });
            }
        });
        server
    }

    /// Where it can be reached.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same, as the endpoint of a release.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Http {
            address: self.address,
        }
    }

    /// How many requests have arrived.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread from waiting for a connection.
        let _ = TcpStream::connect(self.address);
        for stream in self.open.lock().iter().flat_map(|open| open.iter()) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Reads a message up to the end of its header.
fn read_header(mut stream: &TcpStream) -> std::io::Result<String> {
    let mut header = Vec::new();
    let mut byte = [0];
    while !header.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? > 0 {
        header.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&header).into_owned())
}

fn answer(
    mut stream: &TcpStream,
    text: &str,
    pause: Duration,
    asked: &AtomicUsize,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    if read_header(stream)?.is_empty() {
        return Ok(());
    }
    asked.fetch_add(1, Ordering::SeqCst);
    std::thread::sleep(pause);
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Type: text/plain\r\n\
         Connection: close\r\n\r\n{text}"
    )
}

/// Asks a web server for `/`, with `host` as the name: the body of an answer with
/// status 200. Blocks; for a visit of an async test, use `spawn_blocking`.
///
/// # Errors
///
/// What came instead.
pub fn http_get(address: SocketAddr, host: &str) -> Result<String, String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().map_err(|error| error.to_string())?;
    let (header, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("the answer was cut off")?;
    let status = header.lines().next().unwrap_or_default();
    if status.contains(" 200 ") {
        Ok(body.to_owned())
    } else {
        Err(status.to_owned())
    }
}
