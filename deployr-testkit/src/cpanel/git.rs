//! Repositories that the host keeps, with real `git` and a real shell.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::Inner;
use super::api::{Call, Done};

#[derive(Debug, Default)]
pub(super) struct State {
    repositories: Vec<Repository>,
    deployments: Vec<Deployment>,
}

#[derive(Debug)]
struct Repository {
    root: PathBuf,
    /// For how many looks it is still being cloned.
    busy: usize,
}

#[derive(Debug)]
struct Deployment {
    root: PathBuf,
    ended: &'static str,
    busy: usize,
}

impl Inner {
    pub(super) fn version_control(&self, call: &Call) -> Done {
        let root = PathBuf::from(call.get("repository_root"));
        let needs_root = !call.function.ends_with("retrieve");
        if needs_root && !root.starts_with(self.home()) {
            return Err("The repository is not in the home directory.".to_owned());
        }
        match call.function.as_str() {
            "VersionControl/create" => {
                let source: Value = serde_json::from_str(call.get("source_repository"))
                    .map_err(|error| error.to_string())?;
                let url = source["url"].as_str().unwrap_or_default();
                git(&self.home(), &["clone", "-q", url, &root.to_string_lossy()])?;
                self.state()
                    .git
                    .repositories
                    .push(Repository { root, busy: 2 });
                Ok(json!({"tasks": [{"action": "create", "id": "1"}]}))
            }
            "VersionControl/delete" => {
                let mut state = self.state();
                let all = &mut state.git.repositories;
                let known = all.len();
                all.retain(|repository| repository.root != root);
                if all.len() == known {
                    return Err("There is no such repository.".to_owned());
                }
                std::fs::remove_dir_all(&root).map_err(|error| error.to_string())?;
                Ok(Value::Null)
            }
            "VersionControl/retrieve" => {
                let mut state = self.state();
                let all = state.git.repositories.iter_mut().map(|repository| {
                    repository.busy = repository.busy.saturating_sub(1);
                    let tasks = if repository.busy > 0 {
                        json!([{"action": "create"}])
                    } else {
                        json!([])
                    };
                    let commit = git(&repository.root, &["rev-parse", "HEAD"]).unwrap_or_default();
                    let deployable = i32::from(repository.root.join(".cpanel.yml").is_file());
                    json!({"repository_root": repository.root, "tasks": tasks, "type": "git",
                        "deployable": deployable, "last_update": {"identifier": commit.trim()}})
                });
                Ok(all.collect())
            }
            "VersionControl/update" => {
                git(&root, &["fetch", "-q", "origin"])?;
                git(&root, &["checkout", "-q", call.get("branch")])?;
                git(
                    &root,
                    &[
                        "merge",
                        "-q",
                        "--ff-only",
                        &format!("origin/{}", call.get("branch")),
                    ],
                )?;
                Ok(json!({}))
            }
            "VersionControlDeployment/create" => self.run_tasks(&root),
            _ => {
                let mut state = self.state();
                let all = (1..)
                    .zip(&mut state.git.deployments)
                    .map(|(id, deployment)| {
                        deployment.busy = deployment.busy.saturating_sub(1);
                        let mut times = json!({"queued": "1", "active": "2"});
                        if deployment.busy == 0 {
                            times[deployment.ended] = json!("3");
                        }
                        json!({"deploy_id": id, "repository_root": deployment.root,
                            "timestamps": times})
                    });
                Ok(all.collect())
            }
        }
    }

    fn run_tasks(&self, root: &Path) -> Done {
        let text =
            std::fs::read_to_string(root.join(".cpanel.yml")).map_err(|error| error.to_string())?;
        let tasks = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- "));
        let script = tasks.collect::<Vec<_>>().join("\n");
        let mut shell = Command::new("sh");
        let shell = shell
            .args(["-e", "-c", &script])
            .current_dir(root)
            .env("HOME", self.home());
        let output = shell.output().map_err(|error| error.to_string())?;
        let ended = if output.status.success() {
            "succeeded"
        } else {
            "failed"
        };
        let mut state = self.state();
        state.git.deployments.push(Deployment {
            root: root.to_owned(),
            ended,
            busy: 2,
        });
        let id = state.git.deployments.len();
        let logs = self.home().join(".cpanel/logs");
        std::fs::create_dir_all(&logs).map_err(|error| error.to_string())?;
        let log = logs.join(format!("vc_{id}_git_deploy.log"));
        let said = [output.stdout, output.stderr].concat();
        std::fs::write(&log, said).map_err(|error| error.to_string())?;
        Ok(json!({"deploy_id": id.to_string(), "log_path": log, "task_id": "1"}))
    }
}

fn git(folder: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new("git").args(args).current_dir(folder).output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
