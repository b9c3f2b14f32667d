//! A repository of middling size, served over HTTP by git's own `http-backend` as forges
//! do: 500 files, 5 MB, 200 commits, packed.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::Error;

const FOLDERS: u32 = 20;
const PAGES: u32 = 25;
const COMMITS: u32 = 200;
const LINES: u32 = 150;

/// What the project builds its site with. Says how long that took, in nanoseconds.
const BUILD: &str = "set -e
began=$(date +%s%N)
cp -R site dist
echo \"build took $(($(date +%s%N) - began)) ns\"
";
const CONFIG: &str = "build = \"sh build.sh\"\noutput = \"dist\"\n";

pub(crate) struct Origin {
    folder: TempDir,
    address: SocketAddr,
    commits: Cell<u32>,
}

impl Origin {
    /// Makes the repository, and serves it until the process ends.
    pub(crate) fn serve() -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let origin = Self {
            address: listener.local_addr()?,
            folder,
            commits: Cell::new(0),
        };
        let repository = origin.repository();
        run(git()
            .args(["init", "--quiet", "--bare", "--initial-branch=main"])
            .arg(&repository))?;
        origin.commit(COMMITS)?;
        run(git().arg("-C").arg(&repository).args(["gc", "--quiet"]))?;
        let root = origin.folder.path().to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let root = root.clone();
                // A client that goes away early is none of this server's business.
                thread::spawn(move || answer(&root, &stream));
            }
        });
        Ok(origin)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/site.git", self.address)
    }

    /// A new commit on `main`. Gives what its `version.txt` says.
    pub(crate) fn push(&self) -> Result<String, Error> {
        self.commit(1)?;
        Ok(version(self.commits.get() - 1))
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("site.git")
    }

    fn commit(&self, count: u32) -> Result<(), Error> {
        let mut import = git()
            .arg("-C")
            .arg(self.repository())
            .args(["fast-import", "--quiet", "--force"])
            .stdin(Stdio::piped())
            .spawn()?;
        let mut commits = import.stdin.take().ok_or("git fast-import takes nothing")?;
        for nth in 0..count {
            self.write_commit(&mut commits, nth == 0)?;
        }
        drop(commits);
        match import.wait()?.success() {
            true => Ok(()),
            false => Err("git fast-import failed".into()),
        }
    }

    /// The first commit has all files; each that follows changes three pages. Git has to be
    /// told once where a branch goes on.
    fn write_commit(&self, to: &mut ChildStdin, goes_on: bool) -> io::Result<()> {
        let number = self.commits.replace(self.commits.get() + 1);
        let message = format!("Change {number}");
        writeln!(to, "commit refs/heads/main")?;
        writeln!(
            to,
            "committer bench <bench@example.com> {} +0000",
            1_700_000_000 + number
        )?;
        write!(to, "data {}\n{message}\n", message.len())?;
        if number == 0 {
            file(to, "deployr.toml", CONFIG)?;
            file(to, "build.sh", BUILD)?;
            file(
                to,
                "site/index.html",
                "<!doctype html><title>Site</title>\n",
            )?;
        } else if goes_on {
            writeln!(to, "from refs/heads/main^0")?;
        }
        file(to, "site/version.txt", &version(number))?;
        let all = FOLDERS * PAGES;
        let changed = if number == 0 { all } else { 3 };
        for index in (0..changed).map(|change| (number * 7 + change) % all) {
            let path = format!(
                "site/part-{:02}/page-{:02}.html",
                index / PAGES,
                index % PAGES
            );
            file(to, &path, &page(index, number))?;
        }
        Ok(())
    }
}

/// The same in each line, to tell an answer that comes from two releases.
fn version(number: u32) -> String {
    format!("version {number}\n").repeat(1_000)
}

fn file(to: &mut impl Write, path: &str, content: &str) -> io::Result<()> {
    write!(
        to,
        "M 100644 inline {path}\ndata {}\n{content}\n",
        content.len()
    )
}

/// About 10 kB of text that shrinks to less than half, of which each change touches a line.
fn page(index: u32, change: u32) -> String {
    let mut state = index;
    let mut page = format!("<p>change {change}\n");
    for line in 0..LINES {
        for _ in 0..16 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Writing to a string does not fail.
            let _ = write!(page, "{:03x} ", state >> 20);
        }
        let _ = writeln!(page, "{line}");
    }
    page
}

/// Git without what this machine's owner has set.
pub(super) fn git() -> Command {
    let mut git = Command::new("git");
    alone(&mut git);
    git
}

/// For programs that run git.
pub(super) fn alone(command: &mut Command) {
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("no_proxy", "*");
}

fn run(command: &mut Command) -> Result<(), Error> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err(format!("{command:?} failed").into()),
    }
}

/// One request, handed to git as a web server does by CGI.
fn answer(root: &Path, stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).ok()? > 2 {
        head.push_str(&std::mem::take(&mut line));
    }
    let header = |name: &str| {
        let found = head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        found.unwrap_or_default()
    };
    let mut words = head.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let length: u64 = header("content-length").parse().unwrap_or(0);
    let mut backend = git()
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", length.to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    io::copy(&mut reader.take(length), &mut backend.stdin.take()?).ok()?;
    let mut output = BufReader::new(backend.stdout.take()?);
    let (mut status, mut headers) = ("200 OK".to_owned(), String::new());
    line.clear();
    while output.read_line(&mut line).ok()? > 2 {
        match line.strip_prefix("Status: ") {
            Some(other) => other.trim().clone_into(&mut status),
            None => headers.push_str(&line),
        }
        line.clear();
    }
    let mut stream = stream;
    let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    io::copy(&mut output, &mut stream).ok()?;
    backend.wait().ok()?;
    Some(())
}
