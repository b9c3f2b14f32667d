//! How a checkout is built and run, from what lies in it.
//!
//! Each framework is a file in `presets/`. Over the preset lies the repository's
//! `deployr.toml`, and over that the project's settings.

mod checkout;
mod config;
mod facts;
mod preset;

use std::path::Path;

use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::model::{HealthCheck, OnTarget, ProjectSettings, Recipe, Runtime};
use deployr_core::value::{BuildCommand, Framework, InputCode, InvalidValue, OutputDir};

use checkout::Checkout;
use config::{ComposeConfig, RepoConfig};
use facts::Facts;
use preset::{Need, Preset, PresetRuntime, Stage};

fn invalid(message: impl Into<String>) -> StepError {
    StepError::verdict(VerdictCode::ConfigInvalid, message)
}

/// What a builder can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Makes {
    /// Folders.
    Files,
    /// Folders, and container images where the repository has a Dockerfile, which then says
    /// more than any preset could.
    Images,
    /// All of these, and the services of a compose file, where the repository has one: that
    /// says most of all.
    Services,
}

/// Decides how the checkout in `dir` is built and run. Reads files of at most 256 KiB,
/// follows no link out of the checkout, and runs nothing.
///
/// # Errors
///
/// Verdict `config_invalid`, which names the field and its rule, or says what was
/// looked for; a fault when the checkout cannot be read.
pub fn detect(dir: &Path, settings: &ProjectSettings, makes: Makes) -> StepResult<Recipe> {
    let checkout = Checkout::open(dir)?;
    let (config, root) = RepoConfig::find(&checkout, settings.root.as_ref())?;
    let folder = checkout.folder(root.as_ref())?;
    let facts = Facts::read(&folder)?;

    let start = settings.start.clone().or(config.start);
    let output = settings.output.clone().or(config.output);
    let presets = preset::all()?;
    let named = settings.framework.as_ref().or(config.framework.as_ref());
    let named_by = match (&settings.framework, &config.framework) {
        (Some(_), _) => Some("the project's settings"),
        (None, Some(_)) => Some("`deployr.toml`"),
        (None, None) => None,
    };
    let described = start.is_some() || output.is_some();
    let choice = Choice {
        named: named.zip(named_by),
        described,
        compose: makes == Makes::Services && !described,
        dockerfile: makes != Makes::Files && output.is_none(),
        makes,
    };
    let preset = choice.of(&presets, &facts)?;

    let commands = commands(
        preset,
        &facts,
        settings.install.clone().or(config.install),
        settings.build.clone().or(config.build),
    )?;
    let runtime = runtime(preset, &facts, start, config.compose)?;
    let on_target = config.on_target.over(preset.on_target.clone());
    if matches!(runtime, Runtime::Compose { .. }) && on_target != OnTarget::default() {
        return Err(invalid(
            "on_target is invalid: a compose file says itself what runs; make it a service that \
             the others depend on",
        ));
    }
    let of_dockerfile = config.images.needs_buildkit() || !config.images.args.is_empty();
    if matches!(runtime, Runtime::Compose { .. }) && of_dockerfile {
        return Err(invalid(
            "images is invalid: a compose file says itself what its builds are given (`args` of \
             its `build`); only images.logins holds there",
        ));
    }
    let health = match (&settings.health, config.health) {
        (Some(health), _) => health.clone(),
        (None, over) => over.over(HealthCheck {
            path: preset.health.clone().unwrap_or_default(),
            ..HealthCheck::default()
        }),
    };
    Ok(Recipe {
        framework: framework(&presets, preset, output.as_ref()),
        root,
        commands,
        output: output.unwrap_or_else(|| preset.output.clone()),
        runtime,
        health,
        shared: settings
            .shared
            .clone()
            .or(config.shared)
            .unwrap_or_else(|| preset.shared.clone()),
        writable: settings
            .writable
            .clone()
            .or(config.writable)
            .unwrap_or_else(|| preset.writable.clone()),
        on_target,
        images: config.images,
    })
}

/// Whether there is a preset of that name which such a builder can build.
///
/// # Errors
///
/// The names that there are.
///
/// ```
/// use deployr_core::value::Framework;
/// use deployr_exec::framework;
///
/// use deployr_exec::framework::Makes;
///
/// assert!(framework::check(&Framework::parse("next")?, Makes::Files).is_ok());
/// assert!(framework::check(&Framework::parse("dockerfile")?, Makes::Images).is_ok());
/// let refused = framework::check(&Framework::parse("nextt")?, Makes::Files).unwrap_err();
/// assert!(refused.to_string().contains("must be one of next-standalone, next-export, next"));
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
pub fn check(name: &Framework, makes: Makes) -> Result<(), InvalidValue> {
    let usable = |preset: &Preset| preset.name == *name && makes.can(preset);
    if preset::all().is_ok_and(|presets| presets.iter().any(usable)) {
        return Ok(());
    }
    let code = InputCode::FrameworkInvalid;
    let rule = match makes {
        Makes::Files => preset::NAMES,
        Makes::Images => preset::IMAGE_NAMES,
        Makes::Services => preset::ALL_NAMES,
    };
    Err(InvalidValue::new("framework", code, rule, name.as_str()))
}

/// Whether a recipe's release is an image that its Dockerfile makes.
#[cfg(feature = "docker")]
pub(crate) fn is_dockerfile(recipe: &Recipe) -> bool {
    recipe.framework.as_str() == preset::DOCKERFILE
}

impl Makes {
    fn can(self, preset: &Preset) -> bool {
        match preset.needs {
            None => true,
            Some(Need::Docker) => self != Self::Files,
            Some(Need::Compose) => self == Self::Services,
        }
    }
}

/// Where a recipe's output may lie when neither the settings nor the framework say so:
/// the folder whose `index.html` the build has written. Empty where the recipe says.
pub(crate) fn output_candidates(recipe: &Recipe) -> StepResult<Vec<OutputDir>> {
    if !matches!(recipe.runtime, Runtime::Static { .. }) || recipe.output.as_str() != "." {
        return Ok(Vec::new());
    }
    let preset = preset::all()?
        .into_iter()
        .find(|preset| preset.name == recipe.framework);
    Ok(preset
        .map(|preset| preset.output_candidates)
        .unwrap_or_default())
}

/// An output that somebody chose is taken at its word: it leaves the preset that
/// would search for one.
fn framework(presets: &[Preset], preset: &Preset, output: Option<&OutputDir>) -> Framework {
    let searches = !preset.output_candidates.is_empty();
    let at_its_word = output.is_some_and(|output| searches && output.as_str() == ".");
    let plain = presets
        .iter()
        .find(|preset| preset.name.as_str() == "static");
    plain.filter(|_| at_its_word).unwrap_or(preset).name.clone()
}

/// What a preset is chosen by.
struct Choice<'a> {
    /// Its name, and where that stands.
    named: Option<(&'a Framework, &'a str)>,
    /// Whether somebody says what to serve.
    described: bool,
    /// Whether a compose file comes before all else that is found.
    compose: bool,
    /// Whether a Dockerfile comes before all but that.
    dockerfile: bool,
    makes: Makes,
}

impl Choice<'_> {
    fn of<'p>(&self, presets: &'p [Preset], facts: &Facts<'_>) -> StepResult<&'p Preset> {
        let named = self.named;
        let by_name = |name: &str| presets.iter().find(|preset| preset.name.as_str() == name);
        let fits = |preset: &&Preset| facts.fit(&preset.detect);
        let found = match named {
            Some((name, _)) => {
                Some(by_name(name.as_str()).ok_or_else(|| unknown_framework(presets, name))?)
            }
            None => by_name(preset::COMPOSE)
                .filter(|preset| self.compose && fits(preset))
                .or_else(|| {
                    by_name(preset::DOCKERFILE)
                        .filter(|_| self.dockerfile)
                        .filter(fits)
                })
                .or_else(|| presets.iter().find(fits)),
        };
        let dockerfile = |preset: &Preset| preset.needs == Some(Need::Docker);
        match found {
            Some(preset) if dockerfile(preset) && named.is_none() && !self.dockerfile => {
                // Whoever says what to serve needs neither a preset nor the Dockerfile.
                match self.described {
                    true => Ok(by_name("custom").unwrap_or(preset)),
                    false => Err(needs_another_builder(preset, None)),
                }
            }
            Some(preset) if self.makes.can(preset) => Ok(preset),
            Some(preset) => Err(needs_another_builder(preset, named.map(|(_, place)| place))),
            None if self.described => by_name("custom").ok_or_else(|| unrecognised(presets, facts)),
            None => Err(unrecognised(presets, facts)),
        }
    }
}

fn needs_another_builder(preset: &Preset, named_by: Option<&str>) -> StepError {
    let (why, instead) = match named_by {
        Some(place) => (format!("is named by {place}"), "take it out there and set"),
        None => (format!("was found by {}", preset.looks_for), "set"),
    };
    invalid(format!(
        "framework `{}` {why}, and needs {}, which this target does not have; \
         choose one that has, or {instead} `start` or `output` (and `install` and `build`) to \
         build it without",
        preset.name,
        preset.needs.map_or("more", Need::told),
    ))
}

fn unknown_framework(presets: &[Preset], name: &Framework) -> StepError {
    let names: Vec<&str> = presets.iter().map(|preset| preset.name.as_str()).collect();
    let hint = config::nearest(name.as_str(), &names)
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    let names = names.join(", ");
    invalid(format!(
        "framework is invalid: there is no preset `{name}` among {names}{hint}"
    ))
}

fn unrecognised(presets: &[Preset], facts: &Facts<'_>) -> StepError {
    let rules: Vec<&str> = presets
        .iter()
        .filter(|preset| !preset.detect.is_empty())
        .map(|preset| preset.looks_for.as_str())
        .collect();
    invalid(format!(
        "no framework was recognised in {}; looked for {}. Set `root` if the app is in another \
         folder, or set `framework`, or `build` and `output` (files) or `start` (a process), in \
         the project's settings or in `deployr.toml`",
        facts.place(),
        rules.join("; "),
    ))
}

fn commands(
    preset: &Preset,
    facts: &Facts<'_>,
    install: Option<BuildCommand>,
    build: Option<BuildCommand>,
) -> StepResult<Vec<BuildCommand>> {
    let mut commands = Vec::new();
    for (stage, over) in [
        (Stage::Install, install),
        (Stage::Build, build),
        (Stage::Finish, None),
    ] {
        match over {
            Some(command) => commands.push(command),
            None => {
                let steps = preset.steps.iter();
                for step in steps.filter(|step| step.stage == stage && facts.wants(step)) {
                    commands.push(command(&facts.fill(&step.run))?);
                }
            }
        }
    }
    Ok(commands)
}

fn runtime(
    preset: &Preset,
    facts: &Facts<'_>,
    start: Option<BuildCommand>,
    compose: ComposeConfig,
) -> StepResult<Runtime> {
    Ok(match (start, &preset.runtime) {
        (Some(start), _) => Runtime::Process { start },
        (None, PresetRuntime::Image) => Runtime::Image,
        (None, PresetRuntime::Compose) => Runtime::Compose {
            file: compose.file,
            service: compose.service,
            port: compose.port.map(u16::from),
        },
        (None, PresetRuntime::Process { start }) => Runtime::Process {
            start: command(&facts.fill(start))?,
        },
        (
            None,
            PresetRuntime::Static {
                single_page_with,
                pages_with,
            },
        ) => Runtime::Static {
            single_page: facts.uses_any(single_page_with) && !facts.uses_any(pages_with),
        },
    })
}

fn command(line: &str) -> StepResult<BuildCommand> {
    BuildCommand::parse(line).map_err(|error| invalid(error.to_string()))
}
