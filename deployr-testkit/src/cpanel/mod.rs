//! An account of a shared host with cPanel, as its documentation has it: a fake, since
//! there is no cPanel to be had. It speaks the documented envelopes over TLS, keeps a real
//! tree of files, really unpacks archives, checks who asks, refuses calls that are not
//! documented, gives the account's domains out over HTTP with real PHP and Node, and fails
//! on demand. What it cannot show is what a real host does that its documentation does
//! not tell.

mod api;
mod calls;
mod contract;
mod files;
mod git;
mod host;
mod http;
mod more;
mod tls;
mod web;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tempfile::TempDir;

pub use calls::Trouble;
pub use host::{Host, Renames};

/// A running account. Dropping it ends its servers and removes its files.
///
/// # Panics
///
/// Dropping it panics where it was called in a way that is not documented.
#[derive(Debug)]
pub struct Cpanel {
    inner: Arc<Inner>,
    port: u16,
    web: SocketAddr,
}

#[derive(Debug)]
struct Inner {
    folder: TempDir,
    state: Mutex<State>,
    web: Mutex<web::Running>,
}

#[derive(Debug)]
struct State {
    host: Host,
    troubles: Vec<(String, usize, Trouble)>,
    requests: Vec<String>,
    violations: Vec<String>,
    domains: BTreeMap<String, PathBuf>,
    php_of: BTreeMap<String, String>,
    databases: more::Databases,
    cron: Vec<[String; 6]>,
    apps: BTreeMap<String, web::App>,
    git: git::State,
}

const USER: &str = "acme";
const TOKEN: &str = "U7HMR63FGY292DQZ4H5BFH16JLYMO01M";

impl Cpanel {
    /// An account with the domain `example.com` and an empty home.
    ///
    /// # Panics
    ///
    /// When there is no free port, or no `openssl`.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("deployr-cpanel-")
            .tempdir()
            .expect("a folder");
        let home = folder.path().join("home").join(USER);
        std::fs::create_dir_all(home.join("public_html/cgi-bin")).expect("a home");
        let state = State {
            host: Host::default(),
            troubles: Vec::new(),
            requests: Vec::new(),
            violations: Vec::new(),
            domains: [("example.com".to_owned(), home.join("public_html"))].into(),
            php_of: BTreeMap::new(),
            databases: more::Databases::default(),
            cron: Vec::new(),
            apps: BTreeMap::new(),
            git: git::State::default(),
        };
        let inner = Arc::new(Inner {
            folder,
            state: Mutex::new(state),
            web: Mutex::default(),
        });
        let api = listen(&inner, |inner, stream| inner.serve_api(stream));
        let web = listen(&inner, |inner, stream| inner.serve_visitor(stream));
        Self {
            inner,
            port: api.port(),
            web,
        }
    }

    /// The account's name.
    #[must_use]
    pub fn user() -> &'static str {
        USER
    }

    /// Its token.
    #[must_use]
    pub fn token() -> &'static str {
        TOKEN
    }

    /// Where cPanel listens, on `127.0.0.1`.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file of the authority that its certificate is of.
    #[must_use]
    pub fn authority() -> &'static Path {
        &tls::tls().authority
    }

    /// Where its web server listens, for all of its domains.
    #[must_use]
    pub fn web(&self) -> SocketAddr {
        self.web
    }

    /// Where the account's home really is.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.inner.home()
    }

    /// Changes how the host is.
    pub fn set(&self, change: impl FnOnce(&mut Host)) {
        change(&mut self.inner.state().host);
    }

    /// Adds a domain with its document root, below the home.
    pub fn add_domain(&self, domain: &str, root: &str) {
        let root = self.home().join(root);
        self.inner.state().domains.insert(domain.to_owned(), root);
    }

    /// Lets the next so many calls of a function go wrong: `Fileman/fileop rename`,
    /// `Mysql/create_user`, or `*` for any.
    pub fn trouble(&self, function: &str, times: usize, trouble: Trouble) {
        let mut state = self.inner.state();
        state.troubles.push((function.to_owned(), times, trouble));
    }

    /// All calls so far, as `POST /execute/Module/function`: what a server would log.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.inner.state().requests.clone()
    }

    /// The databases that there are, each with the users that may use it.
    #[must_use]
    pub fn databases(&self) -> BTreeMap<String, Vec<String>> {
        self.inner.state().databases.all()
    }

    /// The password of a database user.
    #[must_use]
    pub fn password_of(&self, user: &str) -> Option<String> {
        self.inner.state().databases.password_of(user)
    }

    /// The crontab's lines.
    #[must_use]
    pub fn cron(&self) -> Vec<String> {
        let state = self.inner.state();
        state.cron.iter().map(|line| line.join(" ")).collect()
    }

    /// Adds a line of somebody else's.
    pub fn add_cron(&self, command: &str) {
        let any = || "*".to_owned();
        let line = [any(), any(), any(), any(), any(), command.to_owned()];
        self.inner.state().cron.push(line);
    }

    /// The version of PHP that a domain was given.
    #[must_use]
    pub fn php_of(&self, domain: &str) -> Option<String> {
        self.inner.state().php_of.get(domain).cloned()
    }
}

impl Drop for Cpanel {
    fn drop(&mut self) {
        self.inner
            .web
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .end();
        let violations = self.inner.state().violations.clone();
        if !thread::panicking() {
            assert!(
                violations.is_empty(),
                "cPanel documents no such calls: {violations:?}"
            );
        }
    }
}

impl Inner {
    fn home(&self) -> PathBuf {
        self.folder.path().join("home").join(USER)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that listens, and one for each who comes. It ends with the account.
fn listen(
    inner: &Arc<Inner>,
    serve: impl Fn(&Inner, TcpStream) -> io::Result<()> + Copy + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let inner = Arc::downgrade(inner);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Some(inner) = inner.upgrade() else { break };
            // Else the end of an answer waits for the other side to confirm its beginning.
            let _ = stream.set_nodelay(true);
            // Whoever asks may go away at any time.
            thread::spawn(move || serve(&inner, stream));
        }
    });
    address
}
