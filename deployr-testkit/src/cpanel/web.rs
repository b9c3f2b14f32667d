//! What visitors of the account's domains get: files, PHP by a real one that keeps old
//! code, and Node apps as Passenger runs them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use super::Inner;
use super::http::{Head, Response};
use crate::free_port;

/// An application of Passenger's.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) path: PathBuf,
    pub(super) domain: String,
    pub(super) env: BTreeMap<String, String>,
}

/// What runs for visitors, since the first of them came.
#[derive(Debug, Default)]
pub(super) struct Running {
    php: Option<(u16, Child)>,
    apps: BTreeMap<String, (u16, Child, String)>,
}

impl Running {
    pub(super) fn end(&mut self) {
        let apps = std::mem::take(&mut self.apps)
            .into_values()
            .map(|(_, child, _)| child);
        for mut child in apps.chain(self.php.take().map(|(_, child)| child)) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Gives each visit to the script that the web server has found for it, by the path under
/// which it has found it: as PHP gets it on a host.
const ROUTER: &str =
    "<?php $script = $_SERVER['HTTP_X_SCRIPT']; chdir(dirname($script)); include $script;\n";

/// As a host's PHP that never looks again at what it has read.
const PHP: &[&str] = &[
    "opcache.enable=1",
    "opcache.enable_cli=1",
    "opcache.validate_timestamps=0",
    "opcache.file_update_protection=0",
    "realpath_cache_ttl=600",
];

const PASSENGER: &str = "const http = require('http'), listen = http.Server.prototype.listen;
http.Server.prototype.listen = function (...args) {
  const done = args.find(arg => typeof arg === 'function');
  return listen.call(this, +process.env.FAKE_PORT, '127.0.0.1', done);
};
require(process.cwd() + '/app.js');";

impl Inner {
    pub(super) fn serve_visitor(&self, stream: TcpStream) -> io::Result<()> {
        let mut out = stream.try_clone()?;
        let mut stream = BufReader::new(stream);
        while let Some(head) = Head::read(&mut stream)? {
            head.body(&mut stream)?;
            let answer = self.visit(&head);
            let answer = answer.unwrap_or_else(|error| text(502, &error.to_string()));
            answer.write(&mut out, 0)?;
        }
        Ok(())
    }

    fn visit(&self, head: &Head) -> io::Result<Response> {
        let domain = head
            .header("host")
            .split(':')
            .next()
            .unwrap_or_default()
            .to_owned();
        let (app, root) = {
            let state = self.state();
            let app = state.apps.iter().find(|(_, app)| app.domain == domain);
            (
                app.map(|(name, app)| (name.clone(), app.clone())),
                state.domains.get(&domain).cloned(),
            )
        };
        if let Some((name, app)) = app {
            let port = self.passenger(&name, &app)?;
            return forward(port, &head.target, None);
        }
        let Some(root) = root else {
            return Ok(text(404, "no such domain"));
        };
        let path = head.path().trim_start_matches('/');
        if path
            .split('/')
            .any(|part| part == ".." || part.starts_with('.'))
        {
            return Ok(text(403, "forbidden"));
        }
        let wanted = root.join(path);
        let found = [
            wanted.clone(),
            wanted.join("index.html"),
            wanted.join("index.php"),
            root.join("index.php"),
        ];
        let Some(file) = found.into_iter().find(|file| file.is_file()) else {
            return Ok(text(404, "not found"));
        };
        if file.extension().is_some_and(|kind| kind == "php") {
            return forward(self.php()?, &head.target, Some(&file));
        }
        Ok(Response {
            status: 200,
            content_type: "text/html",
            body: fs::read(file)?,
        })
    }

    fn php(&self) -> io::Result<u16> {
        let mut running = self.web.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((port, _)) = &running.php {
            return Ok(*port);
        }
        let router = self.folder.path().join("router.php");
        fs::write(&router, ROUTER)?;
        let port = free_port();
        let mut php = Command::new("php");
        php.args(["-S", &format!("127.0.0.1:{port}"), "-t"])
            .arg(self.folder.path());
        for setting in PHP {
            php.args(["-d", setting]);
        }
        php.arg(router)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = php.spawn()?;
        running.php = Some((port, child));
        answers(port)?;
        Ok(port)
    }

    /// The app's port, after it was started anew where its `tmp/restart.txt` is another.
    fn passenger(&self, name: &str, app: &App) -> io::Result<u16> {
        let folder = app.path.canonicalize()?;
        let restart = fs::read_to_string(folder.join("tmp/restart.txt")).unwrap_or_default();
        let mark = format!("{} {restart}", folder.display());
        let mut running = self.web.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((port, _, _)) = running
            .apps
            .get(name)
            .filter(|(_, _, known)| *known == mark)
        {
            return Ok(*port);
        }
        if let Some((_, mut old, _)) = running.apps.remove(name) {
            old.kill()?;
            old.wait()?;
        }
        let port = free_port();
        let mut node = Command::new("node");
        node.args(["-e", PASSENGER])
            .current_dir(&folder)
            .envs(&app.env)
            .env("FAKE_PORT", port.to_string());
        node.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        running
            .apps
            .insert(name.to_owned(), (port, node.spawn()?, mark));
        answers(port)?;
        Ok(port)
    }
}

fn text(status: u16, words: &str) -> Response {
    Response {
        status,
        content_type: "text/plain",
        body: words.as_bytes().to_vec(),
    }
}

fn answers(port: u16) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn forward(port: u16, target: &str, script: Option<&Path>) -> io::Result<Response> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let script = script.map_or_else(String::new, |script| {
        format!("X-Script: {}\r\n", script.display())
    });
    let request = format!("GET {target} HTTP/1.0\r\nHost: x\r\n{script}Connection: close\r\n\r\n");
    // At once: PHP's own server takes what comes first for all.
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or(0);
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok(Response {
        status: status.unwrap_or(502),
        content_type: "text/html",
        body: answer[(end + 4).min(answer.len())..].to_vec(),
    })
}
