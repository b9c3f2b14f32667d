//! A machine of our own: a folder, the program, and repositories to deploy.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use git2::{IndexAddOption, Signature};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// A folder in which the program runs, with nothing of the outside's settings.
pub(crate) struct Machine(TempDir);

impl Machine {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program in this folder, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deployr"));
        command
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DEPLOYR_")) {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG");
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts it, with its output at hand.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.started(&mut self.command(arguments))
    }

    /// The same, with this folder for what is temporary.
    pub(crate) fn start_in(&self, temporary: &Path, arguments: &[&str]) -> Running {
        self.started(self.command(arguments).env("TMPDIR", temporary))
    }

    fn started(&self, command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take().map(BufReader::new);
        Running {
            child,
            output,
            seen: String::new(),
        }
    }

    /// Starts the server on a free port.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let arguments = [&["serve", "--listen", "127.0.0.1:0", "--json"], arguments].concat();
        let mut running = self.start(&arguments);
        let line = running.wait_for_line("serving");
        let address = serde_json::from_str::<Value>(&line).unwrap()["address"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        Server { running, address }
    }
}

/// A process of the program. Ends with the test.
pub(crate) struct Running {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
    seen: String,
}

impl Running {
    /// Reads on until a line has this in it.
    pub(crate) fn wait_for_line(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            let output = self.output.as_mut().unwrap();
            if output.read_line(&mut line).unwrap() == 0 {
                panic!("it ended without `{part}`:\n{}", self.seen);
            }
            self.seen.push_str(&line);
            if line.contains(part) {
                return line;
            }
        }
    }

    fn read_to_end(&mut self) {
        let output = self.output.as_mut().unwrap();
        output.read_to_string(&mut self.seen).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Its exit code, with nobody who reads what it prints.
    pub(crate) fn wait_without_reading(mut self) -> Option<i32> {
        drop(self.output.take());
        self.child.wait().unwrap().code()
    }

    /// All that it has printed, once it has ended.
    pub(crate) fn rest(mut self) -> String {
        self.read_to_end();
        std::mem::take(&mut self.seen)
    }

    /// Its exit code; none where a signal has ended it.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.read_to_end();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that serves.
pub(crate) struct Server {
    running: Running,
    address: SocketAddr,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.running.child.id()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What Prometheus is told, where it was told an address.
    pub(crate) fn metrics(&self) -> String {
        let mut told = self.running.seen.lines();
        let told = told
            .find(|line| line.contains(r#""event":"metrics""#))
            .unwrap();
        let told: Value = serde_json::from_str(told).unwrap();
        let mut stream = TcpStream::connect(told["address"].as_str().unwrap()).unwrap();
        write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The whole answer.
    pub(crate) fn get(&self, host: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let host = if host.is_empty() {
            self.address.to_string()
        } else {
            host.to_owned()
        };
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Its exit code; none where the signal has ended it.
    pub(crate) fn stop(self, signal: Signal) -> Option<i32> {
        self.running.signal(signal);
        let Self { running, .. } = self;
        running.wait()
    }
}

/// A repository whose build is a shell script.
pub(crate) struct Repository {
    path: PathBuf,
    commits: Cell<u32>,
}

impl Repository {
    pub(crate) fn new(machine: &Machine, name: &str, build: &str) -> Self {
        let path = machine.path().join("repositories").join(name);
        std::fs::create_dir_all(&path).unwrap();
        git2::Repository::init_opts(
            &path,
            git2::RepositoryInitOptions::new().initial_head("trunk"),
        )
        .unwrap();
        std::fs::write(path.join("build.sh"), format!("set -e\n{build}\n")).unwrap();
        let repository = Self {
            path,
            commits: Cell::new(0),
        };
        repository.commit(
            "deployr.toml",
            "framework = \"static\"\nbuild = \"sh build.sh\"\noutput = \"dist\"\n",
        );
        repository
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Makes a branch of what is committed.
    pub(crate) fn branch(&self, name: &str) {
        let git = git2::Repository::open(&self.path).unwrap();
        let tip = git.head().unwrap().peel_to_commit().unwrap();
        git.branch(name, &tip, false).unwrap();
    }

    /// Writes a file and commits everything.
    pub(crate) fn commit(&self, file: &str, text: &str) {
        std::fs::write(self.path.join(file), text).unwrap();
        let git = git2::Repository::open(&self.path).unwrap();
        let mut index = git.index().unwrap();
        index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
        index.write().unwrap();
        let tree = git.find_tree(index.write_tree().unwrap()).unwrap();
        let parent = git.head().ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        self.commits.set(self.commits.get() + 1);
        let author = Signature::now("Ada", "ada@example.com").unwrap();
        git.commit(
            Some("HEAD"),
            &author,
            &author,
            &format!("Commit {}", self.commits.get()),
            &tree,
            &parents,
        )
        .unwrap();
    }
}

/// Its exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Every line of the output, each of which must be JSON.
pub(crate) fn json_lines(output: &Output) -> Vec<Value> {
    stdout(output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect()
}

/// The last line that tells of this.
pub(crate) fn event(output: &Output, name: &str) -> Value {
    let lines = json_lines(output);
    lines
        .into_iter()
        .rfind(|line| line["event"] == name)
        .unwrap_or_else(|| panic!("no {name} in {}", stdout(output)))
}

/// Until it is so.
pub(crate) fn wait_for(limit: Duration, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < limit, "not after {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
