use super::bench::{Bench, assert_refused, concurrency_key, sealed, settings};
use crate::model::{Actor, Cause, Limit, Page, ReleaseState};
use crate::store::NewDeployment;
use crate::value::{EnvName, TenantId};

super::check_list! {
    a_row_of_another_tenant_is_not_found,
    lists_have_no_rows_of_another_tenant,
    superseding_does_not_reach_another_tenant,
}

fn stranger() -> Actor {
    Actor::new(TenantId::parse("other").unwrap(), "eve")
}

/// Every call that takes a tenant or an actor and names a row, made by a stranger.
async fn a_row_of_another_tenant_is_not_found(b: Bench) {
    let project = b.project("app").await;
    b.go_live(project.id).await;
    let (_, release) = b.go_live(project.id).await;
    let deployment = b.deployment(project.id).await;
    let job = b.job(deployment.job).await;
    let audit = b.store.audit(b.tenant(), Page::first(100)).await.unwrap();

    let (store, eve) = (&b.store, stranger());
    let them = &eve.tenant;
    let name = EnvName::parse("TOKEN").unwrap();
    assert_refused!(store.project(them, project.id).await, NotFound);
    assert_refused!(store.find_project(them, &project.name).await, NotFound);
    assert_refused!(
        store.update_project(&eve, project.id, settings()).await,
        NotFound
    );
    assert_refused!(
        store
            .set_env(&eve, project.id, &name, Some(sealed(1)))
            .await,
        NotFound
    );
    assert_refused!(store.set_env(&eve, project.id, &name, None).await, NotFound);
    assert_refused!(store.env(them, project.id).await, NotFound);
    let new = b.new_deployment(project.id);
    assert_refused!(store.create_deployment(&eve, new).await, NotFound);
    assert_refused!(store.deployment(them, deployment.id).await, NotFound);
    assert_refused!(store.stages(them, deployment.id).await, NotFound);
    assert_refused!(
        store.request_cancel(&eve, deployment.id, "x").await,
        NotFound
    );
    assert_refused!(store.job(them, job.id).await, NotFound);
    assert_refused!(store.read_log(them, deployment.id, 0, 1).await, NotFound);
    assert_refused!(store.last_line(them, deployment.id).await, NotFound);
    assert_refused!(store.release_by_id(them, release.id).await, NotFound);
    assert_refused!(
        store.releases(them, project.id, Page::first(1)).await,
        NotFound
    );
    assert_refused!(store.releases_on_target(them, project.id).await, NotFound);

    let own = store
        .create_project(&eve, b.new_project("eves"))
        .await
        .unwrap();
    let cause = Cause::Rollback {
        release: release.id,
    };
    let new = NewDeployment {
        cause,
        ..b.new_deployment(own.id)
    };
    assert_refused!(store.create_deployment(&eve, new).await, NotFound);

    assert_eq!(
        store.project(b.tenant(), project.id).await.unwrap(),
        project
    );
    assert_eq!(b.row(deployment.id).await, deployment);
    assert_eq!(b.job(job.id).await, job);
    let rows = store
        .releases(b.tenant(), project.id, Page::first(10))
        .await
        .unwrap();
    let states: Vec<_> = rows.iter().map(|row| row.state).collect();
    assert_eq!(states, [ReleaseState::Live, ReleaseState::Kept]);
    assert_eq!(
        store.audit(b.tenant(), Page::first(100)).await.unwrap(),
        audit
    );
}

async fn lists_have_no_rows_of_another_tenant(b: Bench) {
    let project = b.project("app").await;
    b.deployment(project.id).await;
    let them = stranger().tenant;
    assert!(
        b.store
            .projects(&them, Page::first(10))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        b.store
            .audit(&them, Page::first(10))
            .await
            .unwrap()
            .is_empty()
    );
    for of in [None, Some(project.id)] {
        assert!(
            b.store
                .deployments(&them, of, Page::first(10))
                .await
                .unwrap()
                .is_empty()
        );
    }
}

async fn superseding_does_not_reach_another_tenant(b: Bench) {
    let project = b.project("app").await;
    let mine = b.deployment(project.id).await;
    let eve = stranger();
    let own = b
        .store
        .create_project(&eve, b.new_project("eves"))
        .await
        .unwrap();
    let mut new = NewDeployment {
        supersede: true,
        ..b.new_deployment(own.id)
    };
    new.job.limits = vec![Limit::one(concurrency_key(&format!(
        "project:{}",
        project.id
    )))];
    b.store.create_deployment(&eve, new).await.unwrap();
    assert_eq!(b.row(mine.id).await, mine);
}
