//! What a host lacks, and how to mend it, before anybody deploys there.

use std::collections::BTreeMap;

use deployr_core::error::{StepError, StepResult};
use deployr_core::system::{Clock, SystemClock};

use super::SshExecutor;
use super::host::Host;
use super::script;
use crate::remote::{APART, Finding, GIB, Report, gib};

/// No project can have this name, and none is made.
const NOBODY: &str = ".doctor";

impl SshExecutor {
    /// Looks at all hosts, one after the other. Changes nothing on them.
    pub async fn doctor(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for host in self.hosts.iter() {
            findings.extend(look_over(host).await);
        }
        findings
    }
}

async fn look_over(host: &Host) -> Vec<Finding> {
    let target = host.session.target();
    let report = Report(target.to_string());
    let said = match ask(host).await {
        Ok(said) => said,
        Err(StepError::Fault(fault)) => {
            return vec![report.bad(
                "connection",
                &format!("{} failed", fault.operation),
                &fault.reason,
            )];
        }
        Err(error) => return vec![report.bad("connection", &error.to_string(), "deploy again")],
    };
    let one = |what: &str| said.get(what).and_then(|values| values.first());
    let text = |what: &str| one(what).cloned().unwrap_or_default();
    let has = |program: &str| {
        let programs = said.get("program");
        programs.is_some_and(|programs| programs.iter().any(|has| has == program))
    };
    let (user, owner, folder) = (text("user"), text("owner"), text("folder"));
    let mut findings = vec![report.good("connection", &format!("as {user}"))];

    findings.push(match one("write") {
        Some(_) => report.good("root", &format!("{folder} of {owner}")),
        None => report.bad(
            "root",
            &format!("{user} cannot make folders in {folder}, which belongs to {owner}"),
            &format!("on the host: mkdir -p the root and chown it to {user}, or set another root"),
        ),
    });
    if one("write").is_some() {
        findings.push(match one("links") {
            Some(_) => report.good("links", "replaced in one step"),
            None => report.bad(
                "links",
                &format!(
                    "symbolic links in {folder} cannot be made, or not be replaced in one step"
                ),
                "use a file system that has them, and install coreutils or perl",
            ),
        });
    }
    let free = text("space").parse::<u64>().map(|kib| kib * 1024);
    findings.push(match free {
        Ok(free) if free >= GIB => report.good("free space", &gib(free)),
        Ok(free) => report.lacking("free space", &gib(free), "releases need room; free some"),
        Err(_) => report.lacking("free space", "not known", "look with `df` on the host"),
    });
    let apart = text("clock")
        .parse::<i64>()
        .map(|there| there - SystemClock.now().timestamp());
    findings.push(match apart {
        Ok(apart) if apart.abs() <= APART => report.good("clock", "as here"),
        Ok(apart) => report.lacking(
            "clock",
            &format!("{apart} s from the one here"),
            "set one of the two by NTP; leases on the host and certificates depend on it",
        ),
        Err(_) => report.lacking("clock", "not known", "see what `date +%s` says on the host"),
    });
    if !has("tar") {
        findings.push(report.bad("tar", "not found", "install it on the host"));
    }
    let uses = [
        ("rsync", "with it only what has changed is sent"),
        (
            "flock",
            "without it a lock may be waited for until it expires; it is in util-linux",
        ),
        (
            "setsid",
            "without it no processes and no commands; it is in util-linux",
        ),
        (
            "/proc",
            "processes need it; without it only static releases",
        ),
    ];
    for (program, help) in uses {
        findings.push(match has(program) {
            true => report.good(program, "there"),
            false => report.lacking(program, "not found", help),
        });
    }
    findings
}

/// All that the host says of itself, by the first word of each line.
async fn ask(host: &Host) -> StepResult<BTreeMap<String, Vec<String>>> {
    let text = host.ask(NOBODY, script::DOCTOR, &[], None).await?;
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (what, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        said.entry(what.to_owned())
            .or_default()
            .push(value.to_owned());
    }
    Ok(said)
}
