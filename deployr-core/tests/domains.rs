//! A project's own domains: from the wish to the ingress, and from one tenant to another.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use deployr_core::engine::{DeployRequest, Engine, EngineError, Event, ProjectRequest};
use deployr_core::error::{Fault, StepError};
use deployr_core::model::{Actor, Project};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::store::StoreError;
use deployr_core::system::SystemClock;
use deployr_core::testing::{
    MemoryStore, ScriptedBuilder, ScriptedExecutor, ScriptedIngress, ScriptedResolver,
    ScriptedSource,
};
use deployr_core::value::{CommitId, CustomDomain, GitUrl, TenantId};

struct Bench {
    engine: Engine,
    ingress: ScriptedIngress,
    dns: ScriptedResolver,
    ada: Actor,
    eve: Actor,
}

fn tenant(name: &str) -> Actor {
    Actor::new(TenantId::parse(name).unwrap(), name)
}

fn shop() -> CustomDomain {
    CustomDomain::parse("shop.example.com").unwrap()
}

impl Bench {
    fn new() -> Self {
        let (ingress, dns) = (ScriptedIngress::default(), ScriptedResolver::default());
        let commit = CommitId::parse("a".repeat(40)).unwrap();
        let engine = Engine::builder()
            .store(Arc::new(MemoryStore::new(Arc::new(SystemClock))))
            .source(Arc::new(ScriptedSource::new(commit)))
            .builder(Arc::new(ScriptedBuilder::default()))
            .executor("local", Arc::new(ScriptedExecutor::default()))
            .ingress(Arc::new(ingress.clone()))
            .resolver(Arc::new(dns.clone()))
            .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
            .build()
            .unwrap();
        let (ada, eve) = (tenant("ada"), tenant("eve"));
        Self {
            engine,
            ingress,
            dns,
            ada,
            eve,
        }
    }

    /// A project that is live.
    async fn live(&self, actor: &Actor, name: &str) -> Project {
        let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
        let request = ProjectRequest::new(name, url).unwrap();
        let project = self.engine.create_project(actor, request).await.unwrap();
        self.deploy(actor, &project).await;
        project
    }

    async fn deploy(&self, actor: &Actor, project: &Project) {
        let asked = self
            .engine
            .deploy(actor, project.id, DeployRequest::latest());
        let mut events = self
            .engine
            .follow(actor, asked.await.unwrap().id, 0)
            .await
            .unwrap();
        while let Some(event) = events.try_next().await.unwrap() {
            if let Event::Finished(deployment) = event {
                assert_eq!(deployment.failure, None);
            }
        }
    }

    fn routed(&self, project: &Project) -> Vec<String> {
        let route = self.ingress.routed(&project.slug).unwrap();
        route.domains.iter().map(ToString::to_string).collect()
    }

    /// Waits until the ingress has been told.
    async fn eventually_routed(&self, project: &Project, domains: &[&str]) {
        let began = Instant::now();
        while self.routed(project) != domains {
            let told = self.routed(project);
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{told:?}, not {domains:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_domain_is_served_once_its_record_is_there() {
    let b = Bench::new();
    let worker = b.engine.worker().spawn();
    let project = b.live(&b.ada, "Shop").await;
    let (engine, ada, domain) = (&b.engine, &b.ada, shop());
    let added = engine.add_domain(ada, project.id, &domain).await.unwrap();
    assert_eq!(added.token.len(), 32);
    assert_eq!(
        engine.add_domain(ada, project.id, &domain).await.unwrap(),
        added
    );

    b.dns
        .set("_deployr-challenge.shop.example.com", &["something else"]);
    let check = engine.check_domain(ada, project.id, &domain).await.unwrap();
    assert!(!check.is_shown() && check.domain.verified_at.is_none());
    assert_eq!(check.found, ["something else"]);
    b.deploy(ada, &project).await;
    assert_eq!(
        b.routed(&project),
        [""; 0],
        "nobody has shown that it is theirs"
    );

    b.dns
        .set(&domain.challenge(), &["something else", &added.token]);
    let check = engine.check_domain(ada, project.id, &domain).await.unwrap();
    assert!(check.is_shown() && check.domain.verified_at.is_some());
    b.eventually_routed(&project, &["shop.example.com"]).await;

    // It stays: through deployments, restarts, and when the record is gone.
    b.dns.set(&domain.challenge(), &[]);
    let again = engine.check_domain(ada, project.id, &domain).await.unwrap();
    assert!(!again.is_shown() && again.domain.verified_at.is_some());
    b.deploy(ada, &project).await;
    assert_eq!(b.routed(&project), ["shop.example.com"]);
    b.ingress.forget();
    assert_eq!(engine.restore().await.unwrap().serving, 1);
    assert_eq!(b.routed(&project), ["shop.example.com"]);

    engine
        .remove_domain(ada, project.id, &domain)
        .await
        .unwrap();
    b.eventually_routed(&project, &[]).await;
    assert_eq!(engine.domains(ada, project.id).await.unwrap(), []);
    worker.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn who_runs_a_domain_decides_whose_it_is() {
    let b = Bench::new();
    let worker = b.engine.worker().spawn();
    let (adas, eves) = (b.live(&b.ada, "Shop").await, b.live(&b.eve, "Trap").await);
    let (engine, domain) = (&b.engine, shop());
    // A wish alone keeps nobody else from it, and a token is no use to another.
    let eves_token = engine
        .add_domain(&b.eve, eves.id, &domain)
        .await
        .unwrap()
        .token;
    let adas_token = engine
        .add_domain(&b.ada, adas.id, &domain)
        .await
        .unwrap()
        .token;
    assert_ne!(adas_token, eves_token);
    b.dns.set(&domain.challenge(), &[&adas_token]);
    let check = engine.check_domain(&b.eve, eves.id, &domain).await.unwrap();
    assert!(check.domain.verified_at.is_none());
    engine.check_domain(&b.ada, adas.id, &domain).await.unwrap();
    b.eventually_routed(&adas, &["shop.example.com"]).await;

    // Both records: it stays where it is.
    b.dns.set(&domain.challenge(), &[&adas_token, &eves_token]);
    match engine.check_domain(&b.eve, eves.id, &domain).await {
        Err(EngineError::Store(StoreError::Conflict { what: "domain", .. })) => {}
        other => panic!("must be taken: {other:?}"),
    }
    assert_eq!(b.routed(&adas), ["shop.example.com"]);

    // It was sold.
    b.dns.set(&domain.challenge(), &[&eves_token]);
    let check = engine.check_domain(&b.eve, eves.id, &domain).await.unwrap();
    assert!(check.domain.verified_at.is_some());
    b.eventually_routed(&eves, &["shop.example.com"]).await;
    b.eventually_routed(&adas, &[]).await;
    let left = engine.domains(&b.ada, adas.id).await.unwrap();
    assert_eq!((left.len(), left[0].verified_at), (1, None));
    worker.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_cannot_be_told_is_told_so() {
    let b = Bench::new();
    let worker = b.engine.worker().spawn();
    let project = b.live(&b.ada, "Shop").await;
    worker.drain(Duration::from_secs(5)).await;
    let (engine, domain) = (&b.engine, shop());
    let missing = engine.check_domain(&b.ada, project.id, &domain).await;
    assert!(matches!(
        missing,
        Err(EngineError::Store(StoreError::NotFound { .. }))
    ));
    let added = engine
        .add_domain(&b.ada, project.id, &domain)
        .await
        .unwrap();
    for stranger in [
        engine
            .check_domain(&b.eve, project.id, &domain)
            .await
            .map(drop),
        engine
            .add_domain(&b.eve, project.id, &domain)
            .await
            .map(drop),
        engine.remove_domain(&b.eve, project.id, &domain).await,
    ] {
        assert!(matches!(
            stranger,
            Err(EngineError::Store(StoreError::NotFound { .. }))
        ));
    }
    // Silence takes nothing and gives nothing.
    let silence = || StepError::from(Fault::retryable("look up", "it", "nobody answers"));
    b.dns.script().fail_next("txt", silence());
    let fault = engine.check_domain(&b.ada, project.id, &domain).await;
    assert!(matches!(fault, Err(EngineError::Fault(_))));
    b.dns.set(&domain.challenge(), &[&added.token]);
    engine
        .check_domain(&b.ada, project.id, &domain)
        .await
        .unwrap();
    b.dns.script().fail_next("txt", silence());
    let fault = engine.check_domain(&b.ada, project.id, &domain).await;
    assert!(matches!(fault, Err(EngineError::Fault(_))));
    let domains = engine.domains(&b.ada, project.id).await.unwrap();
    assert!(domains[0].verified_at.is_some());
}

#[tokio::test]
async fn names_of_the_operator_are_kept() {
    let b = Bench::new();
    let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
    for name in ["www", "Mail"] {
        let request = ProjectRequest::new(name, url.clone()).unwrap();
        let project = b.engine.create_project(&b.ada, request).await.unwrap();
        let slug = project.slug.as_str();
        let (head, tail) = slug.rsplit_once('-').unwrap();
        assert_eq!((head, tail.len()), (name.to_lowercase().as_str(), 4));
    }
    // The ingress of these tests gives names below `localhost`, which no domain can be. Below
    // another, see `is_within`.
    let own = deployr_core::value::DomainName::parse("example.com").unwrap();
    for (name, is_within) in [
        ("shop.example.com", true),
        ("example.com", true),
        ("shopexample.com", false),
        ("example.com.evil.org", false),
    ] {
        assert_eq!(
            CustomDomain::parse(name).unwrap().is_within(&own),
            is_within,
            "{name}"
        );
    }
}
