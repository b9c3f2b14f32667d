//! Servers as targets: `[[ssh.<name>.hosts]]` in the file of settings makes `ssh:<name>`.

use std::collections::BTreeMap;

use deployr_core::command::Command;
use deployr_core::value::TargetName;
use deployr_exec::ssh::{Php, SshExecutor, SshTarget};
use serde::Deserialize;

use crate::exit::{Error, Result};

/// One target, as it is written down.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Servers {
    hosts: Vec<SshTarget>,
    #[serde(default)]
    before_switch: Vec<Words>,
    #[serde(default)]
    after_switch: Vec<Words>,
    #[serde(default)]
    rolling: bool,
    #[serde(default)]
    php: Option<PhpServers>,
}

/// That the hosts' web servers run PHP, and how it is told to forget what it has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhpServers {
    #[serde(default)]
    reload: Option<Words>,
}

/// A command, word by word: no shell of ours reads it.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Words(Command);

impl TryFrom<Vec<String>> for Words {
    type Error = &'static str;

    fn try_from(words: Vec<String>) -> std::result::Result<Self, Self::Error> {
        let mut words = words.into_iter();
        let program = words.next().ok_or("a command needs a program")?;
        Ok(Self(words.fold(Command::new(program), Command::arg)))
    }
}

/// All of them, by the names that projects know them by.
pub(crate) fn targets(
    servers: &BTreeMap<String, Servers>,
) -> Result<BTreeMap<TargetName, SshExecutor>> {
    servers
        .iter()
        .map(|(name, servers)| target(name, servers))
        .collect()
}

fn target(name: &str, servers: &Servers) -> Result<(TargetName, SshExecutor)> {
    let refuse = |error: &dyn std::fmt::Display| Error::usage(format!("ssh.{name}: {error}"));
    let target = TargetName::parse(format!("ssh:{name}")).map_err(|error| refuse(&error))?;
    let executor = SshExecutor::with_hosts(servers.hosts.clone());
    let mut executor = executor.map_err(|error| refuse(&error))?;
    for Words(command) in &servers.before_switch {
        executor = executor.before_switch(command.clone());
    }
    for Words(command) in &servers.after_switch {
        executor = executor.after_switch(command.clone());
    }
    executor = executor.rolling(servers.rolling);
    if let Some(php) = &servers.php {
        let reload = php.reload.clone().map(|Words(command)| command);
        executor = executor
            .php(Php { reload })
            .map_err(|error| refuse(&error))?;
    }
    Ok((target, executor))
}
