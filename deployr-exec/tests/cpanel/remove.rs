//! A project goes from an account.

use std::fs;

use deployr_core::executor::Executor;
use deployr_exec::cpanel::Cron;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_document_root_and_the_crontab_are_what_they_were() {
    let lab = Lab::with(|site| {
        site.cron = vec![Cron {
            schedule: "5 4 * * 0".to_owned(),
            command: "php tidy.php".to_owned(),
        }];
    });
    lab.account.add_domain(DOMAIN, "public_html/shop");
    let root = lab.account.home().join("public_html/shop");
    fs::create_dir_all(root.join(".well-known")).unwrap();
    lab.account.add_cron("their own # deployr:shop2");
    let before = lab.account.cron();
    let mut spec = site(1);
    spec.recipe.shared = paths(&["uploads"]);
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&spec, &artifact).await.unwrap();
    assert!(root.is_symlink());
    assert_eq!(lab.account.cron().len(), 2);
    fs::write(lab.path("shared/uploads/a"), "by the app").unwrap();

    for _ in 0..2 {
        lab.executor.remove(&spec.slug, false).await.unwrap();
        assert!(root.join(".well-known").is_dir() && !root.is_symlink());
        assert_eq!(lab.account.cron(), before);
        let left: Vec<_> = fs::read_dir(lab.path("")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(lab.read("shared/uploads/a"), "by the app");
    }
    lab.deploy(&spec, &artifact).await.unwrap();
    assert_eq!(lab.visit("/").0, 200);
    lab.executor.remove(&spec.slug, true).await.unwrap();
    assert!(!lab.path("").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_passenger_is_unregistered() {
    let lab = Lab::with(|site| site.passenger = true);
    lab.account.add_domain(DOMAIN, "app-root");
    let text = "require('http').createServer((q, r) => r.end('hi')).listen();";
    let artifact = lab.files(&[("app.js", text)]);
    lab.deploy(&app(1), &artifact).await.unwrap();
    for _ in 0..2 {
        lab.executor.remove(&app(1).slug, true).await.unwrap();
    }
    let asked = lab.account.requests();
    let unregistered = |call: &&String| call.contains("unregister_application");
    assert_eq!(asked.iter().filter(unregistered).count(), 1);
    // As a new one, which it would not be if it were still there.
    lab.deploy(&app(1), &artifact).await.unwrap();
    assert_eq!(lab.visit("/"), (200, "hi".to_owned()));
}
