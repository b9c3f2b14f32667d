//! A private Postgres: a cluster of its own in a temporary folder, on a free port of
//! the loopback, durable as a real one (`fsync` is on).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::free_port;
use crate::keeper::Keeper;

/// A running cluster. Dropping it stops the server and removes its data.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    settings: &'static [&'static str],
    user: Option<(u32, u32)>,
    keeper: Option<Keeper>,
    databases: AtomicU32,
}

impl Postgres {
    /// The one that all tests of this process share. It ends with the process. It waits
    /// for no disk, so it would not survive a loss of power, as all others do.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_with(&["fsync=off", "synchronous_commit=off"]))
    }

    /// A new cluster, ready for connections.
    ///
    /// # Panics
    ///
    /// When Postgres is not installed, or does not start within 30 s.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A new cluster with settings (`name=value`) besides those of its own.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with(settings: &'static [&'static str]) -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new()
            .prefix("deployr-postgres-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let user = unprivileged(&folder);
        let mut postgres = Self {
            programs,
            folder,
            port: 0,
            settings,
            user,
            keeper: None,
            databases: AtomicU32::new(0),
        };
        let data = postgres.data();
        postgres.must(
            "initdb",
            &[
                "-D",
                &data,
                "-U",
                "deployr",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
            ],
        );
        postgres.up();
        postgres
    }

    /// A new, empty database of this cluster; gives its URL.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.must(
            "createdb",
            &[
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-U",
                "deployr",
                &name,
            ],
        );
        self.url(&name)
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://deployr@127.0.0.1:{}/{database}", self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it as a crash would: no shutdown checkpoint, connections cut.
    /// [`up`](Self::up) brings it back, with recovery from its log.
    pub fn crash(&mut self) {
        let data = self.data();
        self.must("pg_ctl", &["-D", &data, "-m", "immediate", "-W", "stop"]);
        while data_is_locked(&data) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // The keeper would remove the folder: it has no server left, and is let go of.
        if let Some(keeper) = self.keeper.take() {
            std::mem::forget(keeper);
        }
    }

    /// Starts the server, on the port that it had.
    ///
    /// # Panics
    ///
    /// When it is not ready within 30 s.
    pub fn up(&mut self) {
        if self.port == 0 {
            self.port = free_port();
        }
        let postgres = self
            .programs
            .join("postgres")
            .to_string_lossy()
            .into_owned();
        let port = self.port.to_string();
        let data = self.data();
        let sockets = format!("unix_socket_directories={}", self.folder.display());
        let mut command = vec![
            &postgres,
            "-D",
            &data,
            "-p",
            &port,
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            &sockets,
            "-c",
            "max_connections=200",
        ];
        for setting in self.settings {
            command.extend(["-c", setting]);
        }
        self.keeper = Some(Keeper::start(&self.folder, "INT", self.user, &command));
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self
            .run("pg_isready", &["-q", "-h", "127.0.0.1", "-p", &port])
            .status
            .success()
        {
            assert!(
                Instant::now() < deadline,
                "postgres did not become ready:\n{}",
                Keeper::log(&self.folder)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn data(&self) -> String {
        self.folder.join("data").to_string_lossy().into_owned()
    }

    fn must(&self, program: &str, args: &[&str]) {
        let output = self.run(program, args);
        assert!(
            output.status.success(),
            "`{program}` failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(self.programs.join(program));
        command.args(args).current_dir(&self.folder);
        as_user(&mut command, self.user);
        command
            .output()
            .unwrap_or_else(|error| panic!("`{program}` cannot be run: {error}"))
    }
}

/// Debian keeps the server's programs away from the path, by version.
fn programs() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    versions.sort();
    versions
        .pop()
        .or_else(|| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path).find(|bin| bin.join("initdb").is_file())
        })
        .expect("Postgres is installed (`cargo xtask setup` does it; by hand on Debian: apt-get install postgresql)")
}

/// Postgres refuses to run as root: then the folder is given to the user `postgres`.
fn unprivileged(folder: &Path) -> Option<(u32, u32)> {
    let id = |args: &[&str]| -> u32 {
        let output = Command::new("id")
            .args(args)
            .output()
            .expect("`id` can be run");
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().unwrap_or_else(|_| {
            panic!("there is no user `postgres` to run the server as (we are root)")
        })
    };
    if id(&["-u"]) != 0 {
        return None;
    }
    let user = (id(&["-u", "postgres"]), id(&["-g", "postgres"]));
    std::os::unix::fs::chown(folder, Some(user.0), Some(user.1)).expect("root may give away");
    Some(user)
}

fn as_user(command: &mut Command, user: Option<(u32, u32)>) {
    use std::os::unix::process::CommandExt;
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
}

fn data_is_locked(data: &str) -> bool {
    Path::new(data).join("postmaster.pid").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_comes_back_after_a_crash_and_leaves_nothing_behind() {
        let mut postgres = Postgres::start();
        let url = postgres.database();
        let sql = |text: &str| {
            let output = postgres.run("psql", &["-qAt", "-d", &url, "-c", text]);
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        sql("create table kept (n int); insert into kept values (7)");
        assert_eq!(sql("show fsync"), "on\n");
        postgres.crash();
        postgres.up();
        let output = postgres.run("psql", &["-qAt", "-d", &url, "-c", "select n from kept"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "7\n");
        let folder = postgres.folder.clone();
        drop(postgres);
        assert!(!folder.exists());
    }
}
