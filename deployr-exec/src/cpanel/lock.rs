//! Locks on an account, a project's own and that of all of them: each a folder, since of
//! those who make it at the same time one succeeds. It is a lease by the host's own clock: of
//! one that is older than [`LEASE`], whoever held it is taken to be dead.
//!
//! A host that stalls may carry a call out long after its caller has given up. So calls
//! under a lock end by half of its lease ([`HELD`]), those that change something are not made
//! again where no answer came in time, and where it is not known whether one of them was
//! carried out, the lock is not given back: it expires, and until then the call harms nobody.

use std::time::Duration;

use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::system::{Entropy, SystemEntropy};
use tokio::time::{Instant, sleep};

use super::Account;
use super::client::Client;
use super::files::split;

/// In the home: an account may have several roots. No project's folder has such a name.
const OF_ACCOUNT: &str = ".deployr-lock";
/// In seconds.
const LEASE: i64 = 60;
/// For how long it is used by who has it.
const HELD: Duration = Duration::from_secs(30);
/// The same for one in which nobody has written who has it: the answer to its making was
/// lost.
const UNOWNED: i64 = 5;
/// How long another's is waited for: it has expired by then.
const WAIT: Duration = Duration::from_secs(75);

/// A lock that is held. To be given back; one that is not expires.
#[derive(Debug)]
pub(super) struct Lock {
    client: Client,
    path: String,
    mine: String,
}

pub(super) fn random() -> String {
    let mut bytes = [0; 16];
    SystemEntropy.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Lock {
    /// The project's own. Waits until nobody else has it.
    pub(super) async fn take(client: &Client, base: &str) -> StepResult<Self> {
        Self::take_at(client, format!("{base}/lock")).await
    }

    /// That of the whole account, for what all of its projects have in common.
    pub(super) async fn take_of_account(client: &Client) -> StepResult<Self> {
        Self::take_at(client, OF_ACCOUNT.to_owned()).await
    }

    async fn take_at(client: &Client, path: String) -> StepResult<Self> {
        let mine = random();
        let start = Instant::now();
        let mut pause = Duration::from_millis(50);
        let taken = loop {
            let asked = Instant::now();
            match client.make_dir(&path).await {
                Ok(true) => break asked,
                Ok(false) => {}
                // It may have been made: then nobody has it, and it expires soon.
                Err(StepError::Fault(fault)) if fault.retryable && start.elapsed() < WAIT => {}
                Err(error) => return Err(error),
            }
            if is_expired(client, &path).await? {
                put_aside(client, &path).await?;
                continue;
            }
            if start.elapsed() + pause > WAIT {
                let reason =
                    format!("others have held the lock {path} for more than a minute; try again");
                return Err(Fault::retryable("switch", client.target(), reason).into());
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        };
        let client = client.until(taken + HELD);
        let lock = Self { client, path, mine };
        let written = lock.client.write_file(&lock.owner(), &lock.mine).await;
        if let Err(error) = written {
            // Nobody else can have it yet, unless the host was too slow. Where this fails as
            // well, it expires.
            if !lock.client.is_unsettled() {
                let _ = lock.client.remove(&lock.path).await;
            }
            return Err(error);
        }
        // Who was slow may have written into another's.
        lock.still_held().await?;
        Ok(lock)
    }

    /// The account, for what is done under the lock.
    pub(super) fn account(&self) -> Account {
        Account {
            client: self.client.clone(),
        }
    }

    /// To be asked right before what the lock is for.
    pub(super) async fn still_held(&self) -> StepResult<()> {
        match self.client.read_file(&self.owner()).await? {
            Some(owner) if owner.trim() == self.mine => Ok(()),
            _ => {
                let reason = format!(
                    "the lock {} was lost, since this call was too slow; try again",
                    self.path
                );
                Err(Fault::retryable("switch", self.client.target(), reason).into())
            }
        }
    }

    /// Lets the next one have it.
    pub(super) async fn give_back(self) {
        // Whatever fails here: it expires.
        if !self.client.is_unsettled() && self.still_held().await.is_ok() {
            let _ = self.client.remove(&self.path).await;
        }
    }

    fn owner(&self) -> String {
        format!("{}/owner", self.path)
    }
}

/// By when it was made and what the time is, both by the host's clock.
async fn is_expired(client: &Client, path: &str) -> StepResult<bool> {
    let (dir, name) = split(path);
    let there = client.list(dir).await?;
    let Some(lock) = there.get(name) else {
        return Ok(false); // given back meanwhile
    };
    let Some(age) = there.time.zip(lock.mtime).map(|(now, made)| now - made) else {
        return Ok(false);
    };
    if age <= UNOWNED || age > LEASE {
        return Ok(age > LEASE);
    }
    let owner = client.read_file(&format!("{path}/owner")).await?;
    Ok(owner.is_none())
}

/// One of those who find it expired moves it away; who moves another's puts it back.
async fn put_aside(client: &Client, lock: &str) -> StepResult<()> {
    let owner = |of: String| async move { client.read_file(&format!("{of}/owner")).await };
    let aside = format!("{lock}.{}", random());
    let before = owner(lock.to_owned()).await?;
    if client.rename(lock, &aside).await.is_err() {
        return Ok(()); // another was faster
    }
    if owner(aside.clone()).await? == before {
        client.remove(&aside).await
    } else {
        client.rename(&aside, lock).await
    }
}
