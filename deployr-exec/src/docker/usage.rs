//! What a running release uses of the machine.

use std::time::Duration;

use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::{ListContainersOptions, StatsOptions};
use deployr_core::error::StepResult;
use deployr_core::value::Slug;
use futures::TryStreamExt;
use futures::future::try_join_all;
use serde::Serialize;
use tokio::time::sleep;

use super::DockerExecutor;
use super::client::if_there;
use super::naming::RELEASE;

/// The span over which the use of processors is measured.
const SPAN: Duration = Duration::from_millis(250);

/// What all containers of a release on an engine use, together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Those that run.
    pub containers: usize,
    /// Processors in use over a quarter of a second just now: 0.5 is half of one.
    pub cpus: f64,
    /// Memory, without what the kernel would give back at once.
    pub memory_bytes: u64,
    /// How much it may be; as much as there is where nobody has set a limit.
    pub memory_limit_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
}

impl DockerExecutor {
    /// What a release uses at present: of a compose file its generation, and of a swarm the tasks
    /// on this engine. Takes a quarter of a second. One that does not run uses nothing.
    ///
    /// # Errors
    ///
    /// A fault where the engine does not answer.
    pub async fn usage(&self, slug: &Slug, number: i64) -> StepResult<Usage> {
        let docker = self.client().docker().await?;
        let mut filters = self.instance().await?.filter(Some(slug));
        if let Some(labels) = filters.get_mut("label") {
            labels.push(format!("{RELEASE}={number}"));
        }
        let options = ListContainersOptions {
            filters: Some(filters),
            ..ListContainersOptions::default()
        };
        let running = docker.list_containers(Some(options)).await;
        let running = self.client().step("listing containers of", slug, running)?;
        let looks = running.into_iter().filter_map(|container| container.id);
        let looks = looks.map(|id| async move {
            let Some(before) = self.look(&id).await? else {
                return Ok(None);
            };
            sleep(SPAN).await;
            let after = self.look(&id).await?;
            StepResult::Ok(after.map(|after| Usage::between(&before, &after)))
        });
        let all = try_join_all(looks).await?;
        Ok(all.into_iter().flatten().fold(Usage::default(), Usage::and))
    }

    /// None of one that is gone meanwhile.
    async fn look(&self, id: &str) -> StepResult<Option<ContainerStatsResponse>> {
        let options = StatsOptions {
            stream: false,
            one_shot: true,
        };
        let docker = self.client().docker().await?;
        let stats = docker.stats(id, Some(options)).try_collect::<Vec<_>>();
        let stats = if_there(stats.await);
        let stats = self.client().step("asking for the use of", id, stats)?;
        Ok(stats.into_iter().flatten().next())
    }
}

impl Usage {
    fn between(before: &ContainerStatsResponse, after: &ContainerStatsResponse) -> Self {
        let cpu = |stats: &ContainerStatsResponse| {
            let cpu = stats.cpu_stats.as_ref()?;
            Some((
                cpu.cpu_usage.as_ref()?.total_usage?,
                cpu.system_cpu_usage?,
                cpu.online_cpus?,
            ))
        };
        let cpus = match (cpu(before), cpu(after)) {
            (Some((used, of, _)), Some((now, of_now, processors))) if of_now > of => {
                now.saturating_sub(used) as f64 / (of_now - of) as f64 * f64::from(processors)
            }
            _ => 0.0,
        };
        let memory = after.memory_stats.as_ref();
        // As Docker's own client counts it, by either version of control groups.
        let free = memory.and_then(|memory| {
            let stats = memory.stats.as_ref()?;
            let names = ["total_inactive_file", "inactive_file"];
            names.iter().find_map(|name| stats.get(*name).copied())
        });
        let used = memory.and_then(|memory| memory.usage).unwrap_or_default();
        Self {
            containers: 1,
            cpus,
            memory_bytes: used.saturating_sub(free.unwrap_or_default()),
            memory_limit_bytes: memory.and_then(|memory| memory.limit).unwrap_or_default(),
            processes: after
                .pids_stats
                .as_ref()
                .and_then(|pids| pids.current)
                .unwrap_or_default(),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            containers: self.containers + other.containers,
            cpus: self.cpus + other.cpus,
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            memory_limit_bytes: self
                .memory_limit_bytes
                .saturating_add(other.memory_limit_bytes),
            processes: self.processes + other.processes,
        }
    }
}
