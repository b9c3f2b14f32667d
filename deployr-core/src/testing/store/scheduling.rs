use std::time::Duration;

use super::bench::{Bench, TERM, kind, limit};
use crate::model::{Actor, Job, JobId, JobState, Labels, Lease, Limit};
use crate::store::{ClaimRequest, Due, JobFault, NewJob};
use crate::system::Clock;
use crate::value::{Label, TenantId};

super::check_list! {
    a_higher_priority_comes_first,
    a_higher_priority_comes_first_whatever_it_needs,
    tenants_take_turns,
    a_tenant_that_comes_later_is_not_ahead_for_what_others_had_before,
    tenants_take_turns_within_a_priority_only,
    tenants_take_turns_whatever_their_jobs_need,
    a_job_that_comes_back_keeps_its_place_in_line,
    what_comes_later_is_behind_a_job_that_came_back,
    a_limit_has_so_many_places,
    a_job_needs_a_place_of_each_of_its_keys,
    a_free_place_goes_to_the_highest_priority,
    a_free_place_is_not_hidden_by_those_who_need_another_too,
    a_job_that_waits_for_its_next_attempt_keeps_its_places,
    a_time_that_has_passed_is_now,
    the_time_to_start_counts_from_when_it_is_due,
    a_worker_is_given_what_it_can_offer,
    a_paused_kind_is_not_given_out,
}

fn label(name: &str) -> Label {
    Label::parse(name).unwrap()
}

fn ids(leases: &[Lease]) -> Vec<JobId> {
    leases.iter().map(|lease| lease.job.id).collect()
}

impl Bench {
    async fn add(&self, change: impl FnOnce(&mut NewJob)) -> Job {
        let mut new = self.new_job("work", None);
        change(&mut new);
        self.store.enqueue(self.tenant(), new).await.unwrap()
    }

    async fn add_for(&self, tenant: &TenantId, jobs: usize) -> Vec<JobId> {
        let new: Vec<_> = (0..jobs).map(|_| self.new_job("work", None)).collect();
        let jobs = self.store.enqueue_all(tenant, new).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect()
    }

    async fn complete_one(&self) -> JobId {
        let claim = self.claim().await;
        self.store.complete(&claim).await.unwrap();
        claim.job
    }

    async fn state(&self, job: &Job) -> JobState {
        self.job(job.id).await.state
    }
}

fn eve() -> Actor {
    Actor::new(TenantId::parse("other").unwrap(), "eve")
}

async fn a_higher_priority_comes_first(b: Bench) {
    let low = b.add(|new| new.priority = -7).await;
    let plain = b.add(|_| {}).await;
    let high = b.add(|new| new.priority = i16::MAX).await;
    let second = b.add(|_| {}).await;
    let wanted = [high.id, plain.id, second.id, low.id];
    assert_eq!(ids(&b.claim_up_to(2).await), wanted[..2]);
    assert_eq!(ids(&b.claim_up_to(9).await), wanted[2..]);
    assert_eq!(b.job(high.id).await.priority, i16::MAX);
}

async fn a_higher_priority_comes_first_whatever_it_needs(b: Bench) {
    let plain = b.add_for(b.tenant(), 2).await;
    let gpu = |priority| {
        move |new: &mut NewJob| {
            new.needs = Labels::from([label("gpu")]);
            new.priority = priority;
        }
    };
    let urgent = b.add(gpu(1)).await;
    let low = b.add(gpu(-1)).await;
    let claim = |limit| claim_with_a_gpu(&b, limit);
    assert_eq!(claim(2).await, [urgent.id, plain[0]]);
    assert_eq!(claim(9).await, [plain[1], low.id]);
}

/// As a worker that has one.
async fn claim_with_a_gpu(b: &Bench, limit: u32) -> Vec<JobId> {
    let request = ClaimRequest {
        worker: b.worker_id(),
        kinds: vec![kind("work")],
        limit,
        offers: Labels::from([label("gpu")]),
        term: TERM,
    };
    ids(&b.store.claim(request).await.unwrap())
}

async fn tenants_take_turns(b: Bench) {
    // However they are enqueued.
    let mut many = b.add_for(b.tenant(), 1).await;
    many.extend(b.add_for(b.tenant(), 1).await);
    many.extend(b.add_for(b.tenant(), 98).await);
    let few = b.add_for(&eve().tenant, 2).await;
    let given = ids(&b.claim_up_to(6).await);
    let wanted = [many[0], few[0], many[1], few[1], many[2], many[3]];
    assert_eq!(given, wanted);
    let rest = ids(&b.claim_up_to(200).await);
    assert_eq!(rest, many[4..], "in order");
}

async fn a_tenant_that_comes_later_is_not_ahead_for_what_others_had_before(b: Bench) {
    let many = b.add_for(b.tenant(), 50).await;
    assert_eq!(ids(&b.claim_up_to(30).await), many[..30]);
    let late = b.add_for(&eve().tenant, 3).await;
    let wanted = [
        many[30], late[0], many[31], late[1], many[32], late[2], many[33],
    ];
    assert_eq!(ids(&b.claim_up_to(7).await), wanted);
    assert_eq!(ids(&b.claim_up_to(200).await), many[34..]);
    // All lines are empty: nobody has an advantage or owes anything.
    let first = b.add_for(b.tenant(), 2).await;
    let second = b.add_for(&eve().tenant, 2).await;
    let wanted = [first[0], second[0], first[1], second[1]];
    assert_eq!(ids(&b.claim_up_to(9).await), wanted);
}

async fn tenants_take_turns_within_a_priority_only(b: Bench) {
    b.add_for(b.tenant(), 20).await;
    let urgent = b.add(|new| new.priority = 1).await;
    let mut new = b.new_job("work", None);
    new.priority = 1;
    let other = b.store.enqueue(&eve().tenant, new).await.unwrap();
    assert_eq!(ids(&b.claim_up_to(2).await), [urgent.id, other.id]);
}

async fn tenants_take_turns_whatever_their_jobs_need(b: Bench) {
    let tenants = [b.tenant().clone(), eve().tenant];
    let third = TenantId::parse("third").unwrap();
    let gpu = async || {
        let mut new = b.new_job("work", None);
        new.needs = Labels::from([label("gpu")]);
        b.store.enqueue(&third, new).await.unwrap().id
    };
    let claim = |limit| claim_with_a_gpu(&b, limit);
    let one = b.add_for(&tenants[0], 30).await;
    let two = b.add_for(&tenants[1], 30).await;
    claim(20).await;
    // This line was empty all the time: that is no claim to what the others had meanwhile.
    let more = [gpu().await, gpu().await];
    let wanted = [
        one[10], two[10], more[0], one[11], two[11], more[1], one[12],
    ];
    assert_eq!(claim(7).await, wanted);
    // It is empty again, and the others' goes on.
    for turn in 13..16 {
        let last = gpu().await;
        assert_eq!(claim(3).await, [two[turn - 1], last, one[turn]]);
    }
}

async fn a_job_that_comes_back_keeps_its_place_in_line(b: Bench) {
    let jobs = b.add_for(b.tenant(), 5).await;
    let first = b.claim().await;
    b.store.release(&first).await.unwrap();
    assert_eq!(ids(&b.claim_up_to(2).await), jobs[..2]);
}

async fn what_comes_later_is_behind_a_job_that_came_back(b: Bench) {
    b.add_for(b.tenant(), 3).await;
    let taken = b.claim_up_to(3).await;
    // The line is empty now, and begins anew: far before the place of the third.
    let meanwhile = b.add_for(b.tenant(), 1).await;
    b.store.release(&taken[2].claim).await.unwrap();
    let later = b.add_for(b.tenant(), 1).await;
    let wanted = [meanwhile[0], taken[2].job.id, later[0]];
    assert_eq!(ids(&b.claim_up_to(9).await), wanted);
}

async fn a_limit_has_so_many_places(b: Bench) {
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(b.add(|new| new.limits = vec![limit("server", 2)]).await);
    }
    let states: Vec<_> = jobs.iter().map(|job| job.state).collect();
    let (queued, pending) = (JobState::Queued, JobState::Pending);
    assert_eq!(states, [queued, queued, pending, pending]);
    assert_eq!(b.complete_one().await, jobs[0].id);
    assert_eq!(b.state(&jobs[2]).await, queued, "the oldest that waits");
    assert_eq!(b.state(&jobs[3]).await, pending);
    assert_eq!(b.job(jobs[3].id).await.limits, [limit("server", 2)]);
}

async fn a_job_needs_a_place_of_each_of_its_keys(b: Bench) {
    let a = b.add(|new| new.limits = vec![limit("a", 1)]).await;
    let both = b
        .add(|new| new.limits = vec![limit("a", 1), limit("b", 1)])
        .await;
    assert_eq!((a.state, both.state), (JobState::Queued, JobState::Pending));
    // One that waits has no place, so it is in nobody's way.
    let other = b.add(|new| new.limits = vec![limit("b", 1)]).await;
    assert_eq!(other.state, JobState::Queued);
    assert_eq!(b.complete_one().await, a.id);
    assert_eq!(b.state(&both).await, JobState::Pending);
    assert_eq!(b.complete_one().await, other.id);
    assert_eq!(b.state(&both).await, JobState::Queued);
    assert_eq!(b.complete_one().await, both.id);
    let again = b.add(|new| new.limits = vec![limit("a", 1)]).await;
    assert_eq!(again.state, JobState::Queued, "both places are free");
}

async fn a_free_place_goes_to_the_highest_priority(b: Bench) {
    let one = |priority: i16| {
        move |new: &mut NewJob| {
            new.limits = vec![limit("k", 1)];
            new.priority = priority;
        }
    };
    let first = b.add(one(0)).await;
    let plain = b.add(one(0)).await;
    let urgent = b.add(one(5)).await;
    assert_eq!(b.complete_one().await, first.id);
    assert_eq!(b.complete_one().await, urgent.id);
    assert_eq!(b.complete_one().await, plain.id);
}

async fn a_free_place_is_not_hidden_by_those_who_need_another_too(b: Bench) {
    let keys = |limits: &[Limit], n: usize| {
        let new = || NewJob {
            limits: limits.to_vec(),
            ..b.new_job("work", None)
        };
        (0..n).map(|_| new()).collect::<Vec<_>>()
    };
    let (x, y) = (limit("x", 1), limit("y", 1));
    let single = std::slice::from_ref;
    let new = [keys(single(&x), 1), keys(single(&y), 1)].concat();
    b.store.enqueue_all(b.tenant(), new).await.unwrap();
    let new = [keys(&[x.clone(), y], 300), keys(single(&x), 1)].concat();
    let waiting = b.store.enqueue_all(b.tenant(), new).await.unwrap();
    let (last, both) = waiting.split_last().unwrap();
    b.complete_one().await;
    // A store may leave one so far behind to the next sweep.
    b.pass(Duration::from_secs(1)).await;
    assert_eq!(b.state(last).await, JobState::Queued);
    assert_eq!(b.state(&both[0]).await, JobState::Pending);
}

async fn a_job_that_waits_for_its_next_attempt_keeps_its_places(b: Bench) {
    let (first, second) = (b.enqueue(Some("k")).await, b.enqueue(Some("k")).await);
    let claim = b.claim().await;
    let later = JobFault {
        error: "x".to_owned(),
        retry_after: Some(TERM),
    };
    b.store.fail(&claim, later).await.unwrap();
    assert_eq!(b.state(&first).await, JobState::Pending);
    b.pass(TERM / 2).await;
    assert_eq!(b.state(&second).await, JobState::Pending);
    b.pass(TERM).await;
    assert_eq!(b.complete_one().await, first.id);
    assert_eq!(b.complete_one().await, second.id);
}

async fn a_time_that_has_passed_is_now(b: Bench) {
    let now = b.clock.now();
    let job = b.add(|new| new.due = Due::At(now - TERM)).await;
    assert_eq!(job.state, JobState::Queued);
    assert!(job.run_at >= now);
    let at = b.clock.now() + TERM;
    let later = b.add(|new| new.due = Due::At(at)).await;
    assert_eq!((later.state, later.run_at), (JobState::Pending, at));
    let finer = Due::At(at + Duration::from_nanos(1));
    let finer = b.add(|new| new.due = finer).await;
    assert_eq!(b.job(finer.id).await, finer, "as it is stored");
    b.pass(TERM).await;
    assert_eq!(b.state(&later).await, JobState::Queued);
}

async fn the_time_to_start_counts_from_when_it_is_due(b: Bench) {
    let job = b
        .add(|new| {
            new.due = Due::After(TERM * 10);
            new.start_within = TERM;
        })
        .await;
    assert_eq!(job.start_by, job.run_at + TERM);
    b.pass(TERM * 10).await;
    assert_eq!(b.state(&job).await, JobState::Queued);
    b.pass(TERM + Duration::from_secs(1)).await;
    assert_eq!(b.state(&job).await, JobState::Failed);
}

async fn a_worker_is_given_what_it_can_offer(b: Bench) {
    let plain = b.add(|_| {}).await;
    let gpu = b.add(|new| new.needs = Labels::from([label("gpu")])).await;
    let both = b
        .add(|new| new.needs = Labels::from([label("gpu"), label("region:eu")]))
        .await;
    let claim = async |offers: &[&str]| {
        let request = ClaimRequest {
            worker: b.worker_id(),
            kinds: vec![kind("work")],
            limit: 9,
            offers: offers.iter().map(|name| label(name)).collect(),
            term: TERM,
        };
        ids(&b.store.claim(request).await.unwrap())
    };
    assert_eq!(claim(&[]).await, [plain.id]);
    assert!(claim(&["region:eu", "arm"]).await.is_empty());
    assert_eq!(claim(&["gpu", "arm"]).await, [gpu.id]);
    assert_eq!(claim(&["region:eu", "arm", "gpu"]).await, [both.id]);
    assert_eq!(
        b.job(both.id).await.needs,
        Labels::from([label("gpu"), label("region:eu")])
    );
}

async fn a_paused_kind_is_not_given_out(b: Bench) {
    let running = b.enqueue(None).await;
    let claim = b.claim().await;
    let project = b.project("app").await;
    let deployment = b.deployment(project.id).await;
    for _ in 0..2 {
        b.store.pause(&kind("work"), true).await.unwrap();
    }
    b.store.pause(&kind("never"), true).await.unwrap();
    assert_eq!(
        b.store.paused().await.unwrap(),
        [kind("never"), kind("work")]
    );
    let waits = b.enqueue(None).await;
    assert_eq!(waits.state, JobState::Queued);
    assert_eq!(ids(&b.claim_up_to(9).await), [deployment.job]);
    b.store.complete(&claim).await.unwrap();
    assert_eq!(b.state(&running).await, JobState::Completed);
    for _ in 0..2 {
        b.store.pause(&kind("work"), false).await.unwrap();
    }
    assert_eq!(b.store.paused().await.unwrap(), [kind("never")]);
    assert_eq!(ids(&b.claim_up_to(9).await), [waits.id]);
}
