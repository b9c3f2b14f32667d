//! Git over the `ssh` program.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::source::{Credentials, Source};
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::quote::{quoted_option, quoted_word};
use super::{Endpoint, Session, Watch, wrong_credentials};
use crate::error::{printable, refused};
use crate::options::Options;

/// Where to connect, and how to be believed.
#[derive(Debug)]
pub(super) struct Server {
    arguments: Vec<String>,
    /// Deleted when the fetch is over.
    _key: Option<NamedTempFile>,
}

impl Server {
    pub(super) async fn new(
        options: &Options,
        source: &Source,
        addresses: &[SocketAddr],
        watch: &Watch,
    ) -> StepResult<Self> {
        let url = &source.url;
        let key = match &source.credentials {
            None => None,
            Some(Credentials::SshKey { key }) => Some(
                key_file(key.expose_secret()).map_err(|e| Fault::io("write", "the SSH key", e))?,
            ),
            Some(_) => return Err(wrong_credentials(url.as_str(), "a password", "an SSH key")),
        };
        let address = reachable(url.as_str(), addresses, watch).await?;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let (known_hosts, strict) = match &options.known_hosts {
            Some(path) => (path.clone(), "yes"),
            None => (options.mirrors.join("known_hosts"), "accept-new"),
        };
        // The checked address is dialled; the host's key is still known by its name.
        let alias = match url.port() {
            Some(port) => format!("[{host}]:{port}"),
            None => host.to_owned(),
        };
        let identity = key
            .as_ref()
            .map_or_else(|| Path::new("none"), NamedTempFile::path);
        let mut arguments: Vec<String> = ["-T", "-F", "/dev/null"].map(str::to_owned).into();
        for option in [
            "BatchMode=yes".to_owned(),
            format!("StrictHostKeyChecking={strict}"),
            format!("UserKnownHostsFile={}", quoted_option(&known_hosts)),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            format!("IdentityFile={}", quoted_option(identity)),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "ConnectTimeout=20".to_owned(),
            "ServerAliveInterval=15".to_owned(),
            "LogLevel=ERROR".to_owned(),
            format!("Hostname={}", address.ip()),
            format!("HostKeyAlias={alias}"),
            format!("Port={}", address.port()),
            format!("User={}", url.user().unwrap_or("git")),
        ] {
            arguments.extend(["-o".to_owned(), option]);
        }
        let path = percent_decode_str(url.path()).decode_utf8_lossy();
        // `ssh://host/~user/app` means a folder in that user's home.
        let path = path
            .strip_prefix('/')
            .filter(|path| path.starts_with('~'))
            .unwrap_or(&path);
        let command = format!("git-upload-pack {}", quoted_word(path));
        arguments.extend(["--".to_owned(), host.to_owned(), command]);
        Ok(Self {
            arguments,
            _key: key,
        })
    }
}

/// Readable by ourselves only, and ended by a newline, which `ssh` insists on.
fn key_file(key: &str) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("deployr-key-").tempfile()?;
    file.write_all(key.trim_end().as_bytes())?;
    file.write_all(b"\n")?;
    file.flush()?;
    Ok(file)
}

/// `ssh` is told one address; of several, the first one that answers.
async fn reachable(url: &str, addresses: &[SocketAddr], watch: &Watch) -> StepResult<SocketAddr> {
    if let [only] = addresses {
        return Ok(*only);
    }
    let connection = watch.run(TcpStream::connect(addresses)).await?;
    Ok(connection
        .and_then(|stream| stream.peer_addr())
        .map_err(|e| Fault::io("fetch", url, e))?)
}

/// The connection as libgit2 sees it.
pub(super) struct Ssh(pub(super) Arc<Session>);

impl SmartSubtransport for Ssh {
    fn action(
        &self,
        _url: &str,
        action: Service,
    ) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let Endpoint::Ssh(server) = &self.0.endpoint else {
            return Err(git2::Error::from_str("not an SSH server"));
        };
        if action != Service::UploadPackLs {
            return Err(git2::Error::from_str("deployr never pushes"));
        }
        match Connection::start(self.0.clone(), server) {
            Ok(connection) => Ok(Box::new(connection)),
            Err(error) => {
                let url = &self.0.watch.url;
                let fault = if error.kind() == io::ErrorKind::NotFound {
                    let todo = "the program `ssh` is not on this machine; install openssh-client, \
                                or use the repository's https:// address";
                    Fault::permanent("fetch", url, todo)
                } else {
                    Fault::io("start", "the program `ssh`", error)
                };
                Err(git2::Error::from_str(&self.0.watch.fail(fault).to_string()))
            }
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// A running `ssh`. Killed, and waited for, when dropped.
struct Connection {
    session: Arc<Session>,
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    complaints: Option<JoinHandle<String>>,
}

impl Connection {
    fn start(session: Arc<Session>, server: &Server) -> io::Result<Self> {
        let _runtime = Handle::current().enter();
        let mut child = Command::new("ssh")
            .args(&server.arguments)
            .env_clear()
            .env(
                "PATH",
                std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("ssh was started without pipes");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let complaints = Some(tokio::spawn(collect(stderr)));
        Ok(Self {
            session,
            child,
            stdin,
            stdout,
            complaints,
        })
    }

    /// The server hung up: either it is done, or it says why.
    fn ended(&mut self) -> io::Result<()> {
        let watch = &self.session.watch;
        let status = watch.block_on(self.child.wait())??;
        if status.success() {
            return Ok(());
        }
        let text = match self.complaints.take() {
            Some(task) => watch.block_on(task)?.unwrap_or_default(),
            None => String::new(),
        };
        Err(watch.fail(explain(&watch.url, status.code(), &text)))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.child.start_kill().is_ok() {
            let _ = Handle::current().block_on(self.child.wait());
        }
    }
}

/// Reads all, so that the program never waits for us, and keeps the first part.
async fn collect(mut stderr: ChildStderr) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        if text.len() < 4096 {
            text.extend_from_slice(&buffer[..length]);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// What `ssh`, or git behind it, said when it ended.
fn explain(url: &str, code: Option<i32>, text: &str) -> StepError {
    let said = printable(text);
    // 255 is the connection; everything else comes from the program over there.
    if code == Some(255) {
        if text.contains("Permission denied") {
            return refused(
                url,
                "the server refused the SSH key, or wants one; add the project's public key to \
                 the repository as a deploy key",
            );
        }
        if text.contains("Host key verification failed") {
            let reason = "the server's host key is not the known one; compare it with what its \
                          operator publishes, then add it to the known_hosts file";
            return Fault::permanent("fetch", url, reason).into();
        }
        return Fault::retryable("fetch", url, said).into();
    }
    refused(
        url,
        format_args!("the server says: {said}; check the address and the key's access"),
    )
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let watch = &self.session.watch;
        let length = watch.block_on(self.stdout.read(buffer))??;
        if length == 0 && !buffer.is_empty() {
            self.ended()?;
        }
        self.session.watch.count(length)?;
        Ok(length)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.session.watch.block_on(self.stdin.write(bytes))?;
        match written {
            Ok(length) => Ok(length),
            // The program ended before it read: its own words say more.
            Err(error) => self.ended().and(Err(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.session.watch.block_on(self.stdin.flush())?
    }
}
