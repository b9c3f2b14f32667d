//! A private Caddy: a server of its own in a temporary folder, with its own admin
//! address, its own data, and an address to serve sites at.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::free_port;
use crate::keeper::Keeper;

/// A running Caddy. Dropping it stops the server and removes its data.
#[derive(Debug)]
pub struct Caddy {
    folder: PathBuf,
    admin: String,
    listen: SocketAddr,
    keeper: Option<Keeper>,
}

impl Caddy {
    /// A new server without sites, whose admin API is on a Unix socket.
    ///
    /// # Panics
    ///
    /// When Caddy is not installed, or does not start within 30 s.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(
            |folder| format!("unix/{}", folder.join("admin.sock").display()),
            "{}",
        )
    }

    /// The same with its admin API on a free port of the loopback, and with what others
    /// have set up there: JSON, the value of `apps` in Caddy's configuration, with `LISTEN` for
    /// what [`listen`](Self::listen) gives.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(apps: &str) -> Self {
        Self::start_at(|_| format!("127.0.0.1:{}", free_port()), apps)
    }

    fn start_at(admin: impl FnOnce(&Path) -> String, apps: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("deployr-caddy-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let admin = admin(&folder);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let apps = apps.replace("LISTEN", &listen.to_string());
        let data = folder.join("data");
        let config = format!(
            r#"{{"admin":{{"listen":"{admin}"}},"apps":{apps},
            "storage":{{"module":"file_system","root":"{}"}}}}"#,
            data.display()
        );
        std::fs::write(folder.join("caddy.json"), config).expect("its folder can be written to");
        let mut caddy = Self {
            folder,
            admin,
            listen,
            keeper: None,
        };
        caddy.up(false);
        caddy
    }

    /// Where its admin API is, as Caddy writes it: `unix//…` or `127.0.0.1:…`.
    #[must_use]
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// A free address, for the sites that a test sets up.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Kills it. [`up`](Self::up) brings it back.
    pub fn crash(&mut self) {
        self.signal("KILL");
        let gone = || UnixStream::connect(self.socket()).is_err() && self.tcp().is_err();
        wait_until("Caddy is gone", &self.folder, gone);
        // The keeper would remove the folder: it has no server left, and is let go of.
        if let Some(keeper) = self.keeper.take() {
            std::mem::forget(keeper);
        }
    }

    /// Lets it stand still: it takes connections and answers none, until
    /// [`thaw`](Self::thaw).
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Starts the server: with the configuration that it had last, or with that of its
    /// beginning.
    ///
    /// # Panics
    ///
    /// When it is not ready within 30 s.
    pub fn up(&mut self, resume: bool) {
        let folder = self.folder.display();
        let (home, data) = (format!("HOME={folder}"), format!("XDG_DATA_HOME={folder}"));
        let autosave = format!("XDG_CONFIG_HOME={folder}");
        let config = format!("{folder}/caddy.json");
        let pid = format!("{folder}/pid");
        let mut command = vec!["env", &home, &data, &autosave, "caddy", "run"];
        command.extend(["--config", &config, "--pidfile", &pid]);
        if resume {
            command.push("--resume");
        }
        let _ = std::fs::remove_file(self.folder.join("server.log")); // of the one before
        self.keeper = Some(Keeper::start(&self.folder, "KILL", None, &command));
        // Its admin API is there before the sites that it has.
        let ready = || Keeper::log(&self.folder).contains("serving initial configuration");
        wait_until("Caddy is ready", &self.folder, ready);
    }

    fn signal(&self, signal: &str) {
        let read = || std::fs::read_to_string(self.folder.join("pid")).unwrap_or_default();
        // It is made first, and written to then.
        wait_until("Caddy has written its number", &self.folder, || {
            !read().trim().is_empty()
        });
        let pid = read();
        let status = Command::new("kill")
            .args(["-s", signal, pid.trim()])
            .status();
        assert!(status.expect("`kill` can be run").success());
    }

    fn socket(&self) -> &str {
        self.admin.strip_prefix("unix/").unwrap_or_default()
    }

    fn tcp(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(&self.admin)
    }
}

impl Drop for Caddy {
    fn drop(&mut self) {
        self.keeper.take();
        // Left by one that was crashed and not brought back.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn wait_until(what: &str, folder: &Path, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "not yet: {what}; is it installed (`cargo xtask setup` does it; by hand on \
             Debian: apt-get install caddy)?\n{}",
            Keeper::log(folder)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn ask(caddy: &Caddy, request: &str) -> String {
        let mut stream = UnixStream::connect(caddy.socket()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_comes_back_after_a_crash_and_leaves_nothing_behind() {
        let mut caddy = Caddy::start();
        let put = r#"{"servers":{}}"#;
        let put = format!(
            "PUT /config/apps/http HTTP/1.1\r\nHost:\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{put}",
            put.len()
        );
        assert!(ask(&caddy, &put).starts_with("HTTP/1.1 200"));
        let get = "GET /config/apps HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n";
        for (resume, kept) in [(true, true), (false, false)] {
            caddy.crash();
            caddy.up(resume);
            assert_eq!(
                ask(&caddy, get).contains("servers"),
                kept,
                "resume: {resume}"
            );
        }
        let folder = caddy.folder.clone();
        drop(caddy);
        assert!(!folder.exists());
    }
}
