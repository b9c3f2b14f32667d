//! A project's settings: what `deploy` and `plan` are told of them, and how they are shown.

use clap::ValueEnum;
use deployr_core::model::ProjectSettings;
use deployr_core::value::{BuildCommand, Framework, HealthPath, OutputDir, RelPath, TargetName};

/// How a project is built. Whatever is left out stays as it is; what was never set is
/// decided by `deployr.toml` or by the framework.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings of the project, which `deploy` keeps")]
pub(crate) struct Build {
    /// Where to deploy to: `local`, `docker`, `compose`, `swarm`, or `ssh:<name>` [default: local]
    #[arg(long)]
    target: Option<TargetName>,
    /// The folder of the repository that holds the app
    #[arg(long, value_name = "DIR")]
    root: Option<RelPath>,
    /// The framework, instead of the one that is found
    #[arg(long, value_name = "NAME")]
    framework: Option<Framework>,
    /// The command that installs what the build needs
    #[arg(long, value_name = "COMMAND")]
    install: Option<BuildCommand>,
    /// The command that builds
    #[arg(long, value_name = "COMMAND")]
    build: Option<BuildCommand>,
    /// The folder that the build makes
    #[arg(long, value_name = "DIR")]
    output: Option<OutputDir>,
    /// The command that serves the app on $PORT; left out for files
    #[arg(long, value_name = "COMMAND")]
    start: Option<BuildCommand>,
    /// The path that answers when the app is up
    #[arg(long, value_name = "PATH")]
    health_path: Option<HealthPath>,
    /// Take settings back, with commas between; what is given beside this is set after it
    #[arg(long, value_name = "SETTING", value_delimiter = ',')]
    unset: Vec<Setting>,
}

/// A setting that need not be set, by the name of its flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setting {
    Root,
    Framework,
    Install,
    Build,
    Output,
    Start,
    HealthPath,
}

impl Setting {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it is, where it is set.
    fn of(self, settings: &ProjectSettings) -> Option<String> {
        match self {
            Self::Root => settings.root.as_ref().map(ToString::to_string),
            Self::Framework => settings.framework.as_ref().map(ToString::to_string),
            Self::Install => settings.install.as_ref().map(ToString::to_string),
            Self::Build => settings.build.as_ref().map(ToString::to_string),
            Self::Output => settings.output.as_ref().map(ToString::to_string),
            Self::Start => settings.start.as_ref().map(ToString::to_string),
            Self::HealthPath => settings.health.as_ref().map(|check| check.path.to_string()),
        }
    }

    fn unset(self, settings: &mut ProjectSettings) {
        match self {
            Self::Root => settings.root = None,
            Self::Framework => settings.framework = None,
            Self::Install => settings.install = None,
            Self::Build => settings.build = None,
            Self::Output => settings.output = None,
            Self::Start => settings.start = None,
            Self::HealthPath => settings.health = None,
        }
    }
}

impl Build {
    /// Lays what is given over a project's settings.
    pub(crate) fn apply(&self, settings: &mut ProjectSettings) {
        self.unset
            .iter()
            .for_each(|setting| setting.unset(settings));
        put(&self.root, &mut settings.root);
        put(&self.framework, &mut settings.framework);
        put(&self.install, &mut settings.install);
        put(&self.build, &mut settings.build);
        put(&self.output, &mut settings.output);
        put(&self.start, &mut settings.start);
        if let Some(target) = &self.target {
            settings.target = target.clone();
        }
        if let Some(path) = &self.health_path {
            settings.health.get_or_insert_default().path = path.clone();
        }
    }
}

fn put<T: Clone>(given: &Option<T>, setting: &mut Option<T>) {
    if given.is_some() {
        setting.clone_from(given);
    }
}

/// The settings that are set, by the names of their flags.
pub(crate) fn shown(settings: &ProjectSettings) -> Vec<(String, String)> {
    let all = Setting::value_variants().iter();
    all.filter_map(|setting| Some((setting.name(), setting.of(settings)?)))
        .collect()
}

/// What changes from one to the other, in words.
pub(crate) fn changes(from: &ProjectSettings, to: &ProjectSettings) -> Vec<String> {
    let changed = |setting: &&Setting| setting.of(from) != setting.of(to);
    let all = Setting::value_variants().iter().filter(changed);
    let words = |setting: &Setting| match setting.of(to) {
        Some(value) => format!("{} is {value} from now on", setting.name()),
        None => format!("{} is no longer set", setting.name()),
    };
    let branch = (from.branch != to.branch).then(|| format!("branch is {} from now on", to.branch));
    branch.into_iter().chain(all.map(words)).collect()
}
