//! What the service of a release is: pure, and so the same wherever it is made.

use std::time::Duration;

use bollard::models::{
    EndpointPortConfig, EndpointPortConfigProtocolEnum, EndpointPortConfigPublishModeEnum,
    EndpointSpec, EndpointSpecModeEnum, HealthConfig, Limit, NetworkAttachmentConfig, ServiceSpec,
    ServiceSpecMode, ServiceSpecModeReplicated, ServiceSpecRollbackConfig,
    ServiceSpecRollbackConfigFailureActionEnum, ServiceSpecRollbackConfigOrderEnum,
    ServiceSpecUpdateConfig, ServiceSpecUpdateConfigFailureActionEnum,
    ServiceSpecUpdateConfigOrderEnum, TaskSpec, TaskSpecContainerSpec,
    TaskSpecContainerSpecPrivileges, TaskSpecContainerSpecSecrets, TaskSpecLogDriver,
    TaskSpecPlacement, TaskSpecResources, TaskSpecRestartPolicy,
    TaskSpecRestartPolicyConditionEnum,
};

use super::super::container::{APP, Blueprint, CAPABILITIES, signed};
use super::super::limits::LOG_DRIVER;
use super::secrets;

/// Before a task that has ended is replaced.
const RESTART_DELAY: Duration = Duration::from_secs(1);
/// How long a task that was replaced by an update is watched before the next one is.
const MONITOR: Duration = Duration::from_secs(5);
/// How long a task has to end that Swarm replaces or moves. As long as at a deployment.
const GRACE: Duration = Duration::from_secs(10);
/// How often a health command fails before its task is replaced.
const RETRIES: i64 = 3;

/// All that a service is made of.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) blueprint: Blueprint<'a>,
    pub(super) replicas: u16,
    /// Whether the port is one of the whole swarm, or of the task's node.
    pub(super) meshed: bool,
    pub(super) constraints: Vec<String>,
    pub(super) secrets: Vec<TaskSpecContainerSpecSecrets>,
    pub(super) port: u16,
}

impl Plan<'_> {
    pub(super) fn spec(self) -> ServiceSpec {
        let Blueprint { instance, spec, .. } = self.blueprint;
        let limits = self.blueprint.limits;
        ServiceSpec {
            name: Some(instance.service(&spec.slug, spec.number)),
            labels: Some(self.blueprint.labels()),
            mode: Some(replicated(self.replicas)),
            task_template: Some(TaskSpec {
                container_spec: Some(self.container()),
                resources: Some(TaskSpecResources {
                    limits: Some(Limit {
                        nano_cpus: limits.nano_cpus(),
                        memory_bytes: limits.memory_bytes.map(signed),
                        pids: limits.processes.map(signed),
                    }),
                    ..TaskSpecResources::default()
                }),
                restart_policy: Some(TaskSpecRestartPolicy {
                    condition: Some(TaskSpecRestartPolicyConditionEnum::ANY),
                    delay: Some(nanos(RESTART_DELAY)),
                    ..TaskSpecRestartPolicy::default()
                }),
                placement: Some(TaskSpecPlacement {
                    constraints: Some(self.constraints.clone()),
                    ..TaskSpecPlacement::default()
                }),
                networks: Some(vec![NetworkAttachmentConfig {
                    target: Some(instance.project_network(&spec.slug)),
                    ..NetworkAttachmentConfig::default()
                }]),
                log_driver: Some(TaskSpecLogDriver {
                    name: Some(LOG_DRIVER.to_owned()),
                    options: Some(limits.log_options()),
                }),
                ..TaskSpec::default()
            }),
            update_config: Some(self.updates()),
            rollback_config: Some(self.rollbacks()),
            endpoint_spec: Some(self.endpoint()),
            ..ServiceSpec::default()
        }
    }

    fn container(&self) -> TaskSpecContainerSpec {
        let blueprint = &self.blueprint;
        let spec = blueprint.spec;
        let shell = blueprint.shell();
        let of_folder = blueprint.of_folder;
        let health = &spec.recipe.health;
        let plain = |name: &str| !secrets::is_secret(&spec.env, name);
        let env = blueprint.env(plain);
        TaskSpecContainerSpec {
            image: Some(blueprint.image.to_owned()),
            labels: Some(blueprint.labels()),
            // A line brings no process along that looks after its children.
            init: shell.as_ref().map(|_| true),
            command: shell,
            env: Some(env.iter().map(|entry| literal(entry)).collect()),
            dir: of_folder.then(|| format!("/{APP}")),
            user: blueprint.user().map(|user| format!("{user}:{user}")),
            // Known to engines from API 1.44 on; others have no way to say so.
            privileges: Some(TaskSpecContainerSpecPrivileges {
                no_new_privileges: Some(true),
                ..TaskSpecContainerSpecPrivileges::default()
            }),
            mounts: Some(blueprint.volumes()),
            stop_grace_period: Some(nanos(GRACE)),
            health_check: health.command.as_ref().map(|line| HealthConfig {
                test: Some(vec!["CMD-SHELL".to_owned(), line.as_str().to_owned()]),
                interval: Some(nanos(health.interval())),
                timeout: Some(nanos(health.timeout())),
                retries: Some(RETRIES),
                // For so long it may fail.
                start_period: Some(nanos(health.deadline())),
                ..HealthConfig::default()
            }),
            secrets: Some(self.secrets.clone()),
            capability_drop: Some(vec!["ALL".to_owned()]),
            capability_add: (!of_folder).then(|| CAPABILITIES.map(str::to_owned).to_vec()),
            ..TaskSpecContainerSpec::default()
        }
    }

    fn endpoint(&self) -> EndpointSpec {
        let (mode, publish) = match self.meshed {
            true => (
                EndpointSpecModeEnum::VIP,
                EndpointPortConfigPublishModeEnum::INGRESS,
            ),
            // A virtual address would be of no use to anyone, and need IPVS, too.
            false => (
                EndpointSpecModeEnum::DNSRR,
                EndpointPortConfigPublishModeEnum::HOST,
            ),
        };
        EndpointSpec {
            mode: Some(mode),
            ports: Some(vec![EndpointPortConfig {
                protocol: Some(EndpointPortConfigProtocolEnum::TCP),
                target_port: Some(self.blueprint.port().into()),
                published_port: Some(self.port.into()),
                publish_mode: Some(publish),
                ..EndpointPortConfig::default()
            }]),
        }
    }

    /// A port of a node cannot be two tasks' at once.
    fn updates(&self) -> ServiceSpecUpdateConfig {
        ServiceSpecUpdateConfig {
            parallelism: Some(1),
            monitor: Some(nanos(MONITOR)),
            failure_action: Some(ServiceSpecUpdateConfigFailureActionEnum::ROLLBACK),
            order: Some(match self.meshed {
                true => ServiceSpecUpdateConfigOrderEnum::START_FIRST,
                false => ServiceSpecUpdateConfigOrderEnum::STOP_FIRST,
            }),
            ..ServiceSpecUpdateConfig::default()
        }
    }

    fn rollbacks(&self) -> ServiceSpecRollbackConfig {
        ServiceSpecRollbackConfig {
            parallelism: Some(1),
            monitor: Some(nanos(MONITOR)),
            failure_action: Some(ServiceSpecRollbackConfigFailureActionEnum::PAUSE),
            order: Some(match self.meshed {
                true => ServiceSpecRollbackConfigOrderEnum::START_FIRST,
                false => ServiceSpecRollbackConfigOrderEnum::STOP_FIRST,
            }),
            ..ServiceSpecRollbackConfig::default()
        }
    }
}

pub(super) fn replicated(replicas: u16) -> ServiceSpecMode {
    ServiceSpecMode {
        replicated: Some(ServiceSpecModeReplicated {
            replicas: Some(replicas.into()),
        }),
        ..ServiceSpecMode::default()
    }
}

/// Swarm takes variables for templates (`{{.Node.ID}}`); this one says what it is given.
fn literal(text: &str) -> String {
    text.replace("{{", r#"{{"{{"}}"#)
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
