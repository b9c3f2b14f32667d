use std::collections::BTreeMap;

use deployr_core::error::StepResult;
use serde::Deserialize;
use serde_json::Value;

use super::checkout::Folder;
use super::invalid;
use super::preset::{Detect, Step};

/// What detection has found in a checkout, for presets to be compared with.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    folder: &'a Folder<'a>,
    package: Option<Package>,
    manager: &'static Manager,
    config: BTreeMap<String, String>,
}

/// `package.json`, as far as it matters here. Its values are anything, because npm
/// too ignores what it does not use.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Package {
    scripts: BTreeMap<String, Value>,
    dependencies: BTreeMap<String, Value>,
    dev_dependencies: BTreeMap<String, Value>,
    package_manager: Option<String>,
}

/// How packages are installed; the lock file tells which.
#[derive(Debug)]
struct Manager {
    name: &'static str,
    lock: &'static str,
    /// With the lock file, which is then what is installed.
    locked: &'static str,
    loose: &'static str,
}

const NPM: Manager = Manager {
    name: "npm",
    lock: "package-lock.json",
    locked: "npm ci",
    loose: "npm install",
};

const MANAGERS: [Manager; 4] = [
    Manager {
        name: "pnpm",
        lock: "pnpm-lock.yaml",
        locked: "pnpm install --frozen-lockfile",
        loose: "pnpm install",
    },
    Manager {
        name: "yarn",
        lock: "yarn.lock",
        locked: "yarn install --frozen-lockfile",
        loose: "yarn install",
    },
    NPM,
    Manager {
        name: "npm",
        lock: "npm-shrinkwrap.json",
        ..NPM
    },
];

const CONFIG_FILES: [&str; 4] = [
    "next.config.js",
    "next.config.mjs",
    "next.config.cjs",
    "next.config.ts",
];

impl<'a> Facts<'a> {
    pub(super) fn read(folder: &'a Folder<'a>) -> StepResult<Self> {
        let package = folder
            .read("package.json")?
            .map(|text| parse_package(folder, &text));
        let package = package.transpose()?;
        let manager = manager(folder, package.as_ref());
        let mut config = BTreeMap::new();
        for file in CONFIG_FILES {
            if let Some(text) = folder.read(file)? {
                config.insert(file.to_owned(), squeezed(&text));
            }
        }
        Ok(Self {
            folder,
            package,
            manager,
            config,
        })
    }

    pub(super) fn place(&self) -> String {
        self.folder.place()
    }

    /// Whether all rules hold.
    pub(super) fn fit(&self, rules: &Detect) -> bool {
        let start = self.script("start").unwrap_or_default();
        let is_start = |line: &String| start.strip_prefix(line.as_str()).is_some_and(ends_word);
        !rules.is_empty()
            && rules.files.iter().all(|file| self.folder.has(file))
            && (rules.one_of.is_empty() || rules.one_of.iter().any(|file| self.folder.has(file)))
            && (rules.dependencies.is_empty() || self.uses_any(&rules.dependencies))
            && rules
                .scripts
                .iter()
                .all(|script| self.script(script).is_some())
            && !rules.start_is_not.iter().any(is_start)
            && rules.config.as_ref().is_none_or(|rule| {
                let read = rule.files.iter().find_map(|file| self.config.get(file));
                read.is_some_and(|text| text.contains(&rule.sets))
            })
    }

    /// Whether the app depends on one of these.
    pub(super) fn uses_any(&self, names: &[String]) -> bool {
        self.package.as_ref().is_some_and(|package| {
            names.iter().any(|name| {
                package.dependencies.contains_key(name)
                    || package.dev_dependencies.contains_key(name)
            })
        })
    }

    /// Whether a step of a preset has something to do here.
    pub(super) fn wants(&self, step: &Step) -> bool {
        step.if_script
            .as_ref()
            .is_none_or(|script| self.script(script).is_some())
            && step
                .unless_script
                .as_ref()
                .is_none_or(|script| self.script(script).is_none())
    }

    /// A line of a preset, for the package manager in use.
    pub(super) fn fill(&self, line: &str) -> String {
        let Manager {
            name,
            lock,
            locked,
            loose,
        } = self.manager;
        let install = match () {
            () if !self.folder.has_above(lock) => loose,
            // The yarn that has such a file calls it by another name.
            () if *name == "yarn" && self.folder.has_above(".yarnrc.yml") => {
                "yarn install --immutable"
            }
            () => locked,
        };
        line.replace("{install}", install)
            .replace("{run}", &format!("{name} run"))
            .replace("{manager}", name)
    }

    fn script(&self, name: &str) -> Option<&str> {
        let line = self.package.as_ref()?.scripts.get(name)?.as_str()?.trim();
        (!line.is_empty()).then_some(line)
    }
}

fn parse_package(folder: &Folder<'_>, text: &str) -> StepResult<Package> {
    serde_json::from_str(text).map_err(|error| {
        invalid(format!(
            "`package.json` in {} cannot be read: {error}",
            folder.place()
        ))
    })
}

fn manager(folder: &Folder<'_>, package: Option<&Package>) -> &'static Manager {
    let wanted = package
        .and_then(|package| package.package_manager.as_deref())
        .unwrap_or_default();
    let wanted = wanted.split('@').next().unwrap_or_default();
    let by_lock = || {
        MANAGERS
            .iter()
            .find(|manager| folder.has_above(manager.lock))
    };
    let by_name = || MANAGERS.iter().find(|manager| manager.name == wanted);
    by_lock().or_else(by_name).unwrap_or(&NPM)
}

/// `vite` begins `vite --port 80`, and does not begin `vite-node server.js`.
fn ends_word(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(char::is_whitespace)
}

/// A script without what people lay out differently.
fn squeezed(text: &str) -> String {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .map(|c| if matches!(c, '"' | '`') { '\'' } else { c })
        .collect()
}
