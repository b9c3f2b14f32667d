//! A real Laravel and a real Next.js, set up as docs/cpanel.md says.

use std::process::Command;

use deployr_core::executor::{Executor, ReleaseSpec};
use deployr_core::value::BuildCommand;
use deployr_exec::cpanel::Site;
use tempfile::TempDir;

use crate::apps::{self, Built, laravel, next};
use crate::support::*;

fn release(built: &Built, number: i64) -> ReleaseSpec {
    let mut spec = ReleaseSpec {
        recipe: built.recipe.clone(),
        ..app(number)
    };
    apps::set(&mut spec.env, "APP_NAME", "shop");
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn laravel_is_refused_with_the_lines_that_let_it_go_live() {
    let (built, work) = (laravel().await, TempDir::new().unwrap());
    let lab = Lab::with(|site| {
        site.web = Some("public".to_owned());
        site.env_file = Some(paths(&[".env"]).remove(0));
    });
    let database = work.path().join("shop.sqlite");
    std::fs::write(&database, "").unwrap();
    let release = |number| {
        let mut spec = release(built, number);
        let key = "base64:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
        apps::set(&mut spec.env, "APP_KEY", key);
        apps::set(&mut spec.env, "DB_DATABASE", database.to_str().unwrap());
        spec
    };
    let refused = lab.executor.accepts(&release(1).slug, &release(1).recipe);
    let told = refused.unwrap_err().message;
    let lines = "on_target = { prepare = \"true\", migrate = \"true\", after_switch = \"true\" }";
    assert!(told.contains(lines), "{told}");

    let nothing = || Some(BuildCommand::parse("true").unwrap());
    for number in [1, 2] {
        let mut spec = release(number);
        let on_target = &mut spec.recipe.on_target;
        on_target.prepare = nothing();
        on_target.migrate = nothing();
        on_target.after_switch = nothing();
        let text = format!("VERSION = '{number}'");
        let artifact = built.with(work.path(), "app/Http/Home.php", "VERSION = '1'", &text);
        // What its owner does in another way.
        let mut migrate = Command::new("php");
        migrate
            .args(["artisan", "migrate", "--force"])
            .current_dir(folder(&artifact));
        migrate.envs(
            spec.env
                .iter()
                .map(|(name, value)| (name.as_str(), value.expose())),
        );
        assert!(migrate.output().unwrap().status.success());
        lab.deploy(&spec, &artifact).await.unwrap();
        let (status, page) = lab.visit("/");
        assert!(
            status == 200 && page.contains(&format!("{number} shop 1")),
            "{status} {page}"
        );
    }
    // Each release has the variables that it was deployed with, and what it stores is shared.
    let releases = lab.path(&format!("releases/2-{COMMIT}"));
    assert!(releases.join("storage").is_symlink() && !releases.join(".env").is_symlink());
    assert_eq!(lab.visit("/.env").0, 403);
}

/// Or else its `.env` would be there for everybody.
#[tokio::test(flavor = "multi_thread")]
async fn laravel_is_not_given_out_whole() {
    let lab = Lab::new();
    let built = laravel().await;
    let refused = lab.executor.accepts(&app(1).slug, &built.recipe);
    let told = refused.unwrap_err().message;
    assert!(told.contains("web = \"public\" under sites.shop"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn next_runs_in_passenger() {
    let (built, work) = (next().await, TempDir::new().unwrap());
    let lab = Lab::with(|site| {
        *site = Site {
            passenger: true,
            ..site.clone()
        }
    });
    lab.account.add_domain(DOMAIN, "app-root");
    let mut plain = built.recipe.clone();
    plain.framework = deployr_core::value::Framework::parse("next").unwrap();
    let refused = lab.executor.accepts(&app(1).slug, &plain).unwrap_err();
    assert!(
        refused.message.contains("output: 'standalone'"),
        "{refused}"
    );
    for number in [1, 2] {
        let text = format!("version-{number}");
        let page = ".next/server/pages/index.js";
        let artifact = built.with(work.path(), page, "version-1", &text);
        lab.deploy(&release(built, number), &artifact)
            .await
            .unwrap();
        let (status, page) = lab.visit("/");
        assert!(status == 200 && page.contains(&text), "{status} {page}");
    }
}
