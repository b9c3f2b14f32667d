//! What of a compose file is allowed: the fields that are here, and no other. What is left
//! out would give a container rights over the host, or reach what is not the project's.

#![allow(dead_code, reason = "some fields are allowed, and dropped")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

type Map<T> = BTreeMap<String, T>;

/// A compose file as the compose tool prints it: resolved, with absolute paths.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<Value>,
    #[serde(default, skip_serializing)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) services: Map<Service>,
    #[serde(default)]
    pub(super) volumes: Map<Option<Volume>>,
    #[serde(default)]
    pub(super) networks: Map<Option<Network>>,
}

/// A service. What is only looked at by the programs in its own container is not looked at
/// here.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Service {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) build: Option<Build>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container_name: Option<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) command: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) entrypoint: Value,
    pub(super) environment: Environment,
    #[serde(skip_serializing_if = "Waits::is_empty")]
    pub(super) depends_on: Waits,
    #[serde(skip_serializing)]
    pub(super) expose: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ports: Vec<Port>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) volumes: Vec<Mount>,
    #[serde(skip_serializing_if = "Joined::is_empty")]
    pub(super) networks: Joined,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) healthcheck: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restart: Option<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) user: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) working_dir: Option<String>,
    /// Dropped, for those that deployr and its ingress go by are its own.
    #[serde(skip_deserializing, skip_serializing_if = "Map::is_empty")]
    pub(super) labels: Map<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) stop_grace_period: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) init: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read_only: Option<bool>,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) tmpfs: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<String>,
    #[serde(skip_serializing)]
    pub(super) deploy: Option<Deploy>,
    #[serde(skip_serializing)]
    pub(super) scale: Option<u32>,
    #[serde(skip_serializing)]
    pub(super) pull_policy: Option<String>,
    /// Deployr's own limits hold instead.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(super) mem_limit: Option<u64>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(super) pids_limit: Option<u64>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(super) cpus: Option<f64>,
    #[serde(skip_deserializing)]
    pub(super) security_opt: Vec<String>,
    #[serde(skip_deserializing)]
    pub(super) cap_drop: Vec<String>,
    #[serde(skip_deserializing)]
    pub(super) cap_add: Vec<String>,
}

/// Names and values; a list in the files that people write, a map in those that are resolved.
pub(super) type Environment = Map<Option<Value>>;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Build {
    pub(super) context: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dockerfile: Option<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) args: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<String>,
    #[serde(default, skip_serializing)]
    pub(super) labels: Value,
}

/// What has to be up first.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Waits {
    List(Vec<String>),
    Map(Map<Wait>),
}

impl Default for Waits {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wait {
    pub(super) condition: Option<String>,
    #[serde(skip_serializing)]
    pub(super) required: Option<bool>,
    #[serde(skip_serializing)]
    pub(super) restart: Option<bool>,
}

impl Waits {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::List(names) => names.is_empty(),
            Self::Map(names) => names.is_empty(),
        }
    }

    /// The services, and whether they have to be healthy.
    pub(super) fn iter(&self) -> Vec<(&str, bool)> {
        match self {
            Self::List(names) => names.iter().map(|name| (name.as_str(), false)).collect(),
            Self::Map(names) => names
                .iter()
                .map(|(name, wait)| {
                    let healthy = wait.condition.as_deref() == Some("service_healthy");
                    (name.as_str(), healthy)
                })
                .collect(),
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        match self {
            Self::List(names) => names.retain(|name| keep(name)),
            Self::Map(names) => names.retain(|name, _| keep(name)),
        }
    }
}

/// A port of the container, and that of the host which leads to it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Port {
    Number(u16),
    Short(String),
    Long(LongPort),
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LongPort {
    pub(super) target: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) published: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host_ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<String>,
    #[serde(default, skip_serializing)]
    pub(super) mode: Option<String>,
}

/// A folder of the container that is not its own.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Mount {
    Short(String),
    Long(LongMount),
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LongMount {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    pub(super) target: String,
    #[serde(default)]
    pub(super) read_only: bool,
    #[serde(default, skip_serializing)]
    pub(super) bind: Value,
    #[serde(default, skip_serializing)]
    pub(super) volume: Value,
    #[serde(default, skip_serializing)]
    pub(super) tmpfs: Value,
}

/// The networks of the project that a service is in.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Joined {
    List(Vec<String>),
    Map(Map<Option<Aliases>>),
}

impl Default for Joined {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Joined {
    pub(super) fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::List(names) => names.iter().map(String::as_str).collect(),
            Self::Map(names) => names.keys().map(String::as_str).collect(),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Aliases {
    pub(super) aliases: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Deploy {
    pub(super) replicas: Option<u32>,
    #[serde(skip_serializing)]
    pub(super) resources: Value,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Volume {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing)]
    pub(super) driver: Option<String>,
    /// As nobody's but deployr's.
    #[serde(skip_deserializing)]
    pub(super) external: bool,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Network {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) driver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) internal: Option<bool>,
    #[serde(skip_serializing)]
    pub(super) ipam: Value,
    #[serde(skip_deserializing, skip_serializing_if = "Map::is_empty")]
    pub(super) labels: Map<String>,
}
