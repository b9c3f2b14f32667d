//! Whether a compose file may be run: first as it is written, for what the compose tool would
//! read while it resolves it, then as it was resolved, for what would really be done.

use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};

use deployr_core::error::{StepError, VerdictCode};
use deployr_core::value::BuildArgName;
use serde_json::Value;

use super::model::{LongMount, Model, Mount, Port, Service};

/// Why a compose file is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is none, or nobody can tell what it means.
    Invalid(String),
    /// It asks for something that would reach beyond the project: where, and the rule.
    Forbidden {
        /// As `services.web.volumes`.
        place: String,
        /// What does not go, and what does.
        rule: String,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) => write!(f, "the compose file cannot be read: {reason}"),
            Self::Forbidden { place, rule } => {
                write!(f, "the compose file may not be run: `{place}`: {rule}")
            }
        }
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for StepError {
    fn from(refused: Refused) -> Self {
        Self::verdict(VerdictCode::ConfigInvalid, refused.to_string())
    }
}

fn forbidden<T>(place: impl fmt::Display, rule: impl fmt::Display) -> Result<T, Refused> {
    Err(Refused::Forbidden {
        place: place.to_string(),
        rule: rule.to_string(),
    })
}

/// Reads YAML, within bounds that no honest file meets.
pub(super) fn parse(text: &str) -> Result<Value, Refused> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.to_string();
        Refused::Invalid(error.lines().next().unwrap_or_default().to_owned())
    })
}

/// Checks a file as it is written: it brings no other files into play than those of its own
/// folder, which has no links out of it in the way.
pub(super) fn check_text(text: &str, folder: &Path) -> Result<(), Refused> {
    let root = real(folder)?;
    look(&parse(text)?, "", &root)?;
    // Read by the tool unasked.
    match folder.join(".env") {
        env if fs::symlink_metadata(&env).is_ok() && !is_inside(&root, &env) => {
            forbidden(".env", "it leads out of the checkout")
        }
        _ => Ok(()),
    }
}

/// Wherever it stands: anchors and merges can bring it anywhere.
fn look(value: &Value, place: &str, root: &Path) -> Result<(), Refused> {
    match value {
        Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            let place = match place {
                "" => key.clone(),
                place => format!("{place}.{key}"),
            };
            match key.as_str() {
                "include" if place == "include" => {
                    forbidden(&place, "other files and repositories are not read")
                }
                "extends" if value.get("file").is_some() => forbidden(
                    &place,
                    "other files are not read; extend a service of this one",
                ),
                "env_file" => check_env_file(value, &place, root)
                    // It may be a service's name as well.
                    .and_then(|()| look(value, &place, root)),
                _ => look(value, &place, root),
            }
        }),
        Value::Array(list) => list.iter().try_for_each(|value| look(value, place, root)),
        _ => Ok(()),
    }
}

fn check_env_file(value: &Value, place: &str, root: &Path) -> Result<(), Refused> {
    match value {
        Value::String(path) => {
            let rule = "it must be the plain path of a file in the checkout";
            match path.contains('$') || !is_inside(root, &root.join(path)) {
                true => forbidden(place, format!("`{path}`: {rule}")),
                false => Ok(()),
            }
        }
        Value::Array(list) => list
            .iter()
            .try_for_each(|value| check_env_file(value, place, root)),
        Value::Object(map) => match map.get("path") {
            Some(path) => check_env_file(path, place, root),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Reads a resolved file and checks all that it would do. `folder` is where the checkout lies.
pub(super) fn check(resolved: &str, folder: &Path) -> Result<Model, Refused> {
    let mut value = parse(resolved)?;
    drop_extensions(&mut value);
    let model: Model = serde_json::from_value(value).map_err(|error| {
        let text = error.to_string();
        match text.strip_prefix("unknown field `") {
            Some(rest) => {
                let field = rest.split('`').next().unwrap_or_default();
                Refused::Forbidden {
                    place: field.to_owned(),
                    rule: "deployr runs no compose file that has it, as it reaches beyond the \
                           project's own containers"
                        .to_owned(),
                }
            }
            None => Refused::Invalid(text),
        }
    })?;
    check_model(model, folder)
}

/// The same for one that was resolved and read before.
pub(super) fn check_model(model: Model, folder: &Path) -> Result<Model, Refused> {
    let root = real(folder)?;
    for (name, service) in &model.services {
        check_service(name, service, &model, &root)?;
    }
    for (name, volume) in &model.volumes {
        let driver = volume.as_ref().and_then(|volume| volume.driver.as_deref());
        if driver.is_some_and(|driver| driver != "local") {
            forbidden(format!("volumes.{name}.driver"), "only `local` is allowed")?;
        }
    }
    for (name, network) in &model.networks {
        let driver = network
            .as_ref()
            .and_then(|network| network.driver.as_deref());
        if driver.is_some_and(|driver| driver != "bridge") {
            forbidden(
                format!("networks.{name}.driver"),
                "only `bridge` is allowed",
            )?;
        }
    }
    Ok(model)
}

fn drop_extensions(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|key, _| !key.starts_with("x-"));
        if let Some(Value::Object(services)) = map.get_mut("services") {
            for service in services.values_mut() {
                if let Value::Object(service) = service {
                    // Those that are the project's own mean nothing here.
                    service.retain(|key, _| !key.starts_with("x-") && key != "labels");
                }
            }
        }
        for part in ["volumes", "networks"] {
            if let Some(Value::Object(all)) = map.get_mut(part) {
                for one in all.values_mut() {
                    if let Value::Object(one) = one {
                        one.remove("labels");
                    }
                }
            }
        }
    }
}

fn check_service(name: &str, service: &Service, model: &Model, root: &Path) -> Result<(), Refused> {
    let place = |part: &str| format!("services.{name}.{part}");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
        return Err(Refused::Invalid(format!(
            "`{name}` is no name of a service"
        )));
    }
    if let Some(build) = &service.build {
        let context = Path::new(&build.context);
        if !context.is_absolute() || !is_inside(root, context) {
            forbidden(
                place("build.context"),
                format!("`{}` is not a folder of the checkout", build.context),
            )?;
        }
        if let Some(file) = &build.dockerfile
            && !is_inside(root, &context.join(file))
        {
            forbidden(
                place("build.dockerfile"),
                format!("`{file}` is not a file of the checkout"),
            )?;
        }
        check_args(&build.args).or_else(|rule| forbidden(place("build.args"), rule))?;
    } else if service.image.is_none() {
        return Err(Refused::Invalid(format!(
            "the service `{name}` has neither `image` nor `build`"
        )));
    }
    for mount in &service.volumes {
        check_mount(mount, model, root).or_else(|rule| forbidden(place("volumes"), rule))?;
    }
    for port in &service.ports {
        if host_port(port)?.is_some_and(|port| port < 1024) {
            forbidden(
                place("ports"),
                "ports of the host below 1024 are not given away",
            )?;
        }
    }
    let copies = service.deploy.as_ref().and_then(|deploy| deploy.replicas);
    if copies.or(service.scale).is_some_and(|copies| copies > 1) {
        forbidden(
            place("deploy.replicas"),
            "one container a service; a Swarm runs several",
        )?;
    }
    for other in service.networks.names() {
        if other != "default" && !model.networks.contains_key(other) {
            return Err(Refused::Invalid(format!("there is no network `{other}`")));
        }
    }
    Ok(())
}

/// Names with values as a map or a list, or names alone.
fn check_args(args: &Value) -> Result<(), String> {
    let check_name = |name: &str| match BuildArgName::is_for_builder(name) {
        true => Err(format!("`{name}`: such arguments are the builder's own")),
        false => Ok(()),
    };
    match args {
        Value::Null => Ok(()),
        Value::Object(map) => map.keys().try_for_each(|name| check_name(name)),
        Value::Array(list) => list.iter().try_for_each(|arg| {
            let arg = arg.as_str().ok_or("arguments are texts")?;
            check_name(arg.split('=').next().unwrap_or_default())
        }),
        _ => Err("arguments are a list or a map".to_owned()),
    }
}

fn check_mount(mount: &Mount, model: &Model, root: &Path) -> Result<(), String> {
    let mount = long(mount);
    let source = mount.source.as_deref();
    match (mount.kind.as_str(), source) {
        ("tmpfs", _) | ("volume", None) => Ok(()),
        ("volume", Some(name)) if model.volumes.contains_key(name) => Ok(()),
        ("volume", Some(name)) => Err(format!("there is no volume `{name}`")),
        ("bind", Some(path)) if is_inside(root, Path::new(path)) => Ok(()),
        ("bind", Some(path)) => Err(format!(
            "`{path}` is a path of the host; only files of the checkout can be mounted, and \
             volumes that the file names"
        )),
        (kind, _) => Err(format!("a mount of the type `{kind}` is not allowed")),
    }
}

/// A mount in its long form.
pub(super) fn long(mount: &Mount) -> LongMount {
    let short = match mount {
        Mount::Long(long) => return long.clone(),
        Mount::Short(short) => short,
    };
    let mut parts = short.split(':');
    let (first, second, mode) = (parts.next(), parts.next(), parts.next());
    let (source, target) = match second {
        Some(target) => (first, target),
        None => (None, first.unwrap_or_default()),
    };
    let is_path = source.is_some_and(|source| source.starts_with(['/', '.', '~']));
    LongMount {
        kind: if is_path { "bind" } else { "volume" }.to_owned(),
        source: source.map(str::to_owned),
        target: target.to_owned(),
        read_only: mode.is_some_and(|mode| mode.split(',').any(|word| word == "ro")),
        bind: Value::Null,
        volume: Value::Null,
        tmpfs: Value::Null,
    }
}

/// The port of the host that is asked for.
pub(super) fn host_port(port: &Port) -> Result<Option<u16>, Refused> {
    let published = match port {
        Port::Number(_) => None,
        Port::Long(long) => long.published.clone(),
        // [[ip:]host:]container[/protocol]
        Port::Short(text) => {
            let text = text.split('/').next().unwrap_or_default();
            let mut parts = text.rsplit(':');
            let _container = parts.next();
            parts.next().map(|host| Value::String(host.to_owned()))
        }
    };
    let bad = |value: &Value| Refused::Invalid(format!("{value} is no single port"));
    match published {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => {
            let number = text.parse().ok().filter(|port: &u16| *port != 0);
            number.map(Some).ok_or_else(|| bad(&Value::String(text)))
        }
        Some(Value::Number(number)) => {
            let port = number.as_u64().and_then(|port| u16::try_from(port).ok());
            match port {
                Some(0) => Ok(None),
                Some(port) => Ok(Some(port)),
                None => Err(bad(&Value::Number(number))),
            }
        }
        Some(other) => Err(bad(&other)),
    }
}

/// The port of the container.
pub(super) fn container_port(port: &Port) -> Option<u16> {
    let target = match port {
        Port::Long(long) => match &long.target {
            Value::Number(number) => return u16::try_from(number.as_u64()?).ok(),
            Value::String(text) => text.clone(),
            _ => return None,
        },
        Port::Short(text) => text.clone(),
        Port::Number(number) => return Some(*number),
    };
    let target = target.split('/').next()?;
    target.rsplit(':').next()?.parse().ok()
}

fn real(folder: &Path) -> Result<PathBuf, Refused> {
    fs::canonicalize(folder)
        .map_err(|error| Refused::Invalid(format!("its folder cannot be read: {error}")))
}

/// Whether that is a file of the checkout, and no link to another.
pub(super) fn is_file_of(folder: &Path, path: &Path) -> bool {
    fs::canonicalize(folder).is_ok_and(|root| is_inside(&root, path)) && path.is_file()
}

/// Whether a path lies below `root`, with all links followed as far as there is something.
fn is_inside(root: &Path, path: &Path) -> bool {
    let climbs = path
        .components()
        .any(|part| matches!(part, Component::ParentDir));
    let mut there = path;
    loop {
        match fs::canonicalize(there) {
            Ok(real) => {
                // What is not there yet must not climb out again.
                return real.starts_with(root) && (there == path || !climbs);
            }
            Err(_) if fs::symlink_metadata(there).is_ok() => return false,
            Err(_) => match there.parent() {
                Some(parent) => there = parent,
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests;
