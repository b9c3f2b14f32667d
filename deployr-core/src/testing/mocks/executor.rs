use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::script::{Script, go_on, lock};
use crate::builder::Artifact;
use crate::command::PlannedStep;
use crate::context::StepContext;
use crate::error::{Fault, StepError, StepResult, Verdict, VerdictCode};
use crate::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use crate::model::{Recipe, Runtime, Turn};
use crate::value::{CommitId, Slug};

/// A release as it lies on a [`MemoryTarget`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedRelease {
    /// What it was made from.
    pub commit: CommitId,
    /// What it holds.
    pub artifact: Artifact,
    /// Where it was brought up, if ever.
    pub endpoint: Option<Endpoint>,
    /// Whether it is up.
    pub up: bool,
    /// Whether all of it is there. What is half placed can neither be started nor
    /// switched to.
    pub whole: bool,
    /// Whether it was found to be healthy, ever.
    pub verified: bool,
}

/// What is on the target of one project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryTarget {
    /// The releases, by number.
    pub releases: BTreeMap<i64, PlacedRelease>,
    /// The number of the present release.
    pub current: Option<i64>,
    /// The highest turn that was switched with.
    pub turn: Turn,
    /// Every release that was ever switched to, as it was then, in order.
    pub switches: Vec<(i64, PlacedRelease)>,
}

/// A target in memory. A clone works on the same target: as an executor does that is
/// made anew after a crash. A release whose health path is `/not-there` never becomes
/// healthy.
#[derive(Debug, Clone, Default)]
pub struct ScriptedExecutor {
    script: Script,
    targets: Arc<Mutex<BTreeMap<Slug, MemoryTarget>>>,
    refusal: Arc<Mutex<Option<String>>>,
}

impl ScriptedExecutor {
    /// What was asked, and how it shall fail. Calls: `prepare`, `start`, `verify`,
    /// `switch`, `current`, `retire`, `discard`, `prune`, `remove`.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Lets it accept no recipe from now on, for that reason.
    pub fn refuse_all(&self, why: impl Into<String>) {
        *lock(&self.refusal) = Some(why.into());
    }

    /// What is on the target of a project.
    #[must_use]
    pub fn target(&self, slug: &Slug) -> MemoryTarget {
        lock(&self.targets).get(slug).cloned().unwrap_or_default()
    }

    /// Does to a target what no executor would: a disk is wiped, a process dies.
    pub fn meddle(&self, slug: &Slug, with: impl FnOnce(&mut MemoryTarget)) {
        with(lock(&self.targets).entry(slug.clone()).or_default());
    }

    /// The release that an endpoint leads to, while it is up.
    #[must_use]
    pub fn release_at(&self, endpoint: &Endpoint) -> Option<PlacedRelease> {
        let targets = lock(&self.targets);
        let mut releases = targets.values().flat_map(|target| target.releases.values());
        let leads =
            |release: &&PlacedRelease| release.up && release.endpoint.as_ref() == Some(endpoint);
        releases.find(leads).cloned()
    }

    fn on<T>(&self, slug: &Slug, change: impl FnOnce(&mut MemoryTarget) -> T) -> T {
        change(lock(&self.targets).entry(slug.clone()).or_default())
    }

    fn called(&self, call: &str, slug: &Slug, number: i64) -> StepResult<()> {
        self.script.called(call, &format!("{slug} {number}"))
    }
}

fn gone(spec: &ReleaseSpec) -> StepError {
    let message = format!(
        "release {} of {} is no longer on the target",
        spec.number, spec.slug
    );
    StepError::verdict(VerdictCode::ReleaseGone, message)
}

/// Always the same for the same release. Nobody listens there.
fn endpoint_of(spec: &ReleaseSpec) -> Endpoint {
    match spec.recipe.runtime {
        Runtime::Static { single_page } => {
            let path = format!("/memory/{}/{}", spec.slug, spec.number).into();
            Endpoint::Folder { path, single_page }
        }
        Runtime::Process { .. } | Runtime::Image | Runtime::Compose { .. } => {
            let mix = |sum: u32, byte: u8| sum.wrapping_mul(31).wrapping_add(byte.into());
            let sum = spec.slug.as_str().bytes().fold(spec.number as u32, mix);
            let port = 20_000 + (sum % 40_000) as u16;
            Endpoint::Http {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            }
        }
    }
}

#[async_trait]
impl Executor for ScriptedExecutor {
    fn name(&self) -> &str {
        "scripted"
    }

    fn capabilities(&self) -> ExecutorCapabilities {
        ExecutorCapabilities {
            processes: true,
            side_by_side: true,
            atomic_switch: true,
            verifies: true,
        }
    }

    fn accepts(&self, _slug: &Slug, _recipe: &Recipe) -> Result<(), Verdict> {
        match &*lock(&self.refusal) {
            Some(why) => Err(Verdict::new(VerdictCode::Unsupported, why)),
            None => Ok(()),
        }
    }

    fn plan(&self, slug: &Slug, _recipe: &Recipe) -> Vec<PlannedStep> {
        vec![
            PlannedStep::new(format!("place a release of {slug}")),
            PlannedStep::new("switch"),
        ]
    }

    async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        self.called("prepare", &spec.slug, spec.number)?;
        go_on(ctx)?;
        self.on(&spec.slug, |target| {
            let (commit, artifact) = (spec.commit.clone(), artifact.clone());
            let new = PlacedRelease {
                commit,
                artifact,
                endpoint: None,
                up: false,
                whole: false,
                verified: false,
            };
            target.releases.entry(spec.number).or_insert(new);
        });
        // Here a process can die.
        tokio::task::yield_now().await;
        self.on(&spec.slug, |target| {
            if let Some(release) = target.releases.get_mut(&spec.number) {
                release.whole = true;
            }
        });
        Ok(())
    }

    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        self.called("start", &spec.slug, spec.number)?;
        go_on(ctx)?;
        self.on(&spec.slug, |target| {
            let release = target
                .releases
                .get_mut(&spec.number)
                .filter(|release| release.whole)
                .ok_or_else(|| gone(spec))?;
            let endpoint = endpoint_of(spec);
            release.endpoint = Some(endpoint.clone());
            release.up = true;
            Ok(endpoint)
        })
    }

    async fn verify(
        &self,
        spec: &ReleaseSpec,
        _endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()> {
        self.called("verify", &spec.slug, spec.number)?;
        go_on(ctx)?;
        if spec.recipe.health.path.as_str() == "/not-there" {
            let deadline = tokio::time::sleep(spec.recipe.health.deadline());
            tokio::select! {
                () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
                () = deadline => {}
            }
            return Err(StepError::verdict(
                VerdictCode::Unhealthy,
                "answered 404 Not Found",
            ));
        }
        self.on(&spec.slug, |target| {
            let release = target.releases.get_mut(&spec.number);
            let up = release
                .filter(|release| release.up)
                .ok_or_else(|| StepError::verdict(VerdictCode::StartFailed, "it is not up"))?;
            up.verified = true;
            Ok(())
        })
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, _: &StepContext) -> StepResult<()> {
        self.script.called(
            "switch",
            &format!("{} {} turn {}", spec.slug, spec.number, turn.deployment),
        )?;
        self.on(&spec.slug, |target| {
            if turn < target.turn {
                let reason = format!("the turn of {turn} is over: {} has switched", target.turn);
                return Err(Fault::permanent("switch", &spec.slug, reason).into());
            }
            let release = target.releases.get(&spec.number);
            let release = release.filter(|release| release.whole);
            let release = release.cloned().ok_or_else(|| gone(spec))?;
            target.switches.push((spec.number, release));
            (target.current, target.turn) = (Some(spec.number), turn);
            Ok(())
        })
    }

    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        self.script.called("current", slug.as_str())?;
        Ok(self.target(slug).current)
    }

    async fn retire(&self, slug: &Slug, number: i64, _grace: Duration) -> StepResult<()> {
        self.called("retire", slug, number)?;
        self.on(slug, |target| {
            if target.current == Some(number) {
                return Err(Fault::permanent("retire", slug, "it is the present release").into());
            }
            if let Some(release) = target.releases.get_mut(&number) {
                release.up = false;
            }
            Ok(())
        })
    }

    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        self.called("discard", slug, number)?;
        self.on(slug, |target| {
            if target.current != Some(number) {
                target.releases.remove(&number);
            }
        });
        Ok(())
    }

    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        self.script.called("prune", slug.as_str())?;
        Ok(self.on(slug, |target| {
            let current = target.current;
            let newest = keep.iter().copied().chain(current).max();
            let stays = |number: &i64| {
                keep.contains(number) || current == Some(*number) || Some(*number) > newest
            };
            for (number, release) in &mut target.releases {
                release.up &= current == Some(*number) || Some(*number) > newest;
            }
            let all: Vec<_> = target.releases.keys().copied().collect();
            target.releases.retain(|number, _| stays(number));
            all.into_iter().filter(|number| !stays(number)).collect()
        }))
    }

    async fn remove(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        let about = if purge { "purge" } else { "keep" };
        self.script.called("remove", &format!("{slug} {about}"))?;
        lock(&self.targets).remove(slug);
        Ok(())
    }
}
