use std::collections::BTreeSet;

use super::bench::{Bench, assert_refused, kind, sealed};
use crate::model::{Actor, AuditAction, Claim, Page, Project, ProjectId, ReleaseState};
use crate::store::{NewJob, NewProject, NewRemoval, StoreError};
use crate::value::{CustomDomain, EnvName, ProjectName, TargetName, TenantId};

super::check_list! {
    a_project_that_is_being_removed_takes_no_deployment,
    what_is_removed_is_gone_and_its_name_is_free,
    a_target_that_is_cleared_has_no_releases,
    a_project_goes_in_bounded_batches,
    only_the_holder_of_a_claim_removes,
    a_deployment_that_is_not_over_is_waited_for_unless_it_is_forgotten,
    what_is_left_behind_is_given_to_the_same_tenant_only,
    another_tenants_project_is_not_removed,
}

fn local() -> TargetName {
    TargetName::parse("local").unwrap()
}

impl Bench {
    fn removal(&self, purge: bool, forget: bool) -> NewRemoval {
        let targets = if forget { vec![] } else { vec![local()] };
        NewRemoval {
            purge,
            forget,
            kept: false,
            targets: BTreeSet::from_iter(targets),
            jobs: vec![NewJob::new(
                self.job_id(),
                kind("work"),
                serde_json::json!({}),
            )],
        }
    }

    /// Asks for the removal, and takes its job.
    async fn removing(&self, id: ProjectId, purge: bool, forget: bool) -> Claim {
        let removal = self.removal(purge, forget);
        let job = removal.jobs[0].id;
        let begun = self.store.begin_removal(&self.actor, id, removal);
        let project = begun.await.unwrap();
        assert_eq!(project.removal.unwrap().jobs, [job]);
        let leases = self.claim_up_to(10).await;
        let lease = leases.iter().find(|lease| lease.job.id == job);
        lease.expect("the job can be taken").claim
    }

    async fn cleared(&self, claim: &Claim, id: ProjectId) {
        let cleared = self.store.target_cleared(claim, id, &local()).await;
        let project = cleared.unwrap();
        assert!(project.removal.unwrap().targets.is_empty());
    }

    /// How many calls it took.
    async fn delete(&self, claim: &Claim, id: ProjectId, limit: u32) -> usize {
        let mut calls = 1;
        while !self.store.delete_project(claim, id, limit).await.unwrap() {
            calls += 1;
        }
        calls
    }

    async fn all_that_a_project_has(&self, slug: &str) -> Project {
        let new = NewProject {
            env: vec![(EnvName::parse("TOKEN").unwrap(), sealed(1))],
            ..self.new_project(slug)
        };
        let created = self.store.create_project(&self.actor, new).await;
        let project = created.unwrap();
        self.ended(project.id, 3).await;
        let (_, first) = self.go_live(project.id).await;
        self.go_live(project.id).await;
        // A deployment may have a release that another one has made.
        let mut back = self.new_deployment(project.id);
        back.cause = crate::model::Cause::Rollback { release: first.id };
        let back = self.store.create_deployment(&self.actor, back).await;
        let (back, claim) = (back.unwrap(), self.claim().await);
        for stage in [crate::model::Stage::Release, crate::model::Stage::Activate] {
            self.enter(&claim, back.id, stage).await.unwrap();
        }
        let live = crate::store::Outcome::Success { release: first.id };
        let ended = self.store.finish(&claim, back.id, live);
        ended.await.unwrap();
        let domain = CustomDomain::parse(format!("{slug}.example.com")).unwrap();
        let added = self
            .store
            .add_domain(&self.actor, project.id, &domain, "token");
        added.await.unwrap();
        project
    }
}

async fn a_project_that_is_being_removed_takes_no_deployment(b: Bench) {
    let project = b.project("app").await;
    let (_, live) = b.go_live(project.id).await;
    let listed = b.store.live_releases(Page::first(10)).await.unwrap();
    assert_eq!(listed.len(), 1);
    b.removing(project.id, false, false).await;

    let new = b.new_deployment(project.id);
    let job = new.job.id;
    match b.store.create_deployment(&b.actor, new).await {
        Err(StoreError::Conflict { what, rule, .. }) => {
            assert_eq!((what, rule), ("project", "is being removed"));
        }
        answer => panic!("{answer:?}"),
    }
    assert_refused!(b.store.job(b.tenant(), job).await, NotFound);
    let listed = b.store.live_releases(Page::first(10)).await.unwrap();
    assert!(listed.is_empty(), "it is not brought up again");
    assert_eq!(b.release(live.id).await.state, ReleaseState::Live);

    let found = b.store.project(b.tenant(), project.id).await.unwrap();
    let removal = found.removal.unwrap();
    assert_eq!((removal.purge, removal.forget), (false, false));
    assert_eq!(removal.targets, BTreeSet::from([local()]));
    let again = b.removal(true, false);
    let again = b.store.begin_removal(&b.actor, project.id, again);
    assert!(again.await.unwrap().removal.unwrap().purge, "the last wish");
}

async fn what_is_removed_is_gone_and_its_name_is_free(b: Bench) {
    let other = b.all_that_a_project_has("other").await;
    let project = b.all_that_a_project_has("app").await;
    let deployments = b
        .store
        .deployments(b.tenant(), Some(project.id), Page::first(10));
    let deployments = deployments.await.unwrap();
    assert_eq!(deployments.len(), 4);
    let claim = b.removing(project.id, true, false).await;
    b.cleared(&claim, project.id).await;
    b.delete(&claim, project.id, 1_000).await;
    assert!(
        b.store.delete_project(&claim, project.id, 1).await.unwrap(),
        "also when it is gone already"
    );
    let (store, tenant, id) = (&b.store, b.tenant(), project.id);
    assert_refused!(store.project(tenant, id).await, NotFound);
    assert_refused!(store.env(tenant, id).await, NotFound);
    assert_refused!(store.domains(tenant, id).await, NotFound);
    assert_refused!(store.releases(tenant, id, Page::first(1)).await, NotFound);
    for one in deployments {
        assert_refused!(store.deployment(tenant, one.id).await, NotFound);
        assert_refused!(store.read_log(tenant, one.id, 0, 1).await, NotFound);
        b.job(one.job).await; // goes by its age
    }
    let told = store.audit(tenant, Page::first(100)).await.unwrap();
    let of_it = told.iter().filter(|entry| entry.project == Some(id));
    let told: Vec<_> = of_it.map(|entry| entry.action).collect();
    assert_eq!(told[0], AuditAction::ProjectRemoved);
    assert!(told.contains(&AuditAction::RemovalRequested));
    assert!(told.contains(&AuditAction::ProjectCreated));

    let releases = store.releases_on_target(tenant, other.id).await.unwrap();
    assert_eq!(releases.len(), 2, "another project keeps its own");
    assert_eq!(store.domains(tenant, other.id).await.unwrap().len(), 1);
    let again = b.project("app").await;
    let (deployment, release) = b.go_live(again.id).await;
    assert_eq!((deployment.number, release.number), (1, 1));
}

async fn a_target_that_is_cleared_has_no_releases(b: Bench) {
    let project = b.project("app").await;
    let (_, live) = b.go_live(project.id).await;
    let claim = b.removing(project.id, false, false).await;
    let elsewhere = TargetName::parse("elsewhere").unwrap();
    let none = b.store.target_cleared(&claim, project.id, &elsewhere);
    none.await.unwrap();
    assert_eq!(b.release(live.id).await.state, ReleaseState::Live);
    assert_refused!(
        b.store.delete_project(&claim, project.id, 10).await,
        Conflict
    );
    for _ in 0..2 {
        b.cleared(&claim, project.id).await;
        assert_eq!(b.release(live.id).await.state, ReleaseState::Gone);
    }
}

async fn a_project_goes_in_bounded_batches(b: Bench) {
    let project = b.project("app").await;
    for _ in 0..3 {
        b.ended(project.id, 10).await;
    }
    let claim = b.removing(project.id, true, false).await;
    b.cleared(&claim, project.id).await;
    let calls = b.delete(&claim, project.id, 7).await;
    assert!(calls <= 10, "{calls} calls");
    assert_refused!(b.store.project(b.tenant(), project.id).await, NotFound);
}

async fn only_the_holder_of_a_claim_removes(b: Bench) {
    let project = b.project("app").await;
    let staying = b.project("staying").await;
    let claim = b.removing(project.id, false, false).await;
    let stale = Claim {
        fence: crate::model::Fence(claim.fence.0 - 1),
        ..claim
    };
    let (store, id) = (&b.store, project.id);
    assert_refused!(store.target_cleared(&stale, id, &local()).await, LeaseLost);
    assert_refused!(store.delete_project(&stale, id, 10).await, LeaseLost);
    assert_refused!(
        store.target_cleared(&claim, staying.id, &local()).await,
        Conflict
    );
    assert_refused!(store.delete_project(&claim, staying.id, 10).await, Conflict);
    store.complete(&claim).await.unwrap();
    assert_refused!(store.delete_project(&claim, id, 10).await, LeaseLost);
}

async fn a_deployment_that_is_not_over_is_waited_for_unless_it_is_forgotten(b: Bench) {
    let (project, deployment, held) = b.held().await;
    let claim = b.removing(project.id, false, false).await;
    b.cleared(&claim, project.id).await;
    assert_refused!(
        b.store.delete_project(&claim, project.id, 10).await,
        Conflict
    );
    let claim = b.removing(project.id, false, true).await;
    b.delete(&claim, project.id, 10).await;
    let entered = b.enter(&held, deployment.id, crate::model::Stage::Checkout);
    assert_refused!(entered.await, LeaseLost);
    // Whoever holds the job of it can still end that.
    let fault = super::bench::fault(None);
    b.store.fail(&held, fault).await.unwrap();
    assert!(b.job(deployment.job).await.state.is_final());
}

async fn what_is_left_behind_is_given_to_the_same_tenant_only(b: Bench) {
    let stranger = Actor::new(TenantId::parse("other").unwrap(), "eve");
    let wished = |slug: &str| NewProject {
        name: ProjectName::parse(format!("{slug} of theirs")).unwrap(),
        ..b.new_project(slug)
    };
    let is_given =
        async |actor: &Actor, slug: &str| match b.store.create_project(actor, wished(slug)).await {
            Ok(_) => true,
            Err(StoreError::Conflict {
                what: "subdomain", ..
            }) => false,
            Err(error) => panic!("{error}"),
        };
    for (slug, purge, forget) in [
        ("kept", false, false),
        ("purged", true, false),
        ("forgotten", true, true),
    ] {
        let project = b.project(slug).await;
        let claim = b.removing(project.id, purge, forget).await;
        if !forget {
            b.cleared(&claim, project.id).await;
        }
        b.delete(&claim, project.id, 10).await;
    }
    assert!(!is_given(&stranger, "kept").await);
    assert!(is_given(&b.actor, "kept").await);
    // The wish to purge reaches no target that was cleared before it.
    let project = b.project("late").await;
    let claim = b.removing(project.id, false, false).await;
    b.cleared(&claim, project.id).await;
    let nothing = NewRemoval {
        targets: BTreeSet::new(),
        ..b.removal(true, false)
    };
    let begun = b.store.begin_removal(&b.actor, project.id, nothing);
    begun.await.unwrap();
    b.delete(&claim, project.id, 10).await;
    assert!(!is_given(&stranger, "late").await);
    assert!(is_given(&stranger, "purged").await);
    assert!(!is_given(&stranger, "forgotten").await);
    assert!(!is_given(&b.actor, "forgotten").await, "it may be served");
}

async fn another_tenants_project_is_not_removed(b: Bench) {
    let project = b.project("app").await;
    let stranger = Actor::new(TenantId::parse("other").unwrap(), "eve");
    let removal = b.removal(true, true);
    let job = removal.jobs[0].id;
    let begun = b.store.begin_removal(&stranger, project.id, removal);
    assert_refused!(begun.await, NotFound);
    assert_refused!(b.store.job(&stranger.tenant, job).await, NotFound);
    let found = b.store.project(b.tenant(), project.id).await.unwrap();
    assert_eq!(found.removal, None);
}
