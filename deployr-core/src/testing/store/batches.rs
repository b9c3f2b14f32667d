use crate::model::{Claim, Fence, JobState, Labels, Lease};
use crate::store::{ClaimRequest, NewJob, StoreError, StoreResult};
use crate::system::Clock;

use super::bench::{Bench, TERM, assert_refused, kind};

super::check_list! {
    a_batch_is_enqueued_in_its_order,
    a_batch_with_a_taken_id_changes_nothing,
    a_batch_of_one_key_takes_turns,
    an_exchange_completes_and_claims,
    an_exchange_may_only_complete_or_only_claim,
    a_key_that_a_completion_frees_is_free_for_the_claim,
    a_refused_completion_stops_nothing_else,
    a_completion_handed_in_again_is_one_completion,
    a_completion_is_of_its_job_fence_and_worker,
    a_deployments_job_is_not_completed_where_it_has_no_key_either,
}

fn request(b: &Bench, limit: u32) -> ClaimRequest {
    ClaimRequest {
        worker: b.worker_id(),
        kinds: vec![kind("work"), kind("deploy")],
        limit,
        offers: Labels::new(),
        term: TERM,
    }
}

async fn held(b: &Bench, jobs: u32) -> Vec<Claim> {
    for _ in 0..jobs {
        b.enqueue(None).await;
    }
    let leases = b.claim_up_to(jobs).await;
    leases.into_iter().map(|lease| lease.claim).collect()
}

async fn state(b: &Bench, claim: &Claim) -> JobState {
    b.job(claim.job).await.state
}

fn told(completed: &[StoreResult<()>]) -> Vec<&'static str> {
    let one = |answer: &StoreResult<()>| match answer {
        Ok(()) => "done",
        Err(StoreError::LeaseLost { .. }) => "lost",
        Err(StoreError::Illegal(_)) => "illegal",
        Err(_) => "another error",
    };
    completed.iter().map(one).collect()
}

async fn a_batch_is_enqueued_in_its_order(b: Bench) {
    let none = b.store.enqueue_all(b.tenant(), Vec::new()).await.unwrap();
    assert!(none.is_empty());
    let new: Vec<_> = (0..200).map(|_| b.new_job("work", None)).collect();
    let jobs = b.store.enqueue_all(b.tenant(), new.clone()).await.unwrap();
    assert!(
        jobs.iter()
            .map(|job| job.id)
            .eq(new.iter().map(|new| new.id))
    );
    for job in &jobs {
        assert_eq!(b.job(job.id).await, *job, "as it was given back");
    }
    let given = b.claim_up_to(200).await;
    assert!(
        given
            .iter()
            .map(|lease| lease.job.id)
            .eq(jobs.iter().map(|job| job.id))
    );
}

async fn a_batch_with_a_taken_id_changes_nothing(b: Bench) {
    let taken = b.enqueue(None).await.id;
    let new = || b.new_job("work", None);
    let twice = new();
    let with = |id| NewJob { id, ..new() };
    for last in [with(taken), twice.clone()] {
        let batch = vec![twice.clone(), new(), last];
        let ids: Vec<_> = batch[..2].iter().map(|new| new.id).collect();
        let answer = b.store.enqueue_all(b.tenant(), batch.clone()).await;
        let Err(StoreError::Conflict { key, .. }) = answer else {
            panic!("it must be refused with Conflict, not {answer:?}");
        };
        assert_eq!(key, batch[2].id.to_string(), "names what is taken");
        for id in ids {
            assert_refused!(b.store.job(b.tenant(), id).await, NotFound);
        }
    }
    assert_eq!(b.store.queue_stats().await.unwrap().queued, 1);
}

async fn a_batch_of_one_key_takes_turns(b: Bench) {
    let new = |key| b.new_job("work", key);
    let batch = vec![new(Some("k")), new(Some("k")), new(None), new(Some("k"))];
    let jobs = b.store.enqueue_all(b.tenant(), batch).await.unwrap();
    let states: Vec<_> = jobs.iter().map(|job| job.state).collect();
    let (queued, pending) = (JobState::Queued, JobState::Pending);
    assert_eq!(states, [queued, pending, queued, pending]);
}

async fn an_exchange_completes_and_claims(b: Bench) {
    let done = held(&b, 3).await;
    let waiting = b.enqueue(None).await;
    let answer = b.store.exchange(&done, Some(request(&b, 9))).await.unwrap();
    assert_eq!(told(&answer.completed), ["done"; 3]);
    for claim in &done {
        let job = b.job(claim.job).await;
        assert_eq!((job.state, job.worker), (JobState::Completed, None));
        assert_eq!(job.finished_at, Some(b.clock.now()));
    }
    let taken: Vec<_> = answer.leases.iter().map(|lease| lease.job.id).collect();
    assert_eq!(taken, [waiting.id]);
    assert_eq!(b.job(waiting.id).await, answer.leases[0].job);
}

async fn an_exchange_may_only_complete_or_only_claim(b: Bench) {
    let done = held(&b, 1).await;
    b.enqueue(None).await;
    for next in [None, Some(request(&b, 0))] {
        let answer = b.store.exchange(&done, next).await.unwrap();
        assert_eq!(
            (told(&answer.completed), answer.leases.len()),
            (vec!["done"], 0)
        );
    }
    let answer = b.store.exchange(&[], Some(request(&b, 1))).await.unwrap();
    assert_eq!((answer.completed.len(), answer.leases.len()), (0, 1));
    let answer = b.store.exchange(&[], None).await.unwrap();
    assert_eq!((answer.completed.len(), answer.leases.len()), (0, 0));
}

async fn a_key_that_a_completion_frees_is_free_for_the_claim(b: Bench) {
    b.enqueue(Some("k")).await;
    let next = b.enqueue(Some("k")).await.id;
    let done = [b.claim().await];
    let answer = b.store.exchange(&done, Some(request(&b, 9))).await.unwrap();
    let taken = answer.leases.iter().map(|lease: &Lease| lease.job.id);
    assert_eq!(taken.collect::<Vec<_>>(), [next]);
}

async fn a_refused_completion_stops_nothing_else(b: Bench) {
    let (_, deployment, of_deployment) = b.held().await;
    let held = held(&b, 2).await;
    let waiting = b.enqueue(None).await.id;
    let stale = Claim {
        fence: Fence(held[1].fence.0 + 1),
        ..held[1]
    };
    let unknown = Claim {
        job: b.job_id(),
        ..held[1]
    };
    let done = [stale, held[0], unknown, of_deployment, held[1]];
    let before = (b.row(deployment.id).await, b.job(deployment.job).await);
    let answer = b.store.exchange(&done, Some(request(&b, 9))).await.unwrap();
    let want = ["lost", "done", "lost", "illegal", "done"];
    assert_eq!(told(&answer.completed), want);
    assert_eq!(answer.leases.len(), 1);
    assert_eq!(answer.leases[0].job.id, waiting);
    for claim in &held {
        assert_eq!(state(&b, claim).await, JobState::Completed);
    }
    let after = (b.row(deployment.id).await, b.job(deployment.job).await);
    assert_eq!(after, before, "a deployment ends by `finish` alone");
}

async fn a_completion_handed_in_again_is_one_completion(b: Bench) {
    let claim = held(&b, 1).await[0];
    let answer = b.store.exchange(&[claim, claim], None).await.unwrap();
    assert_eq!(told(&answer.completed), ["done"; 2]);
    let before = b.job(claim.job).await;
    b.clock.advance(TERM);
    let answer = b.store.exchange(&[claim], None).await.unwrap();
    assert_eq!(told(&answer.completed), ["done"]);
    assert_eq!(b.job(claim.job).await, before);
}

async fn a_completion_is_of_its_job_fence_and_worker(b: Bench) {
    let mut claims = held(&b, 4).await;
    let (last, others) = (claims.remove(3), claims);
    let wrong = [
        Claim {
            worker: b.worker_id(),
            ..last
        },
        Claim {
            fence: Fence(last.fence.0 + 1),
            ..last
        },
        Claim {
            job: b.job_id(),
            ..last
        },
    ];
    // Alone, and beside one that is right.
    for (wrong, other) in wrong.into_iter().zip(others) {
        let answer = b.store.exchange(&[wrong], None).await.unwrap();
        assert_eq!(told(&answer.completed), ["lost"], "{wrong:?}");
        let answer = b.store.exchange(&[wrong, other], None).await.unwrap();
        assert_eq!(told(&answer.completed), ["lost", "done"], "{wrong:?}");
        assert_eq!(state(&b, &last).await, JobState::Running);
    }
    b.store.complete(&last).await.unwrap();
}

async fn a_deployments_job_is_not_completed_where_it_has_no_key_either(b: Bench) {
    let project = b.project("app").await;
    let mut new = b.new_deployment(project.id);
    new.job.limits.clear();
    let deployment = b.store.create_deployment(&b.actor, new).await.unwrap();
    let claim = b.claim().await;
    assert_eq!(claim.job, deployment.job);
    let other = held(&b, 1).await[0];
    let answer = b.store.exchange(&[claim], None).await.unwrap();
    assert_eq!(told(&answer.completed), ["illegal"]);
    let answer = b.store.exchange(&[claim, other], None).await.unwrap();
    assert_eq!(told(&answer.completed), ["illegal", "done"]);
    assert_eq!(state(&b, &claim).await, JobState::Running);
}
