use deployr_core::error::{Fault, StepResult};
use deployr_core::value::{Framework, HealthPath, OutputDir, RelPath};
use serde::Deserialize;

use super::config::OnTargetConfig;

/// The presets, in the order in which detection asks them: the special before the
/// general, and what this host cannot build last.
const PRESETS: [(&str, &str); 10] = [
    (
        "next-standalone",
        include_str!("../../presets/next-standalone.toml"),
    ),
    (
        "next-export",
        include_str!("../../presets/next-export.toml"),
    ),
    ("next", include_str!("../../presets/next.toml")),
    ("laravel", include_str!("../../presets/laravel.toml")),
    ("node", include_str!("../../presets/node.toml")),
    (
        "node-static",
        include_str!("../../presets/node-static.toml"),
    ),
    ("static", include_str!("../../presets/static.toml")),
    ("dockerfile", include_str!("../../presets/dockerfile.toml")),
    ("compose", include_str!("../../presets/compose.toml")),
    ("custom", include_str!("../../presets/custom.toml")),
];

/// The preset of repositories that say themselves what their image is.
pub(super) const DOCKERFILE: &str = "dockerfile";
/// That of repositories that say which services they are.
pub(super) const COMPOSE: &str = "compose";

/// The rule for the name of a preset that can be built here; a test compares.
pub(super) const NAMES: &str = "must be one of next-standalone, next-export, next, laravel, node, \
                                node-static, static, custom";

/// The same for a builder that makes images too.
pub(super) const IMAGE_NAMES: &str = "must be one of next-standalone, next-export, next, laravel, \
                                      node, node-static, static, dockerfile, custom";

/// The same for a target that runs compose files too.
pub(super) const ALL_NAMES: &str = "must be one of next-standalone, next-export, next, laravel, \
                                    node, node-static, static, dockerfile, compose, custom";

/// A framework, as data.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Preset {
    pub(super) name: Framework,
    /// What detection looks for, in words that follow "looked for".
    pub(super) looks_for: String,
    /// What a builder must have for it.
    pub(super) needs: Option<Need>,
    #[serde(default)]
    pub(super) detect: Detect,
    #[serde(default)]
    pub(super) steps: Vec<Step>,
    pub(super) output: OutputDir,
    #[serde(default)]
    pub(super) output_candidates: Vec<OutputDir>,
    pub(super) runtime: PresetRuntime,
    pub(super) health: Option<HealthPath>,
    #[serde(default)]
    pub(super) shared: Vec<RelPath>,
    #[serde(default)]
    pub(super) writable: Vec<RelPath>,
    #[serde(default)]
    pub(super) on_target: OnTargetConfig,
}

/// What not every target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Need {
    Docker,
    Compose,
}

impl Need {
    /// In words that follow "needs".
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Docker => "a Docker builder",
            Self::Compose => "the compose tool",
        }
    }
}

/// When a preset fits; all that is given must hold.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Detect {
    /// All of these are there.
    pub(super) files: Vec<String>,
    /// One of these is there.
    pub(super) one_of: Vec<String>,
    /// `package.json` has one of these among its dependencies.
    pub(super) dependencies: Vec<String>,
    /// `package.json` has all of these scripts.
    pub(super) scripts: Vec<String>,
    /// The `start` script does not begin with any of these.
    pub(super) start_is_not: Vec<String>,
    /// A configuration file has this text.
    pub(super) config: Option<ConfigText>,
}

impl Detect {
    /// Whether there is no rule, so that it is only ever chosen by name.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigText {
    /// The first of these that is there is read.
    pub(super) files: Vec<String>,
    /// Compared without spaces, and with one kind of quotes.
    pub(super) sets: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) stage: Stage,
    /// With `{install}`, `{run}` and `{manager}` of the package manager in use.
    pub(super) run: String,
    pub(super) if_script: Option<String>,
    pub(super) unless_script: Option<String>,
}

/// `install` and `build` of the settings replace the steps of that stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    Install,
    Build,
    /// What the release needs, however it was built.
    Finish,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum PresetRuntime {
    Static {
        #[serde(default)]
        single_page_with: Vec<String>,
        #[serde(default)]
        pages_with: Vec<String>,
    },
    Process {
        start: String,
    },
    Image,
    Compose,
}

pub(super) fn all() -> StepResult<Vec<Preset>> {
    let parse = |(name, text): &(&str, &str)| {
        // Only a broken build of this crate has a preset that does not parse.
        let broken =
            |error: toml::de::Error| Fault::permanent("reading", format!("preset {name}"), error);
        Ok(toml::from_str(text).map_err(broken)?)
    };
    PRESETS.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_parses_and_is_called_like_its_file() {
        let presets = all().unwrap();
        let names: Vec<&str> = presets.iter().map(|preset| preset.name.as_str()).collect();
        assert_eq!(names, PRESETS.map(|(name, _)| name));
        let usable = presets.iter().filter(|preset| preset.needs.is_none());
        let usable: Vec<&str> = usable.map(|preset| preset.name.as_str()).collect();
        assert_eq!(NAMES, format!("must be one of {}", usable.join(", ")));
        let images = presets
            .iter()
            .filter(|one| one.needs != Some(Need::Compose));
        let images: Vec<&str> = images.map(|preset| preset.name.as_str()).collect();
        assert_eq!(IMAGE_NAMES, format!("must be one of {}", images.join(", ")));
        assert_eq!(ALL_NAMES, format!("must be one of {}", names.join(", ")));
        let undetected: Vec<&str> = presets
            .iter()
            .filter(|preset| preset.detect.is_empty())
            .map(|preset| preset.name.as_str())
            .collect();
        assert_eq!(
            undetected,
            ["custom"],
            "a preset without rules would fit everything"
        );
    }
}
