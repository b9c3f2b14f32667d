//! `deployr doctor`

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use deployr_core::system::{Clock, SystemClock};
#[cfg(any(feature = "cpanel", feature = "ssh"))]
use deployr_core::value::TargetName;
use deployr_exec::local::Confinement;
use nix::unistd::{Uid, User};
use serde_json::json;

use crate::config::Settings;
use crate::data::DataDir;
#[cfg(any(feature = "cpanel", feature = "ssh"))]
use crate::exit::Error;
use crate::exit::{Exit, Result};
use crate::ui::Ui;
use crate::{docker, host, keys};

const ROOM: u64 = 1 << 30;

/// What a check found.
enum Found {
    Good(String),
    /// Works, but not for all.
    Lacking(String, &'static str),
    /// Nothing works without it.
    Missing(String, &'static str),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Look at the servers or the account of this target instead, as `ssh:web`
    #[cfg(any(feature = "cpanel", feature = "ssh"))]
    target: Option<TargetName>,
}

pub(super) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    #[cfg(any(feature = "cpanel", feature = "ssh"))]
    if let Some(target) = args.target.as_ref().filter(|of| **of != settings.target) {
        return remote(target, settings, ui).await;
    }
    #[cfg(not(any(feature = "cpanel", feature = "ssh")))]
    let Args {} = args;
    let mut exit = Exit::Ok;
    let data = DataDir::at(&settings.data);
    let mut checks = vec![
        ("user", user()),
        ("data directory", data_dir(&data)),
        ("free space", free_space(&nearest(data.path()))),
    ];
    // Where there is nothing yet, nothing is made by looking.
    if DataDir::existing(&settings.data).is_ok() {
        checks.push(("database", database(&data).await));
        checks.push(("keys", key_file(&data)));
    }
    checks.push(("port", port(settings, &data)));
    if let Some(caddy) = host::caddy(settings) {
        checks.push((
            "caddy",
            match caddy.check().await {
                Ok(()) => Found::Good("its admin API answers".into()),
                Err(fault) => Found::Missing(
                    fault.reason,
                    "no project is served without it; --ingress builtin does without Caddy",
                ),
            },
        ));
        checks.push(("tcp_migrate_req", migrating()));
    }
    checks.push(("confinement", confinement(settings, &data)));
    checks.push(("docker", docker(settings, &data).await));
    checks.push(("compose", compose(settings, &data).await));
    checks.push(("swarm", swarm(settings, &data).await));
    checks.push(("clock", clock()));
    for (program, need) in PROGRAMS {
        checks.push((program, find(program, *need)));
    }
    for (name, found) in checks {
        let (state, text, help) = match &found {
            Found::Good(text) => ("ok", text, None),
            Found::Lacking(text, help) => ("lacking", text, Some(help)),
            Found::Missing(text, help) => {
                exit = Exit::Fault;
                ("missing", text, Some(help))
            }
        };
        ui.emit(&json!({"check": name, "state": state, "found": text, "help": help}));
        tell(ui, name, state, text, help.copied());
    }
    Ok(exit)
}

fn tell(ui: &Ui, name: &str, state: &str, text: &str, help: Option<&str>) {
    let shown = match state {
        "ok" => ui.good("ok     "),
        "lacking" => ui.dim("lacking"),
        _ => ui.bad("missing"),
    };
    ui.say(format_args!("{shown}  {name:<14}  {text}"));
    if let Some(help) = help {
        ui.say(format_args!("         {:<14}  {help}", ""));
    }
}

/// What a target elsewhere lacks.
#[cfg(any(feature = "cpanel", feature = "ssh"))]
async fn remote(target: &TargetName, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let mut known: Vec<&TargetName> = Vec::new();
    let mut findings = None;
    #[cfg(feature = "cpanel")]
    {
        known.extend(settings.cpanel.keys());
        if let Some(account) = settings.cpanel.get(target) {
            findings = Some(account.doctor().await);
        }
    }
    #[cfg(feature = "ssh")]
    {
        known.extend(settings.ssh.keys());
        if let Some(servers) = settings.ssh.get(target) {
            findings = Some(servers.doctor().await);
        }
    }
    let Some(findings) = findings else {
        let known: Vec<_> = known.into_iter().map(TargetName::as_str).collect();
        let known = match known.as_slice() {
            [] => "none is in the file of settings".to_owned(),
            known => format!("there are {}", known.join(", ")),
        };
        return Err(
            Error::usage(format!("there are no servers {target}; {known}"))
                .hint("docs/ssh.md and docs/cpanel.md say how to name one"),
        );
    };
    let (mut exit, mut host) = (Exit::Ok, String::new());
    for found in findings {
        let state = match (&found.help, found.blocks) {
            (None, _) => "ok",
            (Some(_), false) => "lacking",
            (Some(_), true) => {
                exit = Exit::Fault;
                "missing"
            }
        };
        let (name, text, help) = (found.what, &found.found, found.help.as_deref());
        ui.emit(&json!({
            "host": found.host, "check": name, "state": state, "found": text, "help": help,
        }));
        if host != found.host {
            ui.say(&found.host);
            host = found.host.clone();
        }
        tell(ui, name, state, text, help);
    }
    Ok(exit)
}

/// Programs, and what cannot be done without them; `None` where nothing can.
const PROGRAMS: &[(&str, Option<&str>)] = &[
    ("sh", None),
    ("node", Some("install Node.js to build sites that need it")),
    ("npm", Some("install npm to build sites that need it")),
    (
        "ssh",
        Some("install an SSH client to fetch repositories over ssh://"),
    ),
];

fn user() -> Found {
    let user = Uid::effective();
    if user.is_root() {
        return Found::Lacking(
            "root".into(),
            "make a user of its own for deployr: what gets out of a build or a release is then \
             not root",
        );
    }
    match User::from_uid(user) {
        Ok(Some(User { name, .. })) => Found::Good(name),
        _ => Found::Good(user.to_string()),
    }
}

fn data_dir(data: &DataDir) -> Found {
    let (path, nearest) = (data.path().display(), nearest(data.path()));
    // Without a name, so that it is gone whatever happens.
    if let Err(error) = tempfile::tempfile_in(&nearest) {
        let text = format!("{}: {error}", nearest.display());
        return Found::Missing(text, "make it writable, or choose another with --data DIR");
    }
    match DataDir::existing(data.path()) {
        Ok(_) => Found::Good(path.to_string()),
        Err(_) => Found::Lacking(
            format!("there is nothing in {path} yet"),
            "`deployr deploy` and `deployr serve` make it; where it is elsewhere, name it with --data DIR",
        ),
    }
}

/// The folder itself, or the one in which it would be made.
fn nearest(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|folder| folder.is_dir());
    there.unwrap_or(Path::new("/")).to_owned()
}

fn free_space(path: &Path) -> Found {
    match nix::sys::statvfs::statvfs(path) {
        Ok(disk) => {
            // The types of the two differ between systems.
            #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
            let free = disk.blocks_available() as u64 * disk.fragment_size() as u64;
            let text = format!("{:.1} GiB", free as f64 / ROOM as f64);
            if free < ROOM {
                Found::Lacking(text, "builds and releases need room; free some")
            } else {
                Found::Good(text)
            }
        }
        Err(error) => Found::Lacking(
            error.to_string(),
            "the disk cannot be asked; look with `df`",
        ),
    }
}

async fn database(data: &DataDir) -> Found {
    match host::store(&data.database()).await {
        Ok(_) => Found::Good(data.database().display().to_string()),
        Err(error) => Found::Missing(
            error.to_string(),
            "put the file back from a backup, or move it away to begin anew",
        ),
    }
}

fn key_file(data: &DataDir) -> Found {
    if !keys::are_there(data) {
        return Found::Missing(
            format!("{} is not there", data.keys().display()),
            "put it back from a backup; stored variables cannot be read without it",
        );
    }
    match keys::load(data, false) {
        Ok(_) => Found::Good(data.keys().display().to_string()),
        Err(error) => Found::Missing(
            error.to_string(),
            "stored variables cannot be read without it",
        ),
    }
}

fn port(settings: &Settings, data: &DataDir) -> Found {
    let address = settings.listen;
    let Err(error) = TcpListener::bind(address).map(drop) else {
        return Found::Good(format!("{address} is free"));
    };
    match data.holder() {
        Some(holder) if holder.address == Some(address) => {
            Found::Good(format!("{address} is served by {holder}"))
        }
        _ => Found::Missing(
            format!("{address}: {error}"),
            "choose another with --listen ADDRESS",
        ),
    }
}

fn confinement(settings: &Settings, data: &DataDir) -> Found {
    match host::sandbox(settings, data.path()).confinement() {
        Confinement::Landlock { abi } => Found::Good(format!("Landlock, version {abi}")),
        Confinement::None { reason } => Found::Lacking(
            reason,
            "builds and releases may do all that you may do; deploy only what you would run by hand",
        ),
        other => Found::Good(format!("{other:?}")),
    }
}

/// Whether connections survive that Caddy listens anew.
fn migrating() -> Found {
    match std::fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req")
        .as_deref()
        .map(str::trim)
    {
        Ok("1") => Found::Good("on".into()),
        _ => Found::Lacking(
            "off".into(),
            "set net.ipv4.tcp_migrate_req=1 (sysctl), or a deployment may cost some connections: docs/caddy.md",
        ),
    }
}

async fn compose(settings: &Settings, data: &DataDir) -> Found {
    match docker::compose(settings, data).await {
        Ok(version) => Found::Good(version),
        Err(error) => Found::Lacking(error, "only for `--target compose`"),
    }
}

async fn swarm(settings: &Settings, data: &DataDir) -> Found {
    match docker::swarm(settings, data).await {
        Ok(node) => Found::Good(node),
        Err(error) => Found::Lacking(error, "only for `--target swarm`"),
    }
}

async fn docker(settings: &Settings, data: &DataDir) -> Found {
    match docker::engine(settings, data).await {
        Ok(version) => Found::Good(version),
        Err(error) => Found::Lacking(
            error,
            "only for `--target docker`: install Docker, or name its socket with --docker-socket",
        ),
    }
}

fn clock() -> Found {
    let now = SystemClock.now();
    let text = crate::view::moment(now);
    // The year in which this was written.
    if now.timestamp() > 1_767_225_600 {
        Found::Good(text)
    } else {
        Found::Missing(
            text,
            "set the clock; certificates and the order of deployments depend on it",
        )
    }
}

fn find(program: &str, optional: Option<&'static str>) -> Found {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file: &PathBuf| file.is_file());
    match (found, optional) {
        (Some(file), _) => Found::Good(file.display().to_string()),
        (None, Some(help)) => Found::Lacking("not found".into(), help),
        (None, None) => Found::Missing("not found".into(), "builds are run by it"),
    }
}
