//! Accounts of shared hosts as targets: `[cpanel.<name>]` in the file of settings makes
//! `cpanel:<name>`.

use std::collections::BTreeMap;

use deployr_core::value::TargetName;
use deployr_exec::cpanel::{CpanelExecutor, CpanelTarget};

use crate::exit::{Error, Result};

/// All of them, by the names that projects know them by.
pub(crate) fn targets(
    accounts: &BTreeMap<String, CpanelTarget>,
) -> Result<BTreeMap<TargetName, CpanelExecutor>> {
    accounts
        .iter()
        .map(|(name, account)| target(name, account))
        .collect()
}

fn target(name: &str, account: &CpanelTarget) -> Result<(TargetName, CpanelExecutor)> {
    let refuse = |error: &dyn std::fmt::Display| Error::usage(format!("cpanel.{name}.{error}"));
    let target = TargetName::parse(format!("cpanel:{name}")).map_err(|error| refuse(&error))?;
    let executor = CpanelExecutor::new(account.clone()).map_err(|error| refuse(&error))?;
    Ok((target, executor))
}
