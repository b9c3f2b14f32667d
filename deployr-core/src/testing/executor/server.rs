//! The test program as a web server, so that a suite of processes needs no other.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::command::Command;

/// What tells a release from a run of the tests: a filter that fits none of them, since
/// the harness of tests takes no arguments of anybody else's.
const ASKED: &str = "deployr-site-server-asked-for";

/// A test that does nothing, unless this program was started by a release of
/// [`Site::in_folder`](crate::testing::executor::Site::in_folder): then it serves
/// that. Stands once in each test program that uses such sites as processes.
///
/// ```
/// deployr_core::site_server!();
/// ```
#[macro_export]
macro_rules! site_server {
    () => {
        #[test]
        fn deployr_site_server() {
            $crate::testing::executor::serve_if_asked();
        }
    };
}

/// Runs the test of [`site_server!`], wherever in the program it stands.
pub(super) fn command() -> Command {
    let program = std::env::current_exe().expect("the path of this program");
    let program = program.to_str().expect("a path in UTF-8");
    let args = ["deployr_site_server", "--nocapture", "--skip", ASKED];
    let exec = Command::new("exec").arg(program);
    args.into_iter().fold(exec, Command::arg)
}

/// What [`site_server!`] does: answers `/` with the `index.html` of the folder that it
/// was started in, anything else with 404, until it is killed.
///
/// # Panics
///
/// When it cannot listen on `PORT`.
pub fn serve_if_asked() {
    if !std::env::args().any(|arg| arg == ASKED) {
        return;
    }
    let port = std::env::var("PORT").expect("PORT is set");
    let port: u16 = port.parse().expect("PORT is a port");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("PORT is free");
    for stream in listener.incoming().flatten() {
        // Whoever asks may go away at any time.
        std::thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?.take(64 * 1024));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let (status, body) = match request.split(' ').nth(1) {
        Some("/") => ("200 OK", fs::read("index.html")?),
        _ => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}
