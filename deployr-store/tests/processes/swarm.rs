//! Worker processes, and the database that they share.

use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use deployr_core::model::JobId;
use deployr_core::store::{JobQueue, NewJob};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::{JobKind, TenantId};
use deployr_store::PgStore;
use deployr_testkit::postgres::Postgres;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::child::{ORDERS, Orders, Task};
use crate::ledger::{Ledger, TABLES};

/// The kind of all jobs here.
pub(crate) const JOB: &str = "work";

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A worker process. It ends with the test, whatever comes of that: its input does.
pub(crate) struct Process {
    pub(crate) name: String,
    child: Child,
    input: Option<ChildStdin>,
}

impl Process {
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Whether it still lives.
    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it end in good order.
    fn let_go(&mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success(), "{}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who needs the whole machine takes all of it, so that the others keep time.
static MACHINE: RwLock<()> = RwLock::const_new(());

enum Machine {
    Shared(#[allow(dead_code, reason = "held")] RwLockReadGuard<'static, ()>),
    Whole(#[allow(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
}

/// A database with a queue, and the processes that work on it.
pub(crate) struct Swarm {
    _machine: Machine,
    pub(crate) postgres: Postgres,
    pub(crate) processes: Vec<Process>,
    orders: Orders,
    started: usize,
    jobs: i64,
}

impl Swarm {
    /// An empty queue, and nobody at work.
    pub(crate) async fn new(concurrency: u32, lease: Duration) -> Self {
        Self::on(Machine::Shared(MACHINE.read().await), concurrency, lease).await
    }

    /// The same, for a test that leaves the others no time.
    pub(crate) async fn alone(concurrency: u32, lease: Duration) -> Self {
        Self::on(Machine::Whole(MACHINE.write().await), concurrency, lease).await
    }

    async fn on(machine: Machine, concurrency: u32, lease: Duration) -> Self {
        let postgres = Postgres::start();
        let url = postgres.database();
        let swarm = Self {
            _machine: machine,
            postgres,
            processes: Vec::new(),
            orders: Orders {
                url,
                schema: "deployr".to_owned(),
                name: String::new(),
                concurrency,
                lease,
                clock_ahead: 0,
            },
            started: 0,
            jobs: 0,
        };
        swarm.store().await;
        swarm.db().await.execute(TABLES).await.unwrap();
        swarm
    }

    pub(crate) async fn store(&self) -> PgStore {
        PgStore::open(&self.orders.url).await.unwrap()
    }

    /// A connection behind the store's back.
    pub(crate) async fn db(&self) -> PgConnection {
        let mut db = PgConnection::connect(&self.orders.url).await.unwrap();
        db.execute("SET search_path = deployr").await.unwrap();
        db
    }

    /// A number that a query gives.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        self.db().await.fetch_one(sql).await.unwrap().get(0)
    }

    pub(crate) async fn enqueue(&mut self, tasks: impl IntoIterator<Item = Task>) {
        let new = tasks.into_iter().map(|task| NewJob {
            max_attempts: 25,
            ..NewJob::new(
                JobId::new(SystemClock.now(), &SystemEntropy),
                JobKind::parse(JOB).unwrap(),
                serde_json::to_value(task).unwrap(),
            )
        });
        let tenant = TenantId::parse("acme").unwrap();
        let jobs = self.store().await.enqueue_all(&tenant, new.collect()).await;
        self.jobs += jobs.unwrap().len() as i64;
    }

    /// Starts a process whose clock is so many hours ahead.
    pub(crate) fn start(&mut self, clock_ahead: i32) {
        self.started += 1;
        let orders = Orders {
            name: format!("worker {}", self.started),
            clock_ahead,
            ..self.orders.clone()
        };
        let mut child = Command::new(std::env::current_exe().unwrap());
        let mut child = child
            .args(["--exact", "child::worker_process", "--nocapture"])
            .env(ORDERS, serde_json::to_string(&orders).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.processes.push(Process {
            name: orders.name,
            input: child.stdin.take(),
            child,
        });
    }

    /// Kills the `n`-th process, and notes when that was.
    pub(crate) async fn kill(&mut self, n: usize) {
        let mut process = self.processes.swap_remove(n);
        process.kill();
        let note = sqlx::query("INSERT INTO deaths (worker) VALUES ($1)").bind(&process.name);
        note.execute(&mut self.db().await).await.unwrap();
    }

    /// Waits until a query gives at least that number.
    pub(crate) async fn until(&self, sql: &str, wanted: i64) {
        let (start, mut db) = (Instant::now(), self.db().await);
        loop {
            let row = db.fetch_one(AssertSqlSafe(sql.to_owned())).await.unwrap();
            let found: i64 = row.get(0);
            if found >= wanted {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{sql} gives {found} of {wanted}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until_begun(&self, runs: i64) {
        let begun = "SELECT count(*) FROM ledger WHERE event = 'began'";
        self.until(begun, runs).await;
    }

    pub(crate) async fn until_all_over(&self) {
        self.until("SELECT count(*) FROM ends", self.jobs).await;
    }

    /// Waits until all is over and the processes have ended in good order; gives what they
    /// did, in which nothing is wrong.
    pub(crate) async fn judge(mut self, seed: u64) -> Ledger {
        self.until_all_over().await;
        self.processes.iter_mut().for_each(Process::let_go);
        let ledger = Ledger::read(&mut self.db().await).await;
        assert_eq!(ledger.ends.len() as i64, self.jobs);
        let wrong = ledger.wrong();
        assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
        ledger
    }
}
