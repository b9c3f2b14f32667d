use super::bench::{Bench, assert_refused};
use crate::model::{Actor, AuditAction, Domain, JobId, Page, ProjectId};
use crate::store::{MAX_DOMAINS, NewJob, StoreError, StoreResult};
use crate::system::Clock;
use crate::value::{CustomDomain, JobKind, TenantId};

super::check_list! {
    a_domain_is_added_once_and_listed_by_name,
    a_token_is_the_same_for_all_projects_of_a_tenant,
    a_domain_is_verified_for_one_project_at_a_time,
    a_job_comes_with_each_change_of_what_is_served,
    of_a_hundred_who_verify_a_domain_at_once_one_gets_it,
    a_project_has_so_many_domains,
    a_domain_of_another_tenant_is_not_found,
}

fn domain(name: &str) -> CustomDomain {
    CustomDomain::parse(name).unwrap()
}

fn tenant(name: &str) -> Actor {
    Actor::new(TenantId::parse(name).unwrap(), "eve")
}

impl Bench {
    fn route_job(&self) -> NewJob {
        let kind = JobKind::parse("route").unwrap();
        NewJob::new(self.job_id(), kind, serde_json::json!({}))
    }

    async fn wish(&self, actor: &Actor, project: ProjectId, name: &str, token: &str) -> Domain {
        let name = domain(name);
        let added = self.store.add_domain(actor, project, &name, token);
        added.await.unwrap()
    }

    async fn verify(
        &self,
        actor: &Actor,
        project: ProjectId,
        verified: bool,
    ) -> StoreResult<JobId> {
        let job = self.route_job();
        let (id, shop) = (job.id, domain("shop.example.com"));
        let store = &self.store;
        let one = store
            .verify_domain(actor, project, &shop, verified, job)
            .await?;
        assert_eq!(one.verified_at.is_some(), verified);
        Ok(id)
    }

    async fn has_job(&self, id: JobId) -> bool {
        match self.store.job(self.tenant(), id).await {
            Ok(_) => true,
            Err(StoreError::NotFound { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn a_domain_is_added_once_and_listed_by_name(b: Bench) {
    let app = b.project("app").await.id;
    let www = b.wish(&b.actor, app, "www.example.com", "t1").await;
    let now = b.clock.now();
    assert_eq!(
        www,
        Domain {
            domain: domain("www.example.com"),
            tenant: b.tenant().clone(),
            project: app,
            token: "t1".into(),
            verified_at: None,
            created_at: now,
        }
    );
    let bare = b.wish(&b.actor, app, "example.com", "t2").await;
    assert_eq!(b.wish(&b.actor, app, "www.example.com", "t3").await, www);
    assert_eq!(
        b.store.domains(b.tenant(), app).await.unwrap(),
        [bare.clone(), www]
    );
    let audit = b.store.audit(b.tenant(), Page::first(10)).await.unwrap();
    let told: Vec<_> = audit
        .iter()
        .filter(|one| one.action == AuditAction::DomainAdded)
        .collect();
    assert_eq!((told.len(), told[0].detail.as_str()), (2, "example.com"));

    let www = domain("www.example.com");
    let removed = b
        .store
        .remove_domain(&b.actor, app, &www, b.route_job())
        .await;
    removed.unwrap();
    assert_refused!(
        b.store
            .remove_domain(&b.actor, app, &www, b.route_job())
            .await,
        NotFound
    );
    assert_eq!(b.store.domains(b.tenant(), app).await.unwrap(), [bare]);
}

async fn a_token_is_the_same_for_all_projects_of_a_tenant(b: Bench) {
    let (one, two) = (b.project("one").await.id, b.project("two").await.id);
    let eve = tenant("other");
    let eves = b
        .store
        .create_project(&eve, b.new_project("eves"))
        .await
        .unwrap();
    assert_eq!(b.wish(&b.actor, one, "example.com", "t1").await.token, "t1");
    assert_eq!(b.wish(&b.actor, two, "example.com", "t2").await.token, "t1");
    assert_eq!(b.wish(&eve, eves.id, "example.com", "t3").await.token, "t3");
    assert_eq!(b.wish(&b.actor, two, "example.org", "t4").await.token, "t4");
}

async fn a_domain_is_verified_for_one_project_at_a_time(b: Bench) {
    let (one, two) = (b.project("one").await.id, b.project("two").await.id);
    let eve = tenant("other");
    let eves = b
        .store
        .create_project(&eve, b.new_project("eves"))
        .await
        .unwrap()
        .id;
    let shop = domain("shop.example.com");
    for (actor, project) in [(&b.actor, one), (&b.actor, two), (&eve, eves)] {
        b.wish(actor, project, shop.as_str(), "t").await;
    }
    assert_eq!(b.store.domain_holder(&shop).await.unwrap(), None);
    b.verify(&b.actor, one, true).await.unwrap();
    let since = b.clock.now();
    for (actor, project) in [(&b.actor, two), (&eve, eves)] {
        let refused = b.verify(actor, project, true).await;
        let taken = matches!(refused, Err(StoreError::Conflict { what: "domain", .. }));
        assert!(taken, "{refused:?}");
    }
    let holder = b.store.domain_holder(&shop).await.unwrap().unwrap();
    assert_eq!((holder.project, holder.verified_at), (one, Some(since)));

    b.verify(&b.actor, one, false).await.unwrap();
    b.verify(&eve, eves, true).await.unwrap();
    let holder = b.store.domain_holder(&shop).await.unwrap().unwrap();
    assert_eq!((holder.project, holder.tenant), (eves, eve.tenant.clone()));
    let audit = b.store.audit(b.tenant(), Page::first(10)).await.unwrap();
    let told: Vec<_> = audit.iter().map(|one| one.action).collect();
    assert_eq!(
        told[..2],
        [AuditAction::DomainLost, AuditAction::DomainVerified]
    );

    // Who removes it lets it go.
    b.store
        .remove_domain(&eve, eves, &shop, b.route_job())
        .await
        .unwrap();
    b.verify(&b.actor, two, true).await.unwrap();
}

async fn a_job_comes_with_each_change_of_what_is_served(b: Bench) {
    let app = b.project("app").await.id;
    b.wish(&b.actor, app, "shop.example.com", "t").await;
    for (verified, changes) in [(false, false), (true, true), (true, false), (false, true)] {
        let job = b.verify(&b.actor, app, verified).await.unwrap();
        assert_eq!(b.has_job(job).await, changes, "verified: {verified}");
    }
    for verified in [false, true] {
        b.wish(&b.actor, app, "shop.example.com", "t").await;
        if verified {
            b.verify(&b.actor, app, true).await.unwrap();
        }
        let (job, shop) = (b.route_job(), domain("shop.example.com"));
        let id = job.id;
        b.store
            .remove_domain(&b.actor, app, &shop, job)
            .await
            .unwrap();
        assert_eq!(
            b.has_job(id).await,
            verified,
            "removed, verified: {verified}"
        );
    }
}

async fn of_a_hundred_who_verify_a_domain_at_once_one_gets_it(b: Bench) {
    let mut wishes = Vec::new();
    for n in 0..100 {
        let actor = tenant(&format!("tenant-{n}"));
        let new = b.new_project(&format!("app-{n}"));
        let project = b.store.create_project(&actor, new).await.unwrap().id;
        b.wish(&actor, project, "shop.example.com", &format!("t{n}"))
            .await;
        wishes.push((actor, project));
    }
    let verify = wishes
        .iter()
        .map(|(actor, project)| b.verify(actor, *project, true));
    let answers = futures::future::join_all(verify).await;
    let winners = answers.iter().filter(|answer| answer.is_ok()).count();
    let taken = |answer: &&StoreResult<JobId>| matches!(answer, Err(StoreError::Conflict { .. }));
    assert_eq!((winners, answers.iter().filter(taken).count()), (1, 99));
}

async fn a_project_has_so_many_domains(b: Bench) {
    let app = b.project("app").await.id;
    for n in 0..MAX_DOMAINS {
        b.wish(&b.actor, app, &format!("a{n}.example.com"), "t")
            .await;
    }
    let more = domain("more.example.com");
    assert_refused!(
        b.store.add_domain(&b.actor, app, &more, "t").await,
        Conflict
    );
    b.wish(&b.actor, app, "a7.example.com", "t").await;
    let other = b.project("other").await.id;
    b.wish(&b.actor, other, "more.example.com", "t").await;
}

async fn a_domain_of_another_tenant_is_not_found(b: Bench) {
    let app = b.project("app").await.id;
    let shop = b.wish(&b.actor, app, "shop.example.com", "t").await.domain;
    let eve = tenant("other");
    let (store, job) = (&b.store, || b.route_job());
    assert_refused!(store.add_domain(&eve, app, &shop, "t").await, NotFound);
    assert_refused!(store.domains(&eve.tenant, app).await, NotFound);
    assert_refused!(
        store.verify_domain(&eve, app, &shop, true, job()).await,
        NotFound
    );
    assert_refused!(store.remove_domain(&eve, app, &shop, job()).await, NotFound);
    let unknown = domain("unknown.example.com");
    assert_refused!(
        store
            .verify_domain(&b.actor, app, &unknown, true, job())
            .await,
        NotFound
    );
    assert_eq!(store.domain_holder(&shop).await.unwrap(), None);
}
