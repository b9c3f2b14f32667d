//! `git http-backend` behind a small HTTP server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    Serve,
    /// Takes requests and never answers.
    Stall,
    /// Answers the list of refs, and then half of the pack.
    StallInPack,
    Status(u16),
    /// Sends everything to this origin.
    Redirect(String),
    /// Another path on this server leads to the repository.
    Renamed,
    Html,
}

struct Shared {
    root: PathBuf,
    address: SocketAddr,
    mode: Mutex<Mode>,
    /// What `Authorization` must say.
    wanted: Mutex<Option<String>>,
    /// The heads of all requests.
    seen: Mutex<Vec<String>>,
}

#[derive(Clone)]
pub struct Server(Arc<Shared>);

impl Server {
    /// Serves all repositories below `root`.
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self(Arc::new(Shared {
            root: root.to_owned(),
            address: listener.local_addr().unwrap(),
            mode: Mutex::new(Mode::Serve),
            wanted: Mutex::new(None),
            seen: Mutex::new(Vec::new()),
        }));
        let this = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let this = this.clone();
                std::thread::spawn(move || this.answer(stream));
            }
        });
        server
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.0.address)
    }

    pub fn url(&self, repo: &str) -> deployr_core::value::GitUrl {
        super::url(&format!("{}/{repo}", self.origin()))
    }

    pub fn mode(&self, mode: Mode) {
        *self.0.mode.lock().unwrap() = mode;
    }

    pub fn want(&self, authorization: &str) {
        *self.0.wanted.lock().unwrap() = Some(authorization.to_owned());
    }

    pub fn seen(&self) -> Vec<String> {
        self.0.seen.lock().unwrap().clone()
    }

    fn answer(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let (mut head, mut line) = (String::new(), String::new());
        while reader.read_line(&mut line).ok()? > 2 {
            head.push_str(&std::mem::take(&mut line));
        }
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            })
        };
        self.0.seen.lock().unwrap().push(head.clone());
        let length = header("content-length")
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;

        let mut words = head.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        // Whoever takes it for a proxy sends the whole address.
        let target = match target.strip_prefix("http://") {
            Some(address) => &address[address.find('/')?..],
            None => target,
        };
        let mode = self.0.mode.lock().unwrap().clone();
        let mut stream = stream;
        match mode {
            Mode::Stall => std::thread::sleep(Duration::from_secs(60)),
            Mode::Status(code) => respond(&mut stream, &format!("{code} x"), "", b""),
            Mode::Redirect(to) => {
                respond(
                    &mut stream,
                    "302 Found",
                    &format!("Location: {to}{target}\r\n"),
                    b"",
                );
            }
            Mode::Html => {
                respond(
                    &mut stream,
                    "200 OK",
                    "Content-Type: text/html\r\n",
                    b"<h1>Hi</h1>",
                );
            }
            Mode::Renamed if target.starts_with("/old/") => {
                let to = target.replacen("/old/", "/", 1);
                respond(
                    &mut stream,
                    "301 Moved",
                    &format!("Location: {to}\r\n"),
                    b"",
                );
            }
            _ if *self.0.wanted.lock().unwrap() != header("authorization")
                && self.0.wanted.lock().unwrap().is_some() =>
            {
                let ask = "WWW-Authenticate: Basic realm=\"x\"\r\n";
                respond(&mut stream, "401 Unauthorized", ask, b"");
            }
            mode => {
                let stall = mode == Mode::StallInPack && method == "POST";
                self.backend(
                    &mut stream,
                    method,
                    target,
                    header("content-type"),
                    &body,
                    stall,
                );
            }
        }
        Some(())
    }

    fn backend(
        &self,
        stream: &mut TcpStream,
        method: &str,
        target: &str,
        kind: Option<String>,
        body: &[u8],
        stall: bool,
    ) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut child = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.0.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", method)
            .env("CONTENT_TYPE", kind.unwrap_or_default())
            .env("CONTENT_LENGTH", body.len().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        let output = child.wait_with_output().unwrap().stdout;
        let end = output
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap_or(output.len());
        let head = String::from_utf8_lossy(&output[..end]).into_owned();
        let body = output.get(end + 4..).unwrap_or_default();
        let status = head
            .lines()
            .find_map(|line| line.strip_prefix("Status: "))
            .unwrap_or("200 OK");
        let others: String = head
            .lines()
            .filter(|line| !line.starts_with("Status"))
            .map(|line| format!("{line}\r\n"))
            .collect();
        if stall {
            let start = format!(
                "HTTP/1.1 200 OK\r\n{others}Content-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(start.as_bytes());
            let _ = stream.write_all(&body[..body.len() / 2]);
            std::thread::sleep(Duration::from_secs(60));
        }
        respond(stream, status, &others, body);
    }
}

fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
}
