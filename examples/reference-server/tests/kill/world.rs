//! The machine, what is deployed on it, and the lives of its server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use deployr_core::model::{DeploymentId, DeploymentStatus, Stage};

use crate::client::Client;
use crate::machine::Machine;
use crate::plan::{Durations, Moment, Plan};
use crate::rest::{self, Asked};
use crate::server::{Server, kill_all_of, processes_of};
use crate::site::{Outcome, Site};
use crate::watch::{Place, Watch};

/// A site waits until the lease of its killed deployment has run out: so many sites that
/// there are mostly some which do not.
const FOLDERS: usize = 6;
const APPS: usize = 3;
/// Nothing that is waited for takes so long; what is endless takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The deployments that workers have taken up, and how far they are.
type InHand = BTreeSet<(DeploymentId, Stage)>;

pub(crate) struct World {
    pub(crate) plan: Plan,
    machine: Machine,
    sites: Vec<Site>,
    asked: Asked,
    durations: Durations,
    watch: Watch,
    /// In which stages deployments were when their server was killed.
    hits: BTreeMap<Stage, usize>,
}

impl World {
    /// Sites that have been deployed once, without a disturbance.
    pub(crate) async fn new(plan: Plan) -> Self {
        let machine = Machine::new();
        let begun = Instant::now();
        let mut server = Server::start(&machine);
        server.wait_until_it_serves();
        let start = begun.elapsed();
        let client = Client::open(&machine).await;
        let mut sites = Vec::new();
        for number in 0..FOLDERS + APPS {
            let is_app = number >= FOLDERS;
            let name = format!("{}-{number}", if is_app { "app" } else { "folder" });
            let repository = Site::repository(&machine, &name, is_app);
            let project = client.create_project(&name, &repository).await;
            sites.push(Site::new(&project, repository, is_app));
        }
        let places = sites.iter().map(|site| Place {
            name: site.name.clone(),
            folder: site.folder(&machine),
        });
        let watch = Watch::new(places.collect());
        let mut world = Self {
            plan,
            machine,
            sites,
            asked: Asked::default(),
            durations: Durations::new(start),
            watch,
            hits: BTreeMap::new(),
        };
        for id in world.deploy_all(&client).await {
            world.durations.add(&client.stages(id).await);
        }
        world.watch.start();
        server.kill();
        world
    }

    /// One life of the server, and its end.
    pub(crate) async fn live_and_die(&mut self, kill: usize) {
        let moment = self.plan.moment(kill, &self.durations);
        // The queue is open also while nobody works.
        let client = Client::open(&self.machine).await;
        self.queue(&client).await;
        let before = in_hand(&client).await;
        // Mostly the server has the database for itself when it dies.
        drop(client);

        let mut server = Server::start(&self.machine);
        let after = match moment {
            Moment::Starting(after) => after,
            Moment::Working(after) => {
                self.watch.open(server.wait_until_it_serves());
                self.queue(&Client::open(&self.machine).await).await;
                after
            }
            Moment::In(stage, after) => {
                self.watch.open(server.wait_until_it_serves());
                let client = Client::open(&self.machine).await;
                self.queue(&client).await;
                self.wait_for(stage, &client, before.clone()).await;
                after
            }
        };
        tokio::time::sleep(after).await;
        self.watch.close();
        server.kill();

        let client = Client::open(&self.machine).await;
        for (_, stage) in in_hand(&client).await.difference(&before) {
            *self.hits.entry(*stage).or_default() += 1;
        }
        self.check(&format!("at kill {kill}, {moment:?}"));
        let building = || {
            let processes = processes_of(self.machine.path()).into_iter();
            processes.filter(|process| process.build.is_some()).count()
        };
        until("the builds of a dead server end", async || building() == 0).await;
    }

    /// Adds something to do for sites that have little.
    async fn queue(&mut self, client: &Client) {
        let unfinished = client.unfinished().await;
        for site in &mut self.sites {
            let waiting = unfinished.iter().filter(|one| one.project == site.project);
            if waiting.count() >= 2 || !self.plan.in_hundred(60) {
                continue;
            }
            let queued = if self.plan.in_hundred(15) {
                client.roll_back(site, self.plan.dice(1_000)).await
            } else {
                let commit = site.commit(self.plan.outcome());
                let waits = self.plan.in_hundred(70);
                Some(client.deploy(site, commit, waits).await)
            };
            self.asked.created.extend(queued);
        }
        if !unfinished.is_empty() && self.plan.in_hundred(20) {
            let any = &unfinished[self.plan.dice(unfinished.len())];
            self.cancel(client, any.id).await;
        }
    }

    async fn cancel(&mut self, client: &Client, id: DeploymentId) {
        self.asked.cancelled.insert(id);
        client.cancel(id).await;
    }

    /// Until some deployment enters the stage; not for long, for all that there is to do may
    /// be blocked. Those that were in it when the last server died do not count.
    async fn wait_for(&mut self, stage: Stage, client: &Client, mut before: InHand) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            let now = in_hand(client).await;
            before.retain(|known| now.contains(known));
            let mut entered = now.difference(&before).filter(|(_, at)| *at == stage);
            if let Some((id, _)) = entered.next() {
                if self.plan.in_hundred(15) {
                    self.cancel(client, *id).await;
                }
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// No more kills: all that was asked for ends, and ends well.
    pub(crate) async fn come_to_rest(mut self) {
        let mut server = Server::start(&self.machine);
        self.watch.open(server.wait_until_it_serves());
        let client = Client::open(&self.machine).await;
        for deployment in client.unfinished().await {
            let mut sites = self.sites.iter();
            let site = sites.find(|site| site.project == deployment.project);
            if site.and_then(|site| site.outcome(&deployment)) == Some(Outcome::Endless) {
                self.cancel(&client, deployment.id).await;
            }
        }
        wait_until_all_is_done(&client).await;
        for id in &self.asked.created {
            let created = client.deployment(*id).await;
            assert!(created.status.is_final(), "{created:#?}");
        }
        for site in &self.sites {
            rest::check_site(&self.machine, &client, site, &self.asked).await;
        }
        self.deploy_all(&client).await;
        for site in &self.sites {
            rest::check_target(&self.machine, &client, site).await;
        }
        rest::check_machine(&self.machine, &client, &self.sites).await;
        rest::check_store(&self.machine);
        self.check("at rest");

        let (answers, looks) = self.watch.counts();
        let asked = self.asked.created.len();
        eprintln!("{asked} deployments, {answers} answers, {looks} looks at the disk");
        eprintln!("at work when the server was killed: {:?}", self.hits);
        let hits: usize = self.hits.values().sum();
        assert!(hits >= self.plan.kills / 2, "the kills hit next to nothing");
        assert!(answers.min(looks) > 10 * self.plan.kills);

        self.watch.close();
        assert!(server.stop().success());
        let left = processes_of(self.machine.path());
        assert!(left.is_empty(), "the server has left {left:#?}");
    }

    /// A good version of each site goes live.
    async fn deploy_all(&mut self, client: &Client) -> Vec<DeploymentId> {
        let mut queued = Vec::new();
        for site in &mut self.sites {
            let commit = site.commit(Outcome::Good);
            queued.push(client.deploy(site, commit, true).await);
        }
        self.asked.created.extend(&queued);
        wait_until_all_is_done(client).await;
        for id in &queued {
            let ended = client.deployment(*id).await;
            assert_eq!(ended.status, DeploymentStatus::Success, "{ended:#?}");
        }
        queued
    }

    fn check(&self, when: &str) {
        let complaints = self.watch.complaints();
        assert!(complaints.is_empty(), "{when}: {complaints:#?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.machine.path().join("server.log"));
            let log = log.unwrap_or_default();
            let last = log.lines().rev().take(30).collect::<Vec<_>>();
            eprintln!("the server's last words, the last first: {last:#?}");
        }
        kill_all_of(self.machine.path());
    }
}

async fn in_hand(client: &Client) -> InHand {
    let unfinished = client.unfinished().await.into_iter();
    let stages = unfinished.map(|deployment| (deployment.id, deployment.stage));
    stages
        .filter(|(_, stage)| *stage != Stage::Queued)
        .collect()
}

/// Until no job waits or runs.
async fn wait_until_all_is_done(client: &Client) {
    until("all jobs end", async || {
        let stats = client.engine.queue_stats().await.unwrap();
        (stats.pending, stats.queued, stats.running) == (0, 0, 0)
    })
    .await;
}

async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
