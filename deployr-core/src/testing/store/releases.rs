use std::time::Duration;

use super::bench::{Bench, TERM, assert_refused};
use crate::model::{Cause, Deployment, Page, ProjectId, ReleaseId, ReleaseState, Stage};
use crate::store::{JobFault, Outcome, StoreResult};

super::check_list! {
    releases_are_numbered_by_project,
    recording_the_same_release_again_gives_it_back,
    the_release_of_an_earlier_attempt_is_gone,
    one_release_is_live_and_the_one_before_is_kept,
    live_releases_are_listed_with_their_turn,
    rollback_makes_a_kept_release_live_again,
    rollback_to_a_release_that_is_gone_is_refused,
    rollback_to_another_projects_release_is_not_found,
    a_failed_rollback_leaves_the_kept_release_kept,
    success_needs_a_release,
    live_releases_are_never_marked_gone,
    what_is_on_the_target_is_listed_whole,
}

/// Asks for a rollback.
async fn roll_back(b: &Bench, project: ProjectId, release: ReleaseId) -> StoreResult<Deployment> {
    let cause = Cause::Rollback { release };
    let new = crate::store::NewDeployment {
        cause,
        ..b.new_deployment(project)
    };
    b.store.create_deployment(&b.actor, new).await
}

async fn releases_are_numbered_by_project(b: Bench) {
    let (app, other) = (b.project("app").await.id, b.project("other").await.id);
    let mut made = Vec::new();
    for n in 1..=3 {
        let (deployment, release) = b.go_live(app).await;
        assert_eq!((release.number, release.deployment), (n, deployment.id));
        assert_eq!(deployment.release, Some(release.id));
        made.insert(0, release.id);
    }
    assert_eq!(b.go_live(other).await.1.number, 1);
    let ids = |rows: Vec<crate::model::Release>| -> Vec<_> {
        rows.into_iter().map(|row| row.id).collect()
    };
    let all = b
        .store
        .releases(b.tenant(), app, Page::first(10))
        .await
        .unwrap();
    assert_eq!(ids(all), made);
    let page = Page::first(1).after(made[0]);
    assert_eq!(
        ids(b.store.releases(b.tenant(), app, page).await.unwrap()),
        made[1..2]
    );
}

async fn recording_the_same_release_again_gives_it_back(b: Bench) {
    let (project, deployment, claim) = b.held().await;
    b.enter(&claim, deployment.id, Stage::Release)
        .await
        .unwrap();
    let new = b.new_release();
    for _ in 0..2 {
        let row = b
            .store
            .record_release(&claim, deployment.id, new.clone())
            .await
            .unwrap();
        assert_eq!(
            (row.id, row.number, row.state),
            (new.id, 1, ReleaseState::Placed)
        );
        assert_eq!((row.project, row.deployment), (project.id, deployment.id));
        assert_eq!(
            (&row.commit, &row.recipe, &row.env),
            (&new.commit, &new.recipe, &new.env)
        );
        assert_eq!((&row.target, &row.digest), (&new.target, &new.digest));
    }
    let all = b
        .store
        .releases(b.tenant(), project.id, Page::first(10))
        .await
        .unwrap();
    assert_eq!(all.len(), 1);
}

async fn the_release_of_an_earlier_attempt_is_gone(b: Bench) {
    let (_, deployment, first) = b.held().await;
    let old = b.place(&first, deployment.id).await;
    let fault = JobFault {
        error: "x".to_owned(),
        retry_after: Some(Duration::ZERO),
    };
    b.store.fail(&first, fault).await.unwrap();
    let second = b.claim().await;
    let new = b.place(&second, deployment.id).await;
    assert_eq!((old.number, new.number), (1, 2));
    assert_eq!(b.release(old.id).await.state, ReleaseState::Gone);
    assert_eq!(b.release(new.id).await.state, ReleaseState::Placed);
    assert_eq!(b.row(deployment.id).await.release, Some(new.id));
}

async fn one_release_is_live_and_the_one_before_is_kept(b: Bench) {
    let project = b.project("app").await.id;
    let (_, first) = b.go_live(project).await;
    assert_eq!(first.state, ReleaseState::Live);
    let (_, second) = b.go_live(project).await;
    assert_eq!(second.state, ReleaseState::Live);
    assert_eq!(b.release(first.id).await.state, ReleaseState::Kept);
    let other = b.go_live(b.project("other").await.id).await.1;
    assert_eq!(b.release(second.id).await.state, ReleaseState::Live);
    assert_eq!(other.state, ReleaseState::Live);
}

async fn live_releases_are_listed_with_their_turn(b: Bench) {
    let mut want = Vec::new();
    for slug in ["one", "two", "three"] {
        let project = b.project(slug).await.id;
        b.go_live(project).await;
        let release = b.go_live(project).await.1.id;
        want.push((release, slug.to_owned(), 2));
    }
    let mut seen = Vec::new();
    let mut page = Page::first(1);
    while let [live] = &b.store.live_releases(page).await.unwrap()[..] {
        let turn = live.release.live_turn.unwrap();
        seen.push((live.release.id, live.slug.as_str().to_owned(), turn));
        page = page.after(live.release.id);
    }
    seen.sort();
    want.sort();
    assert_eq!(seen, want, "page by page, each once");
}

async fn rollback_makes_a_kept_release_live_again(b: Bench) {
    let project = b.project("app").await.id;
    let (_, first) = b.go_live(project).await;
    let (_, second) = b.go_live(project).await;
    let deployment = roll_back(&b, project, first.id).await.unwrap();
    assert_eq!(deployment.number, 3);
    let claim = b.claim().await;
    b.enter(&claim, deployment.id, Stage::Release)
        .await
        .unwrap();
    let outcome = Outcome::Success { release: first.id };
    b.store
        .finish(&claim, deployment.id, outcome)
        .await
        .unwrap();
    assert_eq!(b.release(first.id).await.state, ReleaseState::Live);
    assert_eq!(b.release(second.id).await.state, ReleaseState::Kept);
    let live = b.store.live_releases(Page::first(10)).await.unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!(
        (live[0].release.id, live[0].release.live_turn),
        (first.id, Some(3))
    );
}

async fn rollback_to_a_release_that_is_gone_is_refused(b: Bench) {
    let project = b.project("app").await.id;
    let (_, first) = b.go_live(project).await;
    b.go_live(project).await;
    let deployment = b.deployment(project).await.id;
    let claim = b.claim().await;
    b.store.mark_gone(&claim, deployment, &[1]).await.unwrap();
    assert_eq!(b.release(first.id).await.state, ReleaseState::Gone);
    assert_refused!(roll_back(&b, project, first.id).await, Conflict);
}

async fn rollback_to_another_projects_release_is_not_found(b: Bench) {
    let (_, release) = b.go_live(b.project("app").await.id).await;
    let other = b.project("other").await.id;
    assert_refused!(roll_back(&b, other, release.id).await, NotFound);
    assert_refused!(roll_back(&b, other, b.release_id()).await, NotFound);
}

async fn a_failed_rollback_leaves_the_kept_release_kept(b: Bench) {
    let project = b.project("app").await.id;
    let (_, first) = b.go_live(project).await;
    let (_, second) = b.go_live(project).await;
    for cancel in [true, false] {
        let deployment = roll_back(&b, project, first.id).await.unwrap();
        let claim = b.claim().await;
        if cancel {
            b.store
                .request_cancel(&b.actor, deployment.id, "x")
                .await
                .unwrap();
            b.store
                .finish(&claim, deployment.id, Outcome::Cancelled)
                .await
                .unwrap();
        } else {
            let fault = JobFault {
                error: "x".to_owned(),
                retry_after: None,
            };
            b.store.fail(&claim, fault).await.unwrap();
        }
        assert_eq!(b.release(first.id).await.state, ReleaseState::Kept);
        assert_eq!(b.release(second.id).await.state, ReleaseState::Live);
    }
}

async fn success_needs_a_release(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let placed = b.place(&claim, deployment.id).await;
    let before = b.row(deployment.id).await;
    let unknown = Outcome::Success {
        release: b.release_id(),
    };
    assert_refused!(
        b.store.finish(&claim, deployment.id, unknown).await,
        NotFound
    );
    assert_eq!(b.row(deployment.id).await, before);
    assert_eq!(b.release(placed.id).await.state, ReleaseState::Placed);
    b.store.heartbeat(&[claim], TERM).await.unwrap();
    b.store.release(&claim).await.unwrap();
    let claim = b.claim().await;
    let early = Outcome::Success { release: placed.id };
    assert_refused!(b.store.finish(&claim, deployment.id, early).await, Illegal);
    assert_eq!(b.release(placed.id).await.state, ReleaseState::Placed);
}

async fn live_releases_are_never_marked_gone(b: Bench) {
    let project = b.project("app").await.id;
    for _ in 0..3 {
        b.go_live(project).await;
    }
    let (_, others) = b.go_live(b.project("other").await.id).await;
    let deployment = b.deployment(project).await.id;
    let claim = b.claim().await;
    for _ in 0..2 {
        b.store
            .mark_gone(&claim, deployment, &[1, 3, 99])
            .await
            .unwrap();
        let rows = b
            .store
            .releases(b.tenant(), project, Page::first(10))
            .await
            .unwrap();
        let states: Vec<_> = rows.iter().map(|row| row.state).collect();
        assert_eq!(
            states,
            [ReleaseState::Live, ReleaseState::Kept, ReleaseState::Gone]
        );
    }
    let row = b.release(others.id).await;
    assert_eq!(row.state, ReleaseState::Live, "another project's release 1");
}

async fn what_is_on_the_target_is_listed_whole(b: Bench) {
    let project = b.project("app").await.id;
    for _ in 0..3 {
        b.go_live(project).await;
    }
    b.go_live(b.project("other").await.id).await;
    let deployment = b.deployment(project).await.id;
    let claim = b.claim().await;
    b.store.mark_gone(&claim, deployment, &[2]).await.unwrap();
    let first = b.place(&claim, deployment).await;
    let second = b.new_release();
    let second = b.store.record_release(&claim, deployment, second).await;
    assert_eq!(b.release(first.id).await.state, ReleaseState::Gone);
    let there = b
        .store
        .releases_on_target(b.tenant(), project)
        .await
        .unwrap();
    let there: Vec<_> = there.iter().map(|row| (row.number, row.state)).collect();
    let (placed, live, kept) = (ReleaseState::Placed, ReleaseState::Live, ReleaseState::Kept);
    assert_eq!(
        there,
        [(second.unwrap().number, placed), (3, live), (1, kept)]
    );
    let unknown = b.project_id();
    assert_refused!(
        b.store.releases_on_target(b.tenant(), unknown).await,
        NotFound
    );
}
