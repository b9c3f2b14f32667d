//! The corpus's archives, variables, branches and names, with the parsers before them
//! switched off where there are some: nothing but the project's own place is touched.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use deployr_core::error::VerdictCode;
use deployr_core::executor::Executor;
use deployr_core::value::{ProjectName, Slug};
use deployr_exec::cpanel::{CpanelExecutor, Site};
use serde_json::Value;

use crate::support::*;

const LIST: &str = include_str!("../../../deployr-core/tests/data/hostile_inputs.json");

fn of_area(area: &str) -> Vec<Value> {
    let entries: Vec<Value> = serde_json::from_str(LIST).unwrap();
    let found: Vec<Value> = entries
        .into_iter()
        .filter(|entry| entry["area"] == area)
        .collect();
    assert!(found.len() > 3, "{area}");
    found
}

/// What a build may leave on the disk of what an archive would bring.
fn lay_out(folder: &Path, entries: &[Value]) {
    for entry in entries {
        let path = entry["path"].as_str().unwrap();
        let place = folder.join(path.trim_start_matches('/').replace("../", ""));
        fs::create_dir_all(place.parent().unwrap()).unwrap_or_default();
        match entry["type"].as_str() {
            Some("symlink") => {
                symlink(entry["target"].as_str().unwrap(), &place).unwrap_or_default()
            }
            Some("dir") => fs::create_dir_all(&place).unwrap_or_default(),
            // Nothing is written through a link that was just made.
            _ if fs::symlink_metadata(&place).is_err() && !place.starts_with(folder.join("l")) => {
                fs::write(&place, entry["data"].as_str().unwrap_or_default()).unwrap();
                if let Some(mode) = entry["mode"].as_str() {
                    let mode = u32::from_str_radix(mode, 8).unwrap();
                    fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_bring_nothing_from_and_to_elsewhere() {
    let lab = Lab::unvisited();
    for (number, entry) in (1..).zip(of_area("archive")) {
        let artifact = lab.files(&[("index.html", "home")]);
        let entries = entry["input"]["entries"].as_array().unwrap();
        lay_out(folder(&artifact), entries);
        let prepared = lab
            .executor
            .prepare(&site(number), &artifact, &context())
            .await;
        let leads_out = entry["expected"] == "rejected:ARCHIVE_LINK";
        match prepared {
            Ok(()) => assert!(!leads_out, "{entry}"),
            prepared => {
                assert!(leads_out, "{entry}: {prepared:?}");
                assert_eq!(expect_verdict(prepared).code, VerdictCode::OutputEscapes);
            }
        }
        let tool = lab.path(&format!("releases/{number}-{COMMIT}/bin/tool"));
        if let Ok(meta) = fs::metadata(tool) {
            assert_eq!(meta.permissions().mode() & 0o7777, 0o755);
        }
    }
    let home = ["deployr", "public_html"].map(str::to_owned);
    assert_eq!(crate::files::names(&lab.account.home()), home.into());
}

/// Each arrives in `.env` as one variable, which PHP's usual reader reads as it was.
#[tokio::test(flavor = "multi_thread")]
async fn variables_arrive_as_they_are_and_are_public_nowhere() {
    let lab = Lab::with(|site| {
        site.web = Some("public".to_owned());
        site.env_file = Some(paths(&[".env"]).remove(0));
    });
    let mut spec = site(1);
    let mut wanted = Vec::new();
    for entry in of_area("env_var") {
        let (Some(key), Some(value)) = (
            entry["input"]["key"].as_str(),
            entry["input"]["value"].as_str(),
        ) else {
            continue;
        };
        if entry["expected"].as_str().unwrap().starts_with("rejected") {
            continue;
        }
        spec = with_env(spec, key, value);
        wanted.push((key.to_owned(), value.to_owned()));
    }
    spec = with_env(
        spec,
        "QUOTES",
        "\"'\\ $HOME ${X} `id` # no comment\r\n\tend",
    );
    let artifact = lab.files(&[("public/index.html", "home"), (".env", "the build's own")]);
    lab.deploy(&spec, &artifact).await.unwrap();
    let text = lab.read("current/.env");
    assert_eq!(text.lines().count(), wanted.len() + 1, "{text}");
    for (key, value) in &wanted {
        let escaped = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('$', "\\$")
            .replace('\n', "\\n");
        assert!(
            text.lines()
                .any(|line| line == format!("{key}=\"{escaped}\"")),
            "{key}: {text}"
        );
    }
    let mode = fs::metadata(lab.path("current/.env"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(lab.visit("/.env").0, 403);
    assert_ne!(lab.visit("/..%2f.env").0, 200);
}

/// No name of a project, path or branch of the corpus is a setting of an account that could
/// lead elsewhere, and what is one stays in its place.
#[tokio::test(flavor = "multi_thread")]
async fn names_and_paths_in_settings_lead_nowhere_else() {
    let account = deployr_testkit::cpanel::Cpanel::start();
    let canary = account.home().join("canary");
    fs::write(&canary, "alive").unwrap();
    for area in ["project_name", "path", "branch"] {
        for entry in of_area_any(area) {
            let Some(text) = entry["input"].as_str() else {
                continue;
            };
            let mut target = target(&account);
            target.root = text.to_owned();
            let rooted = CpanelExecutor::new(target.clone());
            target.root = "deployr".to_owned();
            let site_of = Site {
                web: Some(text.to_owned()),
                ..Site::default()
            };
            target.sites.insert("shop".to_owned(), site_of);
            let web = CpanelExecutor::new(target);
            for executor in [rooted, web].into_iter().flatten() {
                // Where it is taken, it is a plain name below the home.
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
                assert!(text.chars().all(plain) && !text.contains(".."), "{text}");
                executor.current(&site(1).slug).await.unwrap();
            }
        }
    }
    assert_eq!(fs::read_to_string(canary).unwrap(), "alive");
}

/// Each name that a project may have gets a place of its own, and touches no other.
#[tokio::test(flavor = "multi_thread")]
async fn projects_of_any_name_have_a_place_of_their_own() {
    let lab = Lab::unvisited();
    let canary = lab.account.home().join("deployr/canary");
    fs::create_dir_all(canary.parent().unwrap()).unwrap();
    fs::write(&canary, "alive").unwrap();
    let mut places = BTreeSet::from(["canary".to_owned()]);
    for entry in of_area("project_name") {
        let Ok(name) = ProjectName::parse(entry["input"].as_str().unwrap()) else {
            continue;
        };
        let mut spec = site(1);
        spec.slug = Slug::from_name(&name);
        places.insert(spec.slug.to_string());
        let artifact = lab.files(&[("index.html", "home")]);
        lab.deploy(&spec, &artifact).await.unwrap();
        lab.executor.prune(&spec.slug, &[]).await.unwrap();
    }
    assert!(places.len() > 2, "{places:?}");
    assert_eq!(
        crate::files::names(&lab.account.home().join("deployr")),
        places
    );
    assert_eq!(fs::read_to_string(canary).unwrap(), "alive");
}

fn of_area_any(area: &str) -> Vec<Value> {
    let entries: Vec<Value> = serde_json::from_str(LIST).unwrap();
    entries
        .into_iter()
        .filter(|entry| entry["area"] == area)
        .collect()
}
