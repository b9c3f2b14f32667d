use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::{Engine, EngineError, Inner};
use crate::builder::Builder;
use crate::bus::{EventBus, LocalBus};
use crate::executor::Executor;
use crate::ingress::Ingress;
use crate::job::{JobHandler, Limited};
use crate::log::LogLimits;
use crate::notifier::Notifier;
use crate::notify::NotifyHandler;
use crate::pipeline::DeployHandler;
use crate::redeploying::RedeployHandler;
use crate::removing::RemoveHandler;
use crate::resolver::Resolver;
use crate::routing::RouteHandler;
use crate::secret::KeyRing;
use crate::source::{CredentialProvider, SourceProvider};
use crate::store::Store;
use crate::system::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::value::{InputCode, InvalidValue, JobKind, TargetName};

/// Makes a handler of the engine's own.
type Own = fn(Weak<Inner>) -> Arc<dyn JobHandler>;

const OWN: [(&str, Own); 5] = [
    ("deploy", |engine| Arc::new(DeployHandler(engine))),
    ("notify", |engine| Arc::new(NotifyHandler(engine))),
    ("redeploy", |engine| Arc::new(RedeployHandler(engine))),
    ("remove", |engine| Arc::new(RemoveHandler(engine))),
    ("route", |engine| Arc::new(RouteHandler(engine))),
];

/// Puts an [`Engine`] together. A store, a source, a builder, a key ring and at least
/// one executor are needed; everything else has a default.
#[derive(Default)]
pub struct EngineBuilder {
    store: Option<Arc<dyn Store>>,
    bus: Option<Arc<dyn EventBus>>,
    source: Option<Arc<dyn SourceProvider>>,
    credentials: Option<Arc<dyn CredentialProvider>>,
    builder: Option<Arc<dyn Builder>>,
    executors: Vec<(String, Arc<dyn Executor>)>,
    builders: Vec<(String, Arc<dyn Builder>)>,
    targets_elsewhere: bool,
    ingress: Option<Arc<dyn Ingress>>,
    resolver: Option<Arc<dyn Resolver>>,
    notifiers: Vec<Arc<dyn Notifier>>,
    handlers: Vec<(String, Arc<dyn JobHandler>)>,
    keys: Option<KeyRing>,
    clock: Option<Arc<dyn Clock>>,
    entropy: Option<Arc<dyn Entropy>>,
    log_limits: LogLimits,
}

impl EngineBuilder {
    /// Where everything is kept.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// How other nodes are woken; only this process where left out.
    #[must_use]
    pub fn bus(mut self, bus: Arc<dyn EventBus>) -> Self {
        self.bus = Some(bus);
        self
    }

    /// Where commits come from.
    #[must_use]
    pub fn source(mut self, source: Arc<dyn SourceProvider>) -> Self {
        self.source = Some(source);
        self
    }

    /// Where credentials for private repositories come from; there are none where left out.
    #[must_use]
    pub fn credentials(mut self, credentials: Arc<dyn CredentialProvider>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// What turns a checkout into an artifact, for all targets without a builder of their own.
    #[must_use]
    pub fn builder(mut self, builder: Arc<dyn Builder>) -> Self {
        self.builder = Some(builder);
        self
    }

    /// A target, by the name under which projects choose it. The same name again
    /// replaces the earlier one.
    #[must_use]
    pub fn executor(mut self, name: &str, executor: Arc<dyn Executor>) -> Self {
        self.executors.push((name.to_owned(), executor));
        self
    }

    /// A target whose releases need a builder of their own, as one that runs containers does
    /// for repositories with a Dockerfile. Otherwise as [`executor`](Self::executor).
    #[must_use]
    pub fn target(
        mut self,
        name: &str,
        executor: Arc<dyn Executor>,
        builder: Arc<dyn Builder>,
    ) -> Self {
        self.builders.push((name.to_owned(), builder));
        self.executor(name, executor)
    }

    /// Says that other nodes of the same store have targets which this engine has not:
    /// projects may name them, and their deployments wait for a worker that has them. Not
    /// so where not said, and a name that is not known is refused.
    #[must_use]
    pub fn targets_elsewhere(mut self, elsewhere: bool) -> Self {
        self.targets_elsewhere = elsewhere;
        self
    }

    /// What sends public names to releases; nothing where left out.
    #[must_use]
    pub fn ingress(mut self, ingress: Arc<dyn Ingress>) -> Self {
        self.ingress = Some(ingress);
        self
    }

    /// What asks DNS whose a domain is; projects get no domains of their own where left out.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// Somebody to tell of every deployment's end. May be called more than once.
    #[must_use]
    pub fn notifier(mut self, notifier: Arc<dyn Notifier>) -> Self {
        self.notifiers.push(notifier);
        self
    }

    /// What carries out jobs of a kind of your own. `deploy`, `notify`, `redeploy`, `remove`
    /// and `route` are the engine's: [`build`](Self::build) refuses them.
    #[must_use]
    pub fn job_handler(mut self, kind: &str, handler: Arc<dyn JobHandler>) -> Self {
        self.handlers.push((kind.to_owned(), handler));
        self
    }

    /// The keys that secrets are sealed with before they reach the store.
    #[must_use]
    pub fn keys(mut self, keys: KeyRing) -> Self {
        self.keys = Some(keys);
        self
    }

    /// The time, for ids and for the stamps of log lines; the host's where left out.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Randomness, for ids, nonces and jitter; the operating system's where left out.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// How logs are batched, and where they end.
    #[must_use]
    pub fn log_limits(mut self, limits: LogLimits) -> Self {
        self.log_limits = limits;
        self
    }

    /// The engine.
    ///
    /// # Errors
    ///
    /// `Missing` names a part that is needed; `Invalid` a target's or a job kind's name.
    pub fn build(self) -> Result<Engine, EngineError> {
        let mut executors = BTreeMap::new();
        for (name, executor) in self.executors {
            executors.insert(TargetName::parse(&name)?, executor);
        }
        let mut builders = BTreeMap::new();
        for (name, builder) in self.builders {
            builders.insert(TargetName::parse(&name)?, builder);
        }
        if executors.is_empty() {
            return Err(EngineError::Missing { part: "executor" });
        }
        let mut handlers = BTreeMap::new();
        for (kind, handler) in self.handlers {
            let handler: Arc<dyn JobHandler> = Arc::new(Limited(handler));
            if OWN.iter().any(|(own, _)| *own == kind) {
                let rule = "is one of the engine's own";
                return Err(
                    InvalidValue::new("job_kind", InputCode::JobKindInvalid, rule, &kind).into(),
                );
            }
            handlers.insert(JobKind::parse(&kind)?, handler);
        }
        let own: Vec<(JobKind, Own)> = OWN
            .into_iter()
            .map(|(kind, handler)| Ok((JobKind::parse(kind)?, handler)))
            .collect::<Result<_, InvalidValue>>()?;
        let store = self.store.ok_or(EngineError::Missing { part: "store" })?;
        let source = self.source.ok_or(EngineError::Missing { part: "source" })?;
        let builder = self
            .builder
            .ok_or(EngineError::Missing { part: "builder" })?;
        let keys = self.keys.ok_or(EngineError::Missing { part: "keys" })?;
        Ok(Engine(Arc::new_cyclic(|engine: &Weak<Inner>| {
            let own = own.into_iter();
            handlers.extend(own.map(|(kind, handler)| (kind, handler(engine.clone()))));
            Inner {
                store,
                bus: self.bus.unwrap_or_else(|| Arc::new(LocalBus::default())),
                source,
                credentials: self.credentials,
                builder,
                builders,
                executors,
                targets_elsewhere: self.targets_elsewhere,
                ingress: self.ingress,
                resolver: self.resolver,
                notifiers: self.notifiers,
                handlers,
                keys,
                clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
                entropy: self.entropy.unwrap_or_else(|| Arc::new(SystemEntropy)),
                log_limits: self.log_limits,
                trouble: Default::default(),
                away: Default::default(),
            }
        })))
    }
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBuilder").finish_non_exhaustive()
    }
}
