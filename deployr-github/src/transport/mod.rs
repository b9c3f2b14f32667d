//! Connections of our own under libgit2's implementation of git's protocol.

mod address;
mod context;
mod http;
mod proxy;
mod quote;
mod ssh;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use deployr_core::error::StepError;
use deployr_core::error::{Fault, StepResult, VerdictCode};
use deployr_core::source::Source;
use deployr_core::value::GitScheme;
use git2::transport::Transport;
use tokio_util::sync::CancellationToken;

pub(crate) use context::{Watch, enter};
pub use proxy::Proxies;

use crate::error::{printable, refused};
use crate::options::Options;

/// The scheme under which libgit2 finds us. One of our own: an app that embeds the
/// engine may use libgit2 too, and its `https://` shall stay what it was. It also
/// means that no address, and no credential, goes through libgit2.
const SCHEME: &str = "deployr";

/// All that one fetch needs.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) watch: Watch,
    endpoint: Endpoint,
}

#[derive(Debug)]
enum Endpoint {
    Http(http::Server),
    Ssh(ssh::Server),
    /// libgit2's own: reads the other repository's files, and starts no program.
    Local(String),
}

impl Session {
    /// Checks that we may go there at all, and finds the addresses.
    pub(crate) async fn open(
        options: &Options,
        source: &Source,
        cancel: CancellationToken,
    ) -> StepResult<Arc<Self>> {
        let url = &source.url;
        let watch = Watch::new(url.as_str(), &options.limits, cancel);
        let endpoint = match url.scheme() {
            GitScheme::Local => Endpoint::Local(local(options, source)?),
            scheme => {
                register()?;
                let addresses = address::resolve(url, options.allow_private_hosts, &watch);
                let proxies = options.proxies.as_ref();
                match proxies.and_then(|proxies| proxies.on_the_way_to(url)) {
                    _ if scheme == GitScheme::Ssh => {
                        let addresses = addresses.await?;
                        Endpoint::Ssh(ssh::Server::new(options, source, &addresses, &watch).await?)
                    }
                    None => {
                        let way = http::Way::Straight(addresses.await?);
                        Endpoint::Http(http::Server::new(source, &way)?)
                    }
                    Some(proxy) => {
                        proxy.check(url, options.allow_private_hosts)?;
                        Endpoint::Http(http::Server::new(source, &http::Way::Through(proxy))?)
                    }
                }
            }
        };
        Ok(Arc::new(Self { watch, endpoint }))
    }

    /// The repository, where it is a folder of this machine.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &self.endpoint {
            Endpoint::Local(path) => Some(Path::new(path)),
            _ => None,
        }
    }

    /// The address to give to libgit2.
    pub(crate) fn libgit2_url(&self) -> String {
        match &self.endpoint {
            Endpoint::Local(path) => path.clone(),
            _ => format!("{SCHEME}://repository"),
        }
    }
}

fn local(options: &Options, source: &Source) -> StepResult<String> {
    let url = source.url.as_str();
    if !options.allow_local {
        return Err(refused(
            url,
            "folders of this machine are not allowed as repositories here; use an https:// or \
             ssh:// address, or have the operator switch on `allow_local`",
        ));
    }
    let path = source
        .url
        .local_path()
        .and_then(|path| path.to_str().map(str::to_owned));
    let path = path.ok_or_else(|| refused(url, "its path is not valid on this machine"))?;
    match git2::Repository::open(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(refused(url, printable(error.message()))),
    }
}

/// Makes ourselves known to libgit2, once for the process.
fn register() -> StepResult<()> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        // SAFETY: no fetch of ours begins before this is done, and libgit2 looks at
        // the list under our scheme only then.
        #[expect(
            unsafe_code,
            reason = "libgit2's list of transports has no lock of its own"
        )]
        let result = unsafe {
            git2::transport::register(SCHEME, |remote| {
                let session = context::current()
                    .ok_or_else(|| git2::Error::from_str("no fetch is running on this thread"))?;
                match &session.endpoint {
                    Endpoint::Http(server) => {
                        Transport::smart(remote, true, http::Http::new(session.clone(), server))
                    }
                    Endpoint::Ssh(_) => Transport::smart(remote, false, ssh::Ssh(session.clone())),
                    Endpoint::Local(_) => Err(git2::Error::from_str("not a remote repository")),
                }
            })
        };
        result.map_err(|error| error.message().to_owned())
    });
    done.clone()
        .map_err(|reason| Fault::permanent("set-up", "libgit2", reason).into())
}

/// The verdict where the credentials are not of the kind that the address takes.
fn wrong_credentials(url: &str, has: &str, takes: &str) -> StepError {
    let message = format!(
        "the credentials of {url} do not fit its address: they are {has}, and it takes {takes}; \
         change either one"
    );
    StepError::verdict(VerdictCode::ConfigInvalid, message)
}
