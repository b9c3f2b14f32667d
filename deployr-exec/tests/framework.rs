//! What detection makes of a checkout.
#![cfg(feature = "local-builder")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::model::{ProjectSettings, Recipe, Runtime};
use deployr_core::value::{
    BranchName, BuildCommand, Framework, GitUrl, HealthStatus, OutputDir, RelPath, TargetName,
};
use deployr_exec::framework::{self, Makes};
use tempfile::TempDir;

fn settings() -> ProjectSettings {
    let source = GitUrl::parse("https://github.com/a/b.git").unwrap();
    let branch = BranchName::parse("main").unwrap();
    ProjectSettings::new(source, branch, TargetName::parse("local").unwrap())
}

fn put(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn checkout(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        put(dir.path(), name, text);
    }
    dir
}

/// As the builder of this host does, which makes no images.
fn detect(dir: &Path, settings: &ProjectSettings) -> StepResult<Recipe> {
    framework::detect(dir, settings, Makes::Files)
}

fn found(files: &[(&str, &str)]) -> Recipe {
    detect(checkout(files).path(), &settings()).unwrap()
}

#[track_caller]
fn refused(dir: &Path, settings: &ProjectSettings) -> String {
    match detect(dir, settings) {
        Err(StepError::Verdict(verdict)) => {
            assert_eq!(verdict.code, VerdictCode::ConfigInvalid, "{verdict}");
            verdict.message
        }
        other => panic!("{other:?}"),
    }
}

fn lines(recipe: &Recipe) -> Vec<&str> {
    recipe.commands.iter().map(BuildCommand::as_str).collect()
}

fn start(recipe: &Recipe) -> Option<&str> {
    match &recipe.runtime {
        Runtime::Process { start } => Some(start.as_str()),
        _ => None,
    }
}

const VITE: &str = r#"{"scripts":{"dev":"vite","start":"vite","build":"vite build"},"devDependencies":{"vite":"7"}}"#;
const SERVER: &str = r#"{"scripts":{"start":"node server.js"}}"#;
const NEXT: &str =
    r#"{"scripts":{"build":"next build","start":"next start"},"dependencies":{"next":"15"}}"#;
const NEXT_START: &str = "exec node_modules/.bin/next start -H \"${HOST:-127.0.0.1}\" -p \"$PORT\"";

type Case<'a> = (
    &'a [(&'a str, &'a str)],
    &'a str,
    &'a [&'a str],
    &'a str,
    Option<&'a str>,
);

#[test]
fn each_framework_is_found_with_its_commands() {
    #[rustfmt::skip]
    let cases: &[Case<'_>] = &[
        (&[("index.html", "")], "static", &[], ".", None),
        (&[("package.json", VITE)], "node-static", &["npm install", "npm run build"], ".", None),
        (&[("package.json", VITE), ("package-lock.json", "{}")], "node-static", &["npm ci", "npm run build"], ".", None),
        (&[("package.json", VITE), ("pnpm-lock.yaml", "")], "node-static", &["pnpm install --frozen-lockfile", "pnpm run build"], ".", None),
        (&[("package.json", VITE), ("yarn.lock", "")], "node-static", &["yarn install --frozen-lockfile", "yarn run build"], ".", None),
        (&[("package.json", VITE), ("yarn.lock", ""), (".yarnrc.yml", "")], "node-static", &["yarn install --immutable", "yarn run build"], ".", None),
        (&[("package.json", r#"{"packageManager":"pnpm@9.1.0","scripts":{"build":"x"}}"#)], "node-static", &["pnpm install", "pnpm run build"], ".", None),
        // `index.html` beside it is the template of a build.
        (&[("package.json", VITE), ("index.html", "")], "node-static", &["npm install", "npm run build"], ".", None),
        (&[("package.json", SERVER), ("package-lock.json", "{}")], "node", &["npm ci"], ".", Some("npm start")),
        (&[("package.json", r#"{"scripts":{"start":"node .","build":"tsc"}}"#), ("yarn.lock", "")], "node", &["yarn install --frozen-lockfile", "yarn run build"], ".", Some("yarn start")),
        (&[("package.json", r#"{"scripts":{"start":"vite-node server.ts"}}"#)], "node", &["npm install"], ".", Some("npm start")),
        (&[("package.json", r#"{"scripts":{"start":"react-scripts start","build":"react-scripts build"}}"#)], "node-static", &["npm install", "npm run build"], ".", None),
        (&[("package.json", NEXT), ("package-lock.json", "{}")], "next", &["npm ci", "npm run build"], ".", Some(NEXT_START)),
        (&[("package.json", NEXT), ("next.config.js", "// output: 'standalone'\nmodule.exports = {}")], "next", &["npm install", "npm run build"], ".", Some(NEXT_START)),
        (&[("package.json", NEXT), ("next.config.mjs", "export default { output : \"export\" }")], "next-export", &["npm install", "npm run build"], "out", None),
        (&[("package.json", r#"{"dependencies":{"next":"15"}}"#)], "next", &["npm install", "node_modules/.bin/next build"], ".", Some(NEXT_START)),
        // A Dockerfile beside something that can be built without it is let be.
        (&[("package.json", SERVER), ("Dockerfile", "FROM x")], "node", &["npm install"], ".", Some("npm start")),
    ];
    for (files, framework, commands, output, process) in cases {
        let recipe = found(files);
        assert_eq!(recipe.framework.as_str(), *framework, "{files:?}");
        assert_eq!(lines(&recipe), *commands, "{files:?}");
        assert_eq!(recipe.output.as_str(), *output, "{files:?}");
        assert_eq!(start(&recipe), *process, "{files:?}");
    }
}

#[test]
fn next_standalone_brings_its_files_along() {
    let config = "export default {\n  output: `standalone`,\n}";
    let recipe = found(&[("package.json", NEXT), ("next.config.ts", config)]);
    assert_eq!(recipe.framework.as_str(), "next-standalone");
    assert_eq!(recipe.output.as_str(), ".next/standalone");
    assert_eq!(
        start(&recipe),
        Some(r#"HOSTNAME="${HOST:-127.0.0.1}" exec node server.js"#)
    );
    assert_eq!(recipe.commands.len(), 3);
    assert!(recipe.commands[2].as_str().contains("cp -R .next/static"));
}

#[test]
fn laravel_shares_its_storage() {
    let recipe = found(&[("artisan", ""), ("composer.json", "{}")]);
    assert_eq!(recipe.framework.as_str(), "laravel");
    assert_eq!(
        recipe.commands.len(),
        2,
        "no package.json, no npm: {:?}",
        recipe.commands
    );
    assert!(start(&recipe).unwrap().contains("$PORT"));
    let shared: Vec<&str> = recipe
        .shared
        .iter()
        .map(|path| path.as_str().trim_end_matches('/'))
        .collect();
    assert_eq!(shared, ["storage", ".env"]);

    let with_npm = found(&[
        ("artisan", ""),
        ("composer.json", "{}"),
        ("package.json", r#"{"scripts":{"build":"vite build"}}"#),
    ]);
    assert_eq!(lines(&with_npm)[1..3], ["npm install", "npm run build"]);
}

#[test]
fn a_repository_names_its_workers() {
    let toml = "[on_target.workers]\nqueue = 'php artisan queue:work'\nmail = 'node mail.js'";
    let recipe = found(&[
        ("artisan", ""),
        ("composer.json", "{}"),
        ("deployr.toml", toml),
    ]);
    let on_target = &recipe.on_target;
    let workers = on_target.workers.iter();
    let workers = workers.map(|(name, line)| (name.as_str(), line.as_str()));
    assert_eq!(
        workers.collect::<Vec<_>>(),
        [
            ("mail", "node mail.js"),
            ("queue", "php artisan queue:work")
        ]
    );
    // The preset's other lines stay, and a store gives back what was put there.
    assert!(on_target.migrate.is_some());
    let json = serde_json::to_string(&recipe).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
}

#[test]
fn only_apps_that_route_in_the_browser_get_the_index_for_every_path() {
    for (package, expected) in [
        (VITE, true),
        (
            r#"{"scripts":{"build":"astro build"},"dependencies":{"astro":"5","vite":"7"}}"#,
            false,
        ),
        (r#"{"scripts":{"build":"node build.js"}}"#, false),
    ] {
        let recipe = found(&[("package.json", package)]);
        assert_eq!(
            recipe.runtime,
            Runtime::Static {
                single_page: expected
            },
            "{package}"
        );
    }
}

#[test]
fn settings_win_over_the_repository_and_that_over_the_preset() {
    let config = "install = 'make deps'\nbuild = 'make'\noutput = 'site'\nshared = ['data/']\n\
        writable = ['tmp']\n[health]\npath = '/up'\nstatus = 204\ninterval_ms = 50\n";
    let dir = checkout(&[("package.json", VITE), ("deployr.toml", config)]);
    let recipe = detect(dir.path(), &settings()).unwrap();
    assert_eq!(lines(&recipe), ["make deps", "make"]);
    assert_eq!(recipe.output.as_str(), "site");
    assert_eq!(recipe.health.path.as_str(), "/up");
    assert_eq!(recipe.health.status.map(HealthStatus::get), Some(204));
    assert_eq!(recipe.health.interval_ms.get(), 50);
    let timeout = recipe.health.timeout_ms;
    assert_eq!(timeout.get(), 5_000, "what it does not say stays");
    assert_eq!(recipe.writable, [RelPath::parse("tmp").unwrap()]);

    let mut over = settings();
    over.build = Some(BuildCommand::parse("just build").unwrap());
    over.start = Some(BuildCommand::parse("./serve").unwrap());
    over.output = Some(OutputDir::parse("bin").unwrap());
    over.shared = Some(Vec::new());
    over.writable = Some(vec![RelPath::parse("cache").unwrap()]);
    let recipe = detect(dir.path(), &over).unwrap();
    assert_eq!(lines(&recipe), ["make deps", "just build"]);
    assert_eq!(
        (recipe.output.as_str(), start(&recipe)),
        ("bin", Some("./serve"))
    );
    assert!(recipe.shared.is_empty());
    assert_eq!(recipe.writable, [RelPath::parse("cache").unwrap()]);
}

#[test]
fn settings_alone_are_enough() {
    let dir = checkout(&[("main.go", ""), ("Dockerfile", "FROM x")]);
    let mut own = settings();
    own.build = Some(BuildCommand::parse("go build -o app .").unwrap());
    own.start = Some(BuildCommand::parse("./app").unwrap());
    let recipe = detect(dir.path(), &own).unwrap();
    assert_eq!(
        (recipe.framework.as_str(), start(&recipe)),
        ("custom", Some("./app"))
    );
    assert_eq!(recipe.output.as_str(), ".");
}

#[test]
fn the_app_may_be_in_a_folder() {
    let files = [("apps/web/package.json", VITE), ("package-lock.json", "{}")];
    let dir = checkout(&files);
    let mut own = settings();
    own.root = Some(RelPath::parse("apps/web").unwrap());
    let recipe = detect(dir.path(), &own).unwrap();
    assert_eq!(
        lines(&recipe)[0],
        "npm ci",
        "the lock file of a workspace is at its top"
    );
    assert_eq!(recipe.root, own.root);

    put(
        dir.path(),
        "deployr.toml",
        "root = 'apps/web'\nbuild = 'top'",
    );
    assert_eq!(lines(&detect(dir.path(), &settings()).unwrap())[1], "top");
    put(dir.path(), "apps/web/deployr.toml", "build = 'near'");
    assert_eq!(lines(&detect(dir.path(), &settings()).unwrap())[1], "near");
    put(dir.path(), "apps/web/deployr.toml", "root = '.'");
    assert!(refused(dir.path(), &settings()).contains("apps/web/deployr.toml"));

    own.root = Some(RelPath::parse("apps/api").unwrap());
    assert!(refused(dir.path(), &own).contains("`apps/api` is not in the repository"));
}

#[test]
fn a_wrong_configuration_is_refused_by_field_and_line() {
    #[rustfmt::skip]
    let cases = [
        ("build = 'x'\noutptu = 'dist'", &["line 2", "outptu", "did you mean `output`?"][..]),
        ("[health]\npth = '/'", &["line 2", "pth", "did you mean `path`?"]),
        ("output = '../x'", &["line 1", "`output`", "must not contain '..'"]),
        ("\n\nshared = [\n'a',\n'/etc']", &["line", "must be a relative path"]),
        ("build = 3", &["line 1", "`build`", "expected a string"]),
        ("build = ", &["line 1"]),
        ("framework = 'nxt'", &["framework", "`nxt`", "did you mean `next`?"]),
        ("framework = 'dockerfile'", &["is named by `deployr.toml`, and needs a Docker builder"]),
        ("framework = 'Next.js 15'", &["line 1", "framework is invalid", "a-z"]),
        ("[health]\ndeadline_ms = 3600001", &["line 2", "health.deadline_ms is invalid", "from 1 to 3600000"]),
        ("[health]\ndrain_ms = 86400000", &["line 2", "health.drain_ms is invalid", "from 0 to 3600000"]),
        ("[health]\ninterval_ms = 9", &["line 2", "health.interval_ms is invalid", "from 10 to"]),
        ("[health]\ntimeout_ms = 0", &["line 2", "health.timeout_ms is invalid", "from 1 to"]),
        ("[health]\nstatus = 99999", &["line 2", "health.status is invalid", "from 100 to 599"]),
        ("[on_target.workers]\n'a/b' = 'x'", &["line 2", "worker is invalid", "a-z, 0-9"]),
        ("[health]\nstatus = -200", &["line 2", "health.status is invalid", "-200"]),
    ];
    for (text, expected) in cases {
        let dir = checkout(&[("index.html", ""), ("deployr.toml", text)]);
        let message = refused(dir.path(), &settings());
        for part in expected {
            assert!(message.contains(part), "{text:?}: {message}");
        }
    }
}

#[test]
fn what_cannot_be_recognised_is_explained() {
    let message = refused(checkout(&[("README.md", "")]).path(), &settings());
    for part in [
        "index.html",
        "package.json",
        "artisan",
        "Dockerfile",
        "`start`",
        "deployr.toml",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let message = refused(checkout(&[("Dockerfile", "FROM x")]).path(), &settings());
    let told = "was found by a `Dockerfile`, and needs a Docker builder";
    assert!(message.contains(told), "{message}");
    let message = refused(
        checkout(&[("compose.yml", "services: {}")]).path(),
        &settings(),
    );
    let told = "was found by a compose file, and needs the compose tool";
    assert!(message.contains(told), "{message}");
    let message = refused(checkout(&[("package.json", "{,}")]).path(), &settings());
    assert!(message.contains("package.json"), "{message}");
}

#[test]
fn files_are_read_with_care() {
    let outside = checkout(&[("secret.toml", "build = 'leaked'"), ("index.html", "")]);
    let dir = checkout(&[("index.html", "")]);
    symlink(
        outside.path().join("secret.toml"),
        dir.path().join("deployr.toml"),
    )
    .unwrap();
    assert!(refused(dir.path(), &settings()).contains("link out of the checkout"));

    let dir = checkout(&[]);
    symlink(
        outside.path().join("index.html"),
        dir.path().join("index.html"),
    )
    .unwrap();
    assert!(refused(dir.path(), &settings()).contains("no framework was recognised"));

    let dir = checkout(&[("real/deployr.toml", "output = 'x'")]);
    symlink("real/deployr.toml", dir.path().join("deployr.toml")).unwrap();
    assert_eq!(
        detect(dir.path(), &settings()).unwrap().output.as_str(),
        "x"
    );

    let large = "#".repeat(256 * 1024 + 1);
    let dir = checkout(&[("index.html", ""), ("deployr.toml", &large)]);
    assert!(refused(dir.path(), &settings()).contains("larger than 256 KiB"));

    let dir = checkout(&[("index.html", "")]);
    nix::unistd::mkfifo(
        &dir.path().join("package.json"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    assert!(refused(dir.path(), &settings()).contains("is not a file"));

    let dir = checkout(&[]);
    symlink(outside.path(), dir.path().join("app")).unwrap();
    let mut own = settings();
    own.root = Some(RelPath::parse("app").unwrap());
    assert!(refused(dir.path(), &own).contains("leads out of the checkout"));
}

#[test]
fn a_dockerfile_is_built_where_images_can_be_made() {
    let files = [
        ("Dockerfile", "FROM scratch"),
        (
            "package.json",
            r#"{"scripts": {"start": "node server.js"}}"#,
        ),
    ];
    let dir = checkout(&files);
    let images = |settings: &ProjectSettings| {
        framework::detect(dir.path(), settings, Makes::Images).unwrap()
    };
    let recipe = images(&settings());
    assert_eq!(recipe.framework.as_str(), "dockerfile");
    assert_eq!(recipe.runtime, Runtime::Image);
    assert!(recipe.commands.is_empty());
    assert_eq!(
        detect(dir.path(), &settings()).unwrap().framework.as_str(),
        "node"
    );

    let mut own = settings();
    own.start = Some(BuildCommand::parse("./serve").unwrap());
    assert!(matches!(images(&own).runtime, Runtime::Process { .. }));
    assert_eq!(images(&own).framework.as_str(), "dockerfile");
    // Files that somebody asks for come from no image.
    own.start = None;
    own.output = Some(OutputDir::parse("dist").unwrap());
    assert_eq!(images(&own).framework.as_str(), "node");
    own.output = None;
    own.framework = Some(Framework::parse("node").unwrap());
    assert_eq!(images(&own).framework.as_str(), "node");
}
