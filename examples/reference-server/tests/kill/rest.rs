//! What must hold once everything has come to rest.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use deployr_core::log::LogStream;
use deployr_core::model::{
    Cause, Deployment, DeploymentId, DeploymentStatus, Failure, Release, ReleaseState,
};
use rusqlite::Connection;

use crate::client::Client;
use crate::machine::Machine;
use crate::server::processes_of;
use crate::site::{Outcome, STEPS, Site, version_in};

/// What the test has done, as far as that decides how deployments may end.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Whose creation was acknowledged.
    pub(crate) created: Vec<DeploymentId>,
    pub(crate) cancelled: HashSet<DeploymentId>,
}

/// The store by itself: whole, and each job and deployment ended exactly once.
pub(crate) fn check_store(machine: &Machine) {
    let db = Connection::open(machine.path().join(".deployr/deployr.db")).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let none = [""; 0];
    assert_eq!(texts("PRAGMA integrity_check"), ["ok"]);
    assert_eq!(texts("PRAGMA foreign_key_check"), none);
    assert_eq!(
        texts("SELECT hex(id) || ' ' || state FROM jobs WHERE finished_at IS NULL"),
        none,
        "jobs that are not over"
    );
    let ends = "SELECT hex(d.id) || ' ended ' || count(a.seq) || ' times' FROM deployments d
        LEFT JOIN audit a ON a.deployment = d.id AND a.action = 'deployment_moved'
            AND a.detail IN ('success', 'failed', 'cancelled')
        GROUP BY d.id HAVING count(a.seq) <> 1";
    assert_eq!(texts(ends), none);
    let jobs = "SELECT hex(d.id) || ' ' || d.status || ', its job ' || j.state
        FROM deployments d JOIN jobs j ON j.id = d.job
        WHERE j.state <> CASE
            WHEN d.status = 'success' THEN 'completed'
            WHEN d.status = 'cancelled' THEN 'cancelled'
            WHEN json_extract(d.failure, '$.kind') = 'fault' THEN 'failed'
            ELSE 'completed' END";
    assert_eq!(texts(jobs), none);
    // Who lost it for want of attempts has had them all.
    let attempts = "SELECT hex(d.id) || ' failed after ' || j.attempt FROM deployments d
        JOIN jobs j ON j.id = d.job
        WHERE j.attempt > j.max_attempts OR j.state = 'failed' AND j.attempt < j.max_attempts";
    assert_eq!(texts(attempts), none);
    let notices = "SELECT hex(d.id) || ' has ' || count(j.id) || ' notices' FROM deployments d
        LEFT JOIN jobs j ON j.id = d.notify_job GROUP BY d.id HAVING count(j.id) <> 1";
    assert_eq!(texts(notices), none);
}

/// How the deployments of a site ended, and what they have told.
pub(crate) async fn check_site(machine: &Machine, client: &Client, site: &Site, asked: &Asked) {
    let deployments = client.deployments(site).await;
    let journal = Journal::read(machine, site);
    for deployment in &deployments {
        let why = ended_wrongly(site, asked, deployment);
        assert!(
            why.is_none(),
            "{}: {deployment:#?}",
            why.unwrap_or_default()
        );
        let log = client.log(deployment.id).await;
        let gap = (1..).zip(&log).find(|(number, line)| line.seq != *number);
        assert!(gap.is_none(), "{gap:?} in the log of {}", deployment.id);
        let lines = log.iter().filter(|line| line.stream == LogStream::Stdout);
        let told = steps_told(lines.map(|line| line.text.as_str()));
        for (build, steps) in &told {
            assert!(
                steps.iter().copied().eq(1..=steps.len()),
                "{} tells of the steps {steps:?} of {build}",
                deployment.id
            );
        }
        let built = matches!(deployment.cause, Cause::Deploy { .. });
        if built && deployment.status == DeploymentStatus::Success {
            let whole = |build: &&String| journal.ended.contains(*build);
            let whole: Vec<_> = told.keys().filter(whole).collect();
            assert!(
                whole.iter().any(|build| told[*build].len() == STEPS),
                "no attempt at {} was logged whole: {told:?}",
                deployment.id
            );
        }
    }
}

/// What of a site is on the disk, and what is live.
pub(crate) async fn check_target(machine: &Machine, client: &Client, site: &Site) {
    let mut deployments = client.deployments(site).await.into_iter();
    let last = deployments.find(|deployment| deployment.status == DeploymentStatus::Success);
    let releases = client.releases(site).await;
    let live = live(&releases);
    assert_eq!(last.unwrap().release, Some(live.id), "the last success");
    let folder = site.folder(machine);
    let current = std::fs::read_link(folder.join("current")).unwrap();
    assert_eq!(current, Path::new("releases").join(live.number.to_string()));

    let mut kept = Vec::new();
    for release in &releases {
        assert_ne!(release.state, ReleaseState::Placed, "{release:#?}");
        if release.state != ReleaseState::Gone {
            let number = release.number.to_string();
            let there = version_in(&folder.join("releases").join(&number)).unwrap();
            assert_eq!(there, site.version(&release.commit).name);
            kept.push(number);
        }
    }
    kept.sort_unstable();
    assert_eq!(names(&folder.join("releases")), kept);
    let run = site.is_app.then(|| format!("{}.json", live.number));
    assert_eq!(names(&folder.join("run")), Vec::from_iter(run));
    let temporary = |name: &String| name.starts_with('.') || name.ends_with(".new");
    let left: Vec<_> = names(&folder).into_iter().filter(temporary).collect();
    assert_eq!(left, [""; 0]);
}

fn live(releases: &[Release]) -> &Release {
    let mut live = releases
        .iter()
        .filter(|release| release.state == ReleaseState::Live);
    live.next().unwrap()
}

/// Why a deployment may not have ended as it did.
fn ended_wrongly(site: &Site, asked: &Asked, deployment: &Deployment) -> Option<&'static str> {
    let outcome = site.outcome(deployment);
    if let Cause::Deploy { reference } = &deployment.cause
        && let Some(commit) = &deployment.commit
        && commit.as_str() != reference.name()
    {
        return Some("another commit than was asked for");
    }
    match (&deployment.status, &deployment.failure) {
        (DeploymentStatus::Success, None) => {
            let can_be = matches!(outcome, None | Some(Outcome::Good));
            (!can_be).then_some("a success that cannot be")
        }
        // How often it was tried, the check of the store tells.
        (DeploymentStatus::Failed, Some(Failure::Fault { message })) => {
            (!message.contains("the worker was lost")).then_some("a fault")
        }
        (DeploymentStatus::Failed, Some(Failure::Verdict { code, .. })) => {
            let due = match outcome {
                Some(outcome) => outcome == Outcome::Bad && code == "build_failed",
                None => code == "release_gone",
            };
            (!due).then_some("a verdict that is not due")
        }
        (DeploymentStatus::Cancelled, Some(Failure::Cancelled { reason })) => {
            let superseded = reason.starts_with("superseded by ");
            let wanted = superseded || asked.cancelled.contains(&deployment.id);
            (!wanted).then_some("cancelled, and nobody wanted that")
        }
        _ => Some("no end"),
    }
}

/// The numbers of the steps in lines such as `dep_…-3 step 2`, by their build.
fn steps_told<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, Vec<usize>> {
    let mut told: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for line in lines {
        if let Some((build, step)) = line.split_once(" step ") {
            let steps = told.entry(build.to_owned()).or_default();
            steps.push(step.parse().unwrap());
        }
    }
    told
}

/// What the builds of a site have written down themselves, in the order of time.
struct Journal {
    ended: HashSet<String>,
}

impl Journal {
    /// Reads it. While a build runs no other one of the site does, and each runs once.
    fn read(machine: &Machine, site: &Site) -> Self {
        let caches = machine.path().join(".deployr/builds/cache");
        let path = caches.join(site.project.to_string()).join("journal");
        let text = std::fs::read_to_string(path).unwrap();
        let (mut begun, mut ended) = (HashSet::new(), HashSet::new());
        let mut present = "";
        for line in text.lines() {
            let (build, what) = line.split_once(' ').unwrap();
            if what == "begin" {
                assert!(begun.insert(build), "{build} has run twice:\n{text}");
                present = build;
            }
            assert_eq!(build, present, "two builds at once:\n{text}");
            if what == "end" {
                ended.insert(build.to_owned());
            }
        }
        Self { ended }
    }
}

/// What is left on the machine: the processes of the live releases, once each, and nothing
/// that nobody needs.
pub(crate) async fn check_machine(machine: &Machine, client: &Client, sites: &[Site]) {
    let mut apps = HashMap::new();
    for site in sites.iter().filter(|site| site.is_app) {
        let live = live(&client.releases(site).await).number;
        let release = site.folder(machine).join(format!("releases/{live}"));
        apps.insert(release.to_str().unwrap().to_owned(), 0);
    }
    for process in processes_of(machine.path()) {
        let release = process.release.as_ref();
        match release.and_then(|release| apps.get_mut(release)) {
            // Beside it may be the shell that has started it.
            Some(count) => *count += usize::from(process.command.starts_with("node ")),
            None => panic!("a stray process: {process:#?}"),
        }
    }
    assert!(apps.values().all(|count| *count == 1), "{apps:#?}");
    let data = machine.path().join(".deployr");
    assert_eq!(names(&data.join("builds/work")), [""; 0]);
    assert_eq!(names(&data.join("builds/lock")), [""; 0]);
    let mirrors = names(&data.join("mirrors"));
    assert!(
        !mirrors.iter().any(|name| name.contains(".new-")),
        "{mirrors:?}"
    );
}

/// What lies in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}
