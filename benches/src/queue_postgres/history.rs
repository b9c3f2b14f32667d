//! What a long history costs: claims beside a million finished jobs, pages of a million
//! deployments.

use std::time::Instant;

use deployr_core::model::{Cause, Claim, Labels, Page, WorkerId};
use deployr_core::store::{ClaimRequest, Deployments, JobQueue};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::{BranchName, GitRef, JobKind, TenantId};
use deployr_store::PgStore;

use super::{BENCH, Bench};
use crate::queue::new_job;
use crate::report::Goal;
use crate::side_by_side::{Case, median, rounds};
use crate::{Error, Rows};

/// A million deployments of 1,000 projects, all over, with their jobs. Foreign keys are not
/// looked at, which would take longer than all else.
const HISTORY: &str = "
    SET session_replication_role = replica;
    INSERT INTO deployr.projects
        SELECT ('0190a000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench', 'p' || n,
            'p' || n, 'p' || n, '{}', now(), now()
        FROM generate_series(1, 1000) AS n;
    INSERT INTO deployr.lanes (kind, needs) VALUES ('deploy', '{target:local}');
    INSERT INTO deployr.jobs (id, tenant, kind, needs, lane, input, priority, rank, state, run_at,
            attempt, max_attempts, fence, worker, ended_by, start_by, created_at, finished_at)
        SELECT ('0190b000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench', 'deploy',
            '{target:local}', lanes.id, '{}', 0, n, 'completed', now(), 1, 5, 1,
            '0190c000-0000-7000-8000-000000000001', 'finish', now(), now(), now()
        FROM generate_series(1, 1000000) AS n, deployr.lanes WHERE kind = 'deploy';
    INSERT INTO deployr.deployments (id, tenant, project, number, job, notify_job, cause, status,
            stage, actor, created_at, finished_at)
        SELECT ('0190d000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench',
            ('0190a000-0000-7000-8000-' || lpad(to_hex(n % 1000 + 1), 12, '0'))::uuid,
            n / 1000 + 1,
            ('0190b000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
            ('0190e000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
            'CAUSE', 'cancelled', 'finished', 'bench', now(),
            now()
        FROM generate_series(1, 1000000) AS n;
    SET session_replication_role = origin";

/// Claims of a round, and the jobs of each.
const CLAIMS: usize = 100;
const EACH: u32 = 10;

pub(super) fn rows(bench: &Bench) -> Rows {
    let runtime = &bench.runtime;
    let empty = bench.cluster.database(runtime)?;
    let mut full = bench.cluster.database(runtime)?;
    let fresh = runtime.block_on(PgStore::open(&empty.url))?;
    let old = runtime.block_on(PgStore::open(&full.url))?;
    eprintln!("  a million deployments ...");
    let reference = GitRef::Branch(BranchName::parse("main")?);
    let cause = serde_json::to_string(&Cause::Deploy { reference })?;
    full.execute(&HISTORY.replace("CAUSE", &cause))?;
    full.settle()?;
    let case = |name: &str, most| Case {
        bench: BENCH,
        case: name.to_owned(),
        unit: "ms",
        goal: Goal::RatioAtMost(most),
    };
    let claims = case("claim-beside-1m-finished-vs-none", 1.2).measure(
        || runtime.block_on(claim(&old)),
        || runtime.block_on(claim(&fresh)),
    )?;
    let (mut first, mut thousandth) = (Vec::new(), Vec::new());
    for _ in 0..rounds() {
        let (one, last) = runtime.block_on(pages(&old))?;
        first.push(one);
        thousandth.push(last);
    }
    let pages = case("page-1000-vs-page-1", 1.5).row(median(thousandth), median(first));
    Ok(vec![claims, pages])
}

/// The median of some claims, each of which also completes what the last one took.
async fn claim(store: &PgStore) -> Result<f64, Error> {
    let (tenant, kind) = (TenantId::parse("bench")?, JobKind::parse("noop")?);
    let jobs = CLAIMS * EACH as usize;
    let new = (0..jobs).map(|_| new_job(&kind)).collect();
    store.enqueue_all(&tenant, new).await?;
    let worker = WorkerId::new(SystemClock.now(), &SystemEntropy);
    let mut held: Vec<Claim> = Vec::new();
    let mut took = Vec::new();
    loop {
        let request = ClaimRequest {
            worker,
            kinds: vec![kind.clone()],
            offers: Labels::new(),
            limit: EACH,
            term: std::time::Duration::from_secs(60),
        };
        let began = Instant::now();
        let answer = store.exchange(&held, Some(request)).await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        for completed in answer.completed {
            completed?;
        }
        if answer.leases.is_empty() {
            return Ok(median(took));
        }
        held = answer.leases.iter().map(|lease| lease.claim).collect();
    }
}

/// The medians of reading the first page of 50, and of the thousandth.
async fn pages(store: &PgStore) -> Result<(f64, f64), Error> {
    let tenant = TenantId::parse("bench")?;
    let mut far = Page::first(1_000);
    for _ in 0..50 {
        let rows = store.deployments(&tenant, None, far).await?;
        far = far.after(rows.last().ok_or("the list is too short")?.id);
    }
    let first = Page::first(50);
    // Page 1,000 is what comes after 999 * 50 rows, or nearly.
    let last = match far.after {
        Some(key) => first.after(key),
        None => return Err("the list is empty".into()),
    };
    let (mut one, mut thousandth) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        for (page, took) in [(first, &mut one), (last, &mut thousandth)] {
            let began = Instant::now();
            let rows = store.deployments(&tenant, None, page).await?;
            took.push(began.elapsed().as_secs_f64() * 1e3);
            if rows.len() != 50 {
                return Err("a page was not full".into());
            }
        }
    }
    Ok((median(one), median(thousandth)))
}
