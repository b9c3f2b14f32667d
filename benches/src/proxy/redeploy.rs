//! Requests while releases are being replaced: none fails, none is answered by two of
//! them, none by one that was replaced before it began.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use deployr_core::executor::Endpoint;
use deployr_core::ingress::Ingress;
use deployr_core::value::Slug;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::load::{Answer, Connection, Page};
use super::{BENCH, SITE, ingress, page, route, serve};
use crate::Error;
use crate::pipeline::{Origin, Site};
use crate::report::{Goal, Row};
use crate::side_by_side::Case;

const REDEPLOYS: i64 = 20;
const CLIENTS: usize = 8;
/// So many requests go over one connection.
const A_CONNECTION: usize = 500;

/// A project of files that is deployed again and again, each time with a new commit.
pub(super) fn files(runtime: &Runtime) -> Result<Row, Error> {
    let (origin, folder) = (Origin::serve()?, tempfile::tempdir()?);
    let site = Site::open(runtime, folder.path(), &origin.url())?;
    site.deploy()?.live()?;
    let load = Load::start(Page {
        server: site.ingress.local_addr(),
        host: format!("{}.localhost", site.project.slug),
        path: "/version.txt",
    });
    for _ in 0..REDEPLOYS {
        origin.push()?;
        site.deploy()?.live()?;
    }
    let row = load.row("redeploy")?;
    site.close();
    Ok(row)
}

/// A process that is replaced by another; the old one is killed once it is drained.
pub(super) fn processes(runtime: &Runtime) -> Result<Row, Error> {
    let (mut old, endpoint) = app(1)?;
    let ingress = runtime.block_on(ingress(endpoint))?;
    let load = Load::start(page(ingress.local_addr(), "/"));
    for release in 2..REDEPLOYS + 2 {
        thread::sleep(Duration::from_millis(50));
        let (new, endpoint) = app(release)?;
        let cut = runtime.block_on(async {
            ingress.route(route(release, endpoint)?).await?;
            let limit = Duration::from_secs(10);
            Ok::<_, Error>(ingress.drain(&Slug::parse(SITE)?, limit).await?)
        })?;
        if cut > 0 {
            return Err(format!("{cut} requests were cut off").into());
        }
        std::mem::replace(&mut old, new).shutdown_background();
    }
    let row = load.row("redeploy-process");
    old.shutdown_background();
    row
}

/// A server that names its release in each line of its answers. Ends with its runtime.
fn app(release: i64) -> Result<(Runtime, Endpoint), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let body = format!("version {release}\n").repeat(1_000);
    let app = Router::new().route("/", get(|| async move { body.clone() }));
    let address = runtime.block_on(serve(app))?;
    Ok((runtime, Endpoint::Http { address }))
}

/// Clients that ask until they are to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinHandle<io::Result<Seen>>,
}

#[derive(Default)]
struct Seen {
    requests: u64,
    failed: u64,
    /// The first few failures.
    why: Vec<String>,
    /// What each release answers, by its number.
    releases: HashMap<i64, String>,
}

impl Load {
    fn start(page: Page) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let clients = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut clients = JoinSet::new();
                for _ in 0..CLIENTS {
                    clients.spawn(client(page.clone(), Arc::clone(&until)));
                }
                let mut all = Seen::default();
                while let Some(seen) = clients.join_next().await {
                    all.add(seen?);
                }
                Ok(all)
            })
        });
        Self { stop, clients }
    }

    fn row(self, case: &str) -> Result<Row, Error> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.clients.join().map_err(|_| "the clients panicked")??;
        for why in &seen.why {
            eprintln!("  failed: {why}");
        }
        if seen.releases.len() as i64 != REDEPLOYS + 1 {
            return Err(format!("{} releases were seen", seen.releases.len()).into());
        }
        let case = Case {
            bench: BENCH,
            case: case.to_owned(),
            unit: "failed",
            goal: Goal::OursAtMost(0.0),
        };
        Ok(case.row(seen.failed as f64, seen.requests as f64))
    }
}

async fn client(page: Page, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut newest = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut connection = match Connection::open(&page).await {
            Ok(connection) => connection,
            Err(error) => {
                seen.count(Err(format!("no connection: {error}")));
                continue;
            }
        };
        for _ in 0..A_CONNECTION {
            let answer = connection.ask().await;
            let lost = answer.is_err();
            let checked = answer.and_then(|answer| seen.check(&answer, &mut newest));
            seen.count(checked);
            if lost || stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    seen
}

impl Seen {
    /// Whether all of an answer is of one release, and of none that is older than one
    /// that this client has seen.
    fn check(&mut self, answer: &Answer<'_>, newest: &mut i64) -> Result<(), String> {
        let release = answer
            .header("x-deployr-release")
            .and_then(|number| number.parse().ok());
        let (Some(release), "200") = (release, answer.status()) else {
            return Err(answer.head.to_owned());
        };
        let text = str::from_utf8(answer.body).map_err(|error| error.to_string())?;
        let version = text.lines().next().unwrap_or_default();
        if !text.lines().all(|line| line == version) {
            return Err(format!("release {release} answered {version} and others"));
        }
        if release < *newest {
            return Err(format!("release {release} answered after release {newest}"));
        }
        *newest = release;
        let known = self
            .releases
            .entry(release)
            .or_insert_with(|| version.to_owned());
        match known == version {
            true => Ok(()),
            false => Err(format!("release {release} answered {version} and {known}")),
        }
    }

    fn count(&mut self, checked: Result<(), String>) {
        self.requests += 1;
        if let Err(why) = checked {
            self.failed += 1;
            self.why.push(why);
            self.why.truncate(3);
        }
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.why.extend(other.why);
        for (release, version) in other.releases {
            let known = self
                .releases
                .entry(release)
                .or_insert_with(|| version.clone());
            if *known != version {
                self.failed += 1;
                self.why
                    .push(format!("release {release} answered {version} and {known}"));
            }
        }
    }
}
