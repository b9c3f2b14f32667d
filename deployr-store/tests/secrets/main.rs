//! Secrets given to a project stay out of all that can be read without the key: the
//! database's file, the log, errors, `Debug`, `tracing`. Every part of the engine tells
//! all secrets, in every form, in every way that a part can speak.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and so does a part that leaks"
)]

mod canary;
mod leaky;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deployr_core::engine::{DeployRequest, Engine, EngineError, ProjectRequest, RemoveRequest};
use deployr_core::log::MASK;
use deployr_core::model::{
    Actor, Deployment, DeploymentId, DeploymentStatus, Job, JobState, Page, Project, ReleaseState,
};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::store::{JobQueue, Projects, Releases, StoreError};
use deployr_core::value::{EnvName, EnvSet, EnvValue, GitUrl, TenantId};
use deployr_core::worker::Worker;
use deployr_store::SqliteStore;
use tempfile::TempDir;

use canary::{ROTATED, SECRETS, blurt, find};
use leaky::{Leaky, Way};

/// An engine over a database in a folder of its own, and all that it lets out.
struct Bench {
    folder: TempDir,
    store: Arc<SqliteStore>,
    parts: Leaky,
    engine: Engine,
    me: Actor,
    out: Vec<String>,
}

impl Bench {
    async fn new() -> Self {
        deployr_testkit::told::listen();
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(
            SqliteStore::open(folder.path().join("deployr.db"))
                .await
                .unwrap(),
        );
        let parts = Leaky::new(&folder.path().join("builds"));
        let part = || Arc::new(parts.clone());
        let builder = Engine::builder()
            .store(store.clone())
            .source(part())
            .credentials(part())
            .builder(part())
            .executor("local", part())
            .ingress(part())
            .notifier(part())
            .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap());
        let out = vec![format!("{builder:?}")];
        let engine = builder.build().unwrap();
        let me = Actor::new(TenantId::parse("acme").unwrap(), "ada");
        Self {
            folder,
            store,
            parts,
            engine,
            me,
            out,
        }
    }

    fn worker(&self) -> Worker {
        self.engine
            .worker()
            .concurrency(4)
            .poll(Duration::from_millis(20))
            .spawn()
    }

    /// Notes a value as people and machines would see it.
    fn note(&mut self, value: &impl Debug) {
        self.out.push(format!("{value:?}"));
    }

    async fn project(&mut self, name: &str) -> Project {
        let mut env = EnvSet::new();
        for (name, value) in SECRETS {
            env.insert(
                EnvName::parse(name).unwrap(),
                EnvValue::parse(value).unwrap(),
            )
            .unwrap();
        }
        env.insert(
            EnvName::parse("OLD").unwrap(),
            EnvValue::parse(ROTATED).unwrap(),
        )
        .unwrap();
        let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
        let request = ProjectRequest::new(name, url).unwrap().env(env);
        self.note(&request);
        let project = self.engine.create_project(&self.me, request).await.unwrap();
        self.note(&project);
        let entries = self.store.env(&self.me.tenant, project.id).await.unwrap();
        self.note(&entries);
        project
    }

    async fn deploy(&mut self, project: &Project) -> Deployment {
        let asked = self
            .engine
            .deploy(&self.me, project.id, DeployRequest::latest())
            .await
            .unwrap();
        self.end_of(asked.id).await
    }

    /// Follows a deployment to its end, or to its return to the queue after a fault.
    async fn end_of(&mut self, id: DeploymentId) -> Deployment {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut events = self.engine.follow(&self.me, id, 0).await.unwrap();
        let job = loop {
            assert!(Instant::now() < deadline, "{id} does not end");
            match tokio::time::timeout(Duration::from_millis(50), events.try_next()).await {
                Ok(event) => match event.unwrap() {
                    Some(event) => self.out.push(format!("{event} {event:?}")),
                    None => break self.job_of(id).await,
                },
                Err(_) => {
                    let job = self.job_of(id).await;
                    if job.state == JobState::Pending && job.error.is_some() {
                        break job;
                    }
                }
            }
        };
        self.note(&job);
        self.out.extend(job.error);
        let ended = self.engine.deployment(&self.me, id).await.unwrap();
        self.note(&ended);
        self.out.push(serde_json::to_string(&ended).unwrap());
        let stages = self.engine.stages(&self.me, id).await.unwrap();
        self.note(&stages);
        self.note(&self.engine.clone());
        ended
    }

    /// Removes a project; gives why that came to a stand, if it did.
    async fn remove(&mut self, project: &Project) -> Option<String> {
        let request = RemoveRequest::default();
        let asked = self.engine.remove_project(&self.me, project.id, request);
        asked.await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            assert!(Instant::now() < deadline, "{} does not go", project.name);
            let left = match self.engine.project(&self.me, project.id).await {
                Err(EngineError::Store(StoreError::NotFound { .. })) => return None,
                left => left.unwrap(),
            };
            if let Some(why) = self.engine.removal_trouble(&left).await.unwrap() {
                self.note(&left);
                self.out.push(why.clone());
                return Some(why);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn job_of(&self, id: DeploymentId) -> Job {
        let job = self.engine.deployment(&self.me, id).await.unwrap().job;
        self.store.job(&self.me.tenant, job).await.unwrap()
    }

    /// All that was let out, and whoever let it out.
    async fn leaks(mut self) -> Vec<String> {
        let tenant = self.me.tenant.clone();
        let projects = self
            .engine
            .projects(&self.me, Page::first(100))
            .await
            .unwrap();
        for project in &projects {
            let releases = self
                .engine
                .releases(&self.me, project.id, Page::first(100))
                .await;
            self.note(&releases.unwrap());
        }
        let audit = self
            .engine
            .audit(&self.me, Page::first(1_000))
            .await
            .unwrap();
        self.note(&audit);
        self.note(&self.store.live_releases(Page::first(100)).await.unwrap());
        self.note(&(projects, tenant));
        self.out.append(&mut self.parts.given.lock().unwrap());
        self.out.push(deployr_testkit::told::said());

        let file = self.folder.path().join("deployr.db");
        let mut leaks = in_files(&file, "while it is open");
        let Self {
            folder,
            store,
            engine,
            parts,
            out,
            ..
        } = self;
        drop((store, engine, parts));
        leaks.extend(in_files(&file, "when it is closed"));
        for text in out {
            leaks.extend(find(text.as_bytes()).map(|form| {
                let start: String = text.chars().take(200).collect();
                format!("{form:?} in {start}")
            }));
        }
        drop(folder);
        leaks
    }
}

/// The database and whatever lies beside it, byte by byte.
fn in_files(file: &Path, when: &str) -> Vec<String> {
    let folder = file.parent().unwrap();
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    assert!(std::fs::metadata(file).unwrap().len() > 0);
    let leak = |path: &PathBuf| {
        // A helper file may go away meanwhile.
        let form = find(&std::fs::read(path).ok()?)?;
        Some(format!("{form:?} in {} {when}", path.display()))
    };
    files.iter().filter_map(leak).collect()
}

const CALLS: [&str; 16] = [
    "credentials",
    "resolve",
    "checkout",
    "prepare",
    "detect",
    "build",
    "clean",
    "place",
    "start",
    "verify",
    "switch",
    "route",
    "drain",
    "retire",
    "prune",
    "discard",
];

async fn every_call(way: Way) {
    let mut bench = Bench::new().await;
    let worker = bench.worker();
    for call in CALLS {
        let project = bench.project(&format!("{call} {way:?}")).await;
        match call {
            "retire" => drop(bench.deploy(&project).await),
            "discard" => bench.parts.tell("verify", Way::Verdict),
            _ => {}
        }
        bench.parts.tell(call, way);
        bench.deploy(&project).await;
        let leaked = bench.parts.hush();
        assert!(leaked.contains(&call), "{call} was never made: {leaked:?}");
    }
    worker.drain(Duration::from_secs(30)).await;
    let leaks = bench.leaks().await;
    assert!(leaks.is_empty(), "{}:\n{}", leaks.len(), leaks.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_holds_no_secret() {
    every_call(Way::Log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_hold_no_secret() {
    every_call(Way::Verdict).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_hold_no_secret() {
    every_call(Way::Fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_are_tried_again_hold_no_secret() {
    every_call(Way::FaultThatMayPass).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_leave_no_secret() {
    every_call(Way::Panic).await;
}

/// What parts say while a project is taken away.
#[tokio::test(flavor = "multi_thread")]
async fn removals_tell_no_secret() {
    let mut bench = Bench::new().await;
    let worker = bench.worker();
    for (call, fails) in [
        ("unroute", true),
        ("remove", true),
        ("forget the builds", false),
        ("forget the source", false),
    ] {
        for way in [Way::Fault, Way::Verdict] {
            let project = bench.project(&format!("{call} {way:?}")).await;
            bench.deploy(&project).await;
            bench.parts.tell(call, way);
            if fails {
                let why = bench.remove(&project).await.expect("it has failed");
                assert!(why.contains(MASK), "{call} {way:?}: {why}");
                bench.parts.hush();
            }
            assert_eq!(bench.remove(&project).await, None, "{call} {way:?}");
            bench.parts.hush();
        }
    }
    worker.drain(Duration::from_secs(30)).await;
    let leaks = bench.leaks().await;
    assert!(leaks.is_empty(), "{}:\n{}", leaks.len(), leaks.join("\n"));
}

/// A release that is gone back to has the environment of its time, and so have those
/// that are brought up after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn old_environments_stay_secret_too() {
    let mut bench = Bench::new().await;
    let worker = bench.worker();
    let project = bench.project("rotated").await;
    let (old, new) = (
        EnvName::parse("OLD").unwrap(),
        EnvValue::parse("brand-new-value").unwrap(),
    );
    bench.deploy(&project).await;
    bench
        .engine
        .set_env(&bench.me, project.id, &old, Some(&new))
        .await
        .unwrap();
    bench.deploy(&project).await;

    bench.parts.tell("start", Way::Log);
    let back = bench
        .engine
        .rollback(&bench.me, project.id, None)
        .await
        .unwrap();
    let back = bench.end_of(back.id).await;
    assert_eq!(back.status, DeploymentStatus::Success, "{:?}", back.failure);
    let releases = bench
        .engine
        .releases(&bench.me, project.id, Page::first(9))
        .await
        .unwrap();
    let live = releases
        .iter()
        .find(|release| release.state == ReleaseState::Live);
    assert_eq!(live.unwrap().number, 1);

    worker.drain(Duration::from_secs(30)).await;
    for way in [Way::Verdict, Way::Fault] {
        bench.parts.tell("start", way);
        let restored = bench.engine.restore().await.unwrap();
        assert_eq!(restored.failed.len(), 1);
        bench.note(&restored);
        bench.out.push(restored.failed[0].1.to_string());
    }
    let leaks = bench.leaks().await;
    assert!(leaks.is_empty(), "{}:\n{}", leaks.len(), leaks.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_no_secret() {
    let mut bench = Bench::new().await;
    let project = bench.project("planned").await;
    for call in [
        "credentials",
        "resolve",
        "checkout",
        "prepare",
        "detect",
        "clean",
    ] {
        for way in [Way::Verdict, Way::Fault] {
            bench.parts.tell(call, way);
            let error = bench
                .engine
                .plan(&bench.me, project.id, None)
                .await
                .unwrap_err();
            bench.parts.hush();
            bench.out.push(format!("{error} {error:?}"));
            assert!(error.to_string().contains(MASK), "{call} {way:?}: {error}");
        }
    }
    let plan = bench
        .engine
        .plan(&bench.me, project.id, None)
        .await
        .unwrap();
    bench.note(&plan);
    let leaks = bench.leaks().await;
    assert!(leaks.is_empty(), "{}:\n{}", leaks.len(), leaks.join("\n"));
}

/// What people type wrong: the value stays out of the answer.
#[test]
fn refused_values_are_not_repeated() {
    let long = format!("{}{}", blurt(), "x".repeat(64 * 1024));
    let refused = EnvValue::parse(&long).unwrap_err();
    assert_eq!(find(format!("{refused} {refused:?}").as_bytes()), None);
    for (_, secret) in SECRETS.iter().filter(|(_, secret)| !secret.contains('\n')) {
        let refused = [
            EnvValue::parse(format!("{secret}\0")).unwrap_err(),
            EnvName::parse(format!("NAME={secret}")).unwrap_err(),
        ];
        for error in refused {
            assert_eq!(find(format!("{error} {error:?}").as_bytes()), None);
        }
    }
    for userinfo in ["ada:{}", "{}", "{}:x-oauth-basic"] {
        // Not all of these can stand in a URL, which is one more reason to refuse them.
        for (_, secret) in SECRETS {
            let url = format!(
                "https://{}@git.example.com/a/b",
                userinfo.replace("{}", secret)
            );
            let error = GitUrl::parse(&url).unwrap_err();
            assert_eq!(find(format!("{error} {error:?}").as_bytes()), None, "{url}");
        }
    }
}
