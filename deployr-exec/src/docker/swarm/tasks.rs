//! The tasks of a service: how many are up, and what became of those that are not.

use bollard::models::{Task, TaskState};
use bollard::query_parameters::ListTasksOptions;
use deployr_core::error::StepResult;

use super::SwarmExecutor;

/// What the tasks of a service come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// All that are wanted run, and are healthy as far as Swarm can tell.
    Up,
    /// Not all of them yet.
    Coming(String),
    /// One has ended, or could not be started.
    Ended {
        /// Why, as a part of a sentence.
        how: String,
        container: Option<String>,
    },
}

impl SwarmExecutor {
    pub(super) async fn progress(&self, service: &str, wanted: u16) -> StepResult<Progress> {
        let client = self.docker.client();
        let filters = [("service".to_owned(), vec![service.to_owned()])].into();
        let options = ListTasksOptions {
            filters: Some(filters),
        };
        let tasks = client.docker().await?.list_tasks(Some(options)).await;
        let tasks = client.step("looking at the tasks of", service, tasks)?;
        Ok(progress(&tasks, wanted))
    }
}

fn progress(tasks: &[Task], wanted: u16) -> Progress {
    let is = |task: &Task, of: &[TaskState]| {
        let state = task.status.as_ref().and_then(|status| status.state);
        state.is_some_and(|state| of.contains(&state))
    };
    let wants_to_run = |task: &&Task| task.desired_state == Some(TaskState::RUNNING);
    let running = tasks.iter().filter(wants_to_run);
    let running = running
        .filter(|task| is(task, &[TaskState::RUNNING]))
        .count();
    if running >= usize::from(wanted) {
        return Progress::Up;
    }
    let over = [TaskState::FAILED, TaskState::REJECTED, TaskState::COMPLETE];
    // Of those that could not be started the latest says most.
    let mut ended: Vec<&Task> = tasks.iter().filter(|task| is(task, &over)).collect();
    ended.sort_by_key(|task| task.version.as_ref().and_then(|version| version.index));
    if let Some(task) = ended.last() {
        let status = task.status.clone().unwrap_or_default();
        let container = status.container_status.unwrap_or_default();
        let how = match (container.exit_code, status.err) {
            (Some(code), _) if code != 0 || is(task, &[TaskState::COMPLETE]) => {
                format!("exited {code}")
            }
            (_, Some(error)) => format!("could not be started ({})", error.trim()),
            _ => "has ended".to_owned(),
        };
        return Progress::Ended {
            how,
            container: container.container_id,
        };
    }
    let waiting = tasks.iter().find(|task| !is(task, &[TaskState::RUNNING]));
    let why = waiting.map(|task| {
        let status = task.status.clone().unwrap_or_default();
        let state = status.state.map(|state| state.to_string());
        let error = status.err.map(|error| format!(" ({error})"));
        format!(
            "; one is {}{}",
            state.unwrap_or_default(),
            error.unwrap_or_default()
        )
    });
    let why = why.unwrap_or_default();
    Progress::Coming(format!("{running} of {wanted} replicas run{why}"))
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerStatus, TaskStatus};

    use super::*;

    fn task(state: TaskState, exit_code: Option<i64>, error: Option<&str>) -> Task {
        Task {
            desired_state: Some(TaskState::RUNNING),
            status: Some(TaskStatus {
                state: Some(state),
                err: error.map(str::to_owned),
                container_status: Some(ContainerStatus {
                    exit_code,
                    ..ContainerStatus::default()
                }),
                ..TaskStatus::default()
            }),
            ..Task::default()
        }
    }

    #[test]
    fn a_release_is_up_when_all_its_replicas_are() {
        let up = || task(TaskState::RUNNING, None, None);
        let waits = || task(TaskState::PENDING, None, Some("no suitable node"));
        assert_eq!(progress(&[up(), up()], 2), Progress::Up);
        let told = "1 of 2 replicas run; one is pending (no suitable node)".to_owned();
        assert_eq!(progress(&[waits(), up()], 2), Progress::Coming(told));
        let told = "0 of 1 replicas run".to_owned();
        assert_eq!(progress(&[], 1), Progress::Coming(told));
    }

    #[test]
    fn what_ended_says_how() {
        let ended = |task| match progress(&[task], 1) {
            Progress::Ended { how, .. } => how,
            other => panic!("{other:?}"),
        };
        let failed = task(TaskState::FAILED, Some(7), Some("task: non-zero exit (7)"));
        assert_eq!(ended(failed), "exited 7");
        assert_eq!(ended(task(TaskState::COMPLETE, Some(0), None)), "exited 0");
        let rejected = task(TaskState::REJECTED, Some(0), Some("No such image: x"));
        assert_eq!(ended(rejected), "could not be started (No such image: x)");
    }

    #[test]
    fn one_that_was_replaced_long_ago_harms_nobody() {
        let old = task(TaskState::FAILED, Some(1), None);
        let up = task(TaskState::RUNNING, None, None);
        assert_eq!(progress(&[old, up], 1), Progress::Up);
    }
}
