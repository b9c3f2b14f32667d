//! Releases on accounts of shared hosts, over cPanel's HTTP API.
//!
//! ```text
//! <root>/<project>/releases/<number>-<commit>/   each release, with `.deployr-release`
//! <root>/<project>/shared/                       what all releases share; linked into each
//! <root>/<project>/current                       link to the present release
//! <root>/<project>/turn                          the latest deployment that has switched
//! <root>/<project>/incoming/                     archives and what was unpacked of them
//! <root>/<project>/lock/                         who is switching at the moment
//! .deployr-lock/                                 who is changing the crontab
//! ```
//!
//! There is no shell: each thing is a call of the API, and between two calls anything may
//! happen. So what is changed is looked at again under a lock, and each call may be made
//! twice. A call that has outlived its lease is the one thing that is not kept from doing
//! what it was sent for.

mod account;
mod call;
mod clear;
mod client;
mod connection;
mod cron;
mod docroot;
mod doctor;
mod files;
mod git;
mod live;
mod lock;
mod pack;
mod place;
mod plan;
mod probe;
mod provide;
mod reasons;
mod remove;
mod site;
mod steps;
mod target;
mod tasks;
mod token;
mod turn;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use client::Client;

pub use crate::remote::Finding;
pub use site::{Cron, Database, DatabaseKind, Git, Site};
pub use target::{CpanelTarget, InvalidAccount};
pub use token::Token;

const PATIENCE: Duration = Duration::from_secs(60);

/// An account as a target. Cheap to clone; clones share their connections.
///
/// Shared hosting runs no processes but those of PHP and Passenger, gives no shell for
/// hooks, and builds nothing: a project that needs one of these is refused before it is
/// built. Whether a switch is one step depends on the host, so it is not promised.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use deployr_core::engine::Engine;
/// use deployr_exec::cpanel::{CpanelExecutor, CpanelTarget, Site, Token};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let token = Token::file("/etc/deployr/cpanel-token");
/// let mut account = CpanelTarget::new("server42.example.com", "acme", token)?;
/// let blog = Site { domain: Some("blog.example.com".to_owned()), ..Site::default() };
/// account.sites.insert("blog".to_owned(), blog);
/// let parts = Engine::builder().executor("shared", Arc::new(CpanelExecutor::new(account)?));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CpanelExecutor {
    account: Arc<Account>,
}

#[derive(Debug, Clone)]
struct Account {
    client: Client,
}

impl CpanelExecutor {
    /// An account with its sites.
    ///
    /// # Errors
    ///
    /// The setting that cannot be what it says.
    pub fn new(target: CpanelTarget) -> Result<Self, InvalidAccount> {
        target.check()?;
        Ok(Self::with(target, PATIENCE))
    }

    fn with(target: CpanelTarget, patience: Duration) -> Self {
        let client = Client::new(target, patience);
        Self {
            account: Arc::new(Account { client }),
        }
    }

    /// How long the host may take to answer a call, 60 s where nothing is said; after that
    /// the call is a fault that may pass. An upload may take longer, as long as it needs at
    /// 32 KiB a second.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self::with(self.account.client.target().clone(), patience)
    }
}
