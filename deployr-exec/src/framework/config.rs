use std::collections::BTreeMap;
use std::num::NonZeroU16;

use deployr_core::error::{StepError, StepResult};
use deployr_core::model::{HealthCheck, Images, OnTarget};
use deployr_core::value::{
    BuildCommand, DrainTime, Framework, HealthDeadline, HealthInterval, HealthPath, HealthStatus,
    HealthTimeout, OutputDir, RelPath, WorkerName,
};
use serde::Deserialize;

use super::checkout::{Checkout, Folder};
use super::invalid;

const FILE: &str = "deployr.toml";

/// The repository's own word: the fields of the project's settings that are about
/// what is in it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RepoConfig {
    pub(super) framework: Option<Framework>,
    root: Option<RelPath>,
    pub(super) install: Option<BuildCommand>,
    pub(super) build: Option<BuildCommand>,
    pub(super) output: Option<OutputDir>,
    pub(super) start: Option<BuildCommand>,
    pub(super) health: HealthConfig,
    pub(super) compose: ComposeConfig,
    pub(super) shared: Option<Vec<RelPath>>,
    pub(super) writable: Option<Vec<RelPath>>,
    pub(super) on_target: OnTargetConfig,
    pub(super) images: Images,
}

/// The fields of [`OnTarget`], each by itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OnTargetConfig {
    prepare: Option<BuildCommand>,
    migrate: Option<BuildCommand>,
    after_switch: Option<BuildCommand>,
    workers: Option<BTreeMap<WorkerName, BuildCommand>>,
    web_root: Option<RelPath>,
}

impl OnTargetConfig {
    /// What is given here, and the rest from `base`.
    pub(super) fn over(self, base: Self) -> OnTarget {
        OnTarget {
            prepare: self.prepare.or(base.prepare),
            migrate: self.migrate.or(base.migrate),
            after_switch: self.after_switch.or(base.after_switch),
            workers: self.workers.or(base.workers).unwrap_or_default(),
            web_root: self.web_root.or(base.web_root),
        }
    }
}

/// Which of the services of a compose file is to be reached.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ComposeConfig {
    pub(super) file: Option<RelPath>,
    pub(super) service: Option<String>,
    pub(super) port: Option<NonZeroU16>,
}

/// The fields of [`HealthCheck`], each by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HealthConfig {
    path: Option<HealthPath>,
    status: Option<HealthStatus>,
    command: Option<BuildCommand>,
    interval_ms: Option<HealthInterval>,
    timeout_ms: Option<HealthTimeout>,
    deadline_ms: Option<HealthDeadline>,
    drain_ms: Option<DrainTime>,
}

impl HealthConfig {
    /// What is given here, and the rest from `base`.
    pub(super) fn over(self, base: HealthCheck) -> HealthCheck {
        HealthCheck {
            path: self.path.unwrap_or(base.path),
            status: self.status.or(base.status),
            command: self.command.or(base.command),
            interval_ms: self.interval_ms.unwrap_or(base.interval_ms),
            timeout_ms: self.timeout_ms.unwrap_or(base.timeout_ms),
            deadline_ms: self.deadline_ms.unwrap_or(base.deadline_ms),
            drain_ms: self.drain_ms.unwrap_or(base.drain_ms),
        }
    }
}

impl RepoConfig {
    /// The file nearest to the app, and the app's folder. The file at the top may say
    /// where the app is, unless the settings do; a file beside the app replaces it.
    pub(super) fn find(
        checkout: &Checkout,
        root: Option<&RelPath>,
    ) -> StepResult<(Self, Option<RelPath>)> {
        let top = Self::read(&checkout.folder(None)?)?.unwrap_or_default();
        let root = root
            .or(top.root.as_ref())
            .filter(|root| root.as_str() != ".")
            .cloned();
        let Some(root) = root else {
            return Ok((top, None));
        };
        let config = match Self::read(&checkout.folder(Some(&root))?)? {
            Some(Self { root: Some(_), .. }) => {
                let where_ = format!("`{root}/{FILE}`");
                return Err(invalid(format!(
                    "root is invalid: {where_} lies in the app's folder already; set `root` in \
                     the {FILE} at the top of the repository, or in the project's settings"
                )));
            }
            Some(config) => config,
            None => top,
        };
        Ok((config, Some(root)))
    }

    fn read(folder: &Folder<'_>) -> StepResult<Option<Self>> {
        let Some(text) = folder.read(FILE)? else {
            return Ok(None);
        };
        toml::from_str(&text)
            .map(Some)
            .map_err(|error| explained(folder, &text, &error))
    }
}

/// Where the error is, what is wrong there, and what was probably meant.
fn explained(folder: &Folder<'_>, text: &str, error: &toml::de::Error) -> StepError {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..at).unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default();
    // The key alone: a value may be what nobody should read.
    let key = match line.split_once('=') {
        Some((key, _)) => format!(" (`{}`)", key.trim().escape_debug()),
        None => String::new(),
    };
    let message = error.message().trim();
    let hint = unknown_field(message)
        .and_then(|(field, known)| nearest(field, &known))
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    let place = folder.place();
    invalid(format!(
        "{FILE} in {place}, line {number}{key}: {message}{hint}"
    ))
}

/// The field and the known ones, from ``unknown field `a`, expected one of `b`, `c` ``.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field ")?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    Some((quoted.next()?, quoted.collect()))
}

/// The known name that a person most likely meant.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name: String = name.chars().take(64).collect();
    let (distance, near) = known
        .iter()
        .map(|known| (distance(&name, known), *known))
        .min()?;
    (distance <= 1 + near.len() / 4).then_some(near)
}

/// How many letters must be added, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::fmt::Display;

    use super::*;

    const PAGE: &str = include_str!("../../../docs/deployr-toml.md");

    /// The rows of the page's table, by key.
    fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
        let cells = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
        let row = |line: &'static str| {
            Some((
                cells(line).get(1)?.strip_prefix('`')?.strip_suffix('`')?,
                cells(line),
            ))
        };
        PAGE.lines().filter_map(row).collect()
    }

    /// The keys that the parser knows below this table.
    fn known(table: &str) -> Vec<String> {
        let error = toml::from_str::<RepoConfig>(&format!("{table}\nno_such_key = 1")).unwrap_err();
        let (_, known) = unknown_field(error.message()).unwrap();
        known.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn the_page_has_every_key_that_the_parser_knows_and_no_other() {
        let mut known_keys: Vec<String> = known("")
            .into_iter()
            .filter(|key| !["health", "compose", "images", "on_target"].contains(&key.as_str()))
            .collect();
        for table in ["compose", "health", "images", "on_target"] {
            let keys = known(&format!("[{table}]"));
            known_keys.extend(keys.iter().map(|key| format!("{table}.{key}")));
        }
        let mut on_page: Vec<&str> = rows().into_iter().map(|(key, _)| key).collect();
        known_keys.sort();
        on_page.sort_unstable();
        assert_eq!(on_page, known_keys);
    }

    #[test]
    fn the_page_tells_the_ranges_and_defaults_that_hold() {
        #[track_caller]
        fn check(key: &str, min: impl Display, max: impl Display, default: impl Display) {
            let rows = rows();
            let (_, cells) = rows.iter().find(|(name, _)| *name == key).unwrap();
            assert_eq!(cells[3], format!("{min} to {max}"), "{key}");
            assert_eq!(cells[4], default.to_string(), "{key}");
        }
        let health = HealthCheck::default();
        check(
            "health.status",
            HealthStatus::MIN,
            HealthStatus::MAX,
            "any 2xx or 3xx",
        );
        check(
            "health.interval_ms",
            HealthInterval::MIN,
            HealthInterval::MAX,
            health.interval_ms,
        );
        check(
            "health.timeout_ms",
            HealthTimeout::MIN,
            HealthTimeout::MAX,
            health.timeout_ms,
        );
        check(
            "health.deadline_ms",
            HealthDeadline::MIN,
            HealthDeadline::MAX,
            health.deadline_ms,
        );
        check(
            "health.drain_ms",
            DrainTime::MIN,
            DrainTime::MAX,
            health.drain_ms,
        );
    }

    #[test]
    fn the_page_names_the_presets_and_its_example_parses() {
        let presets = crate::framework::preset::all().unwrap();
        let names: Vec<String> = presets
            .iter()
            .filter(|preset| preset.needs.is_none())
            .map(|preset| format!("`{}`", preset.name))
            .collect();
        let rows = rows();
        let (_, cells) = rows.iter().find(|(key, _)| *key == "framework").unwrap();
        let mut told: Vec<&str> = cells[3].split(", ").collect();
        told.sort_unstable();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(told, names);
        let example = PAGE
            .split("```toml")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        let example: RepoConfig = toml::from_str(example).unwrap();
        assert_eq!(example.shared.unwrap().len(), 2);
    }
}
