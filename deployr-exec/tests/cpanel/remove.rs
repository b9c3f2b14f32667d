//! A project goes from an account.

use std::fs;

use std::time::Duration;

use deployr_core::executor::{Executor, ReleaseSpec};
use deployr_core::value::Slug;
use deployr_exec::cpanel::{CpanelExecutor, Cron, Site};
use deployr_testkit::cpanel::Trouble;
use deployr_testkit::told;

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

/// The host may take longer to remove a tree than a lock lasts.
#[tokio::test(flavor = "multi_thread")]
async fn trees_are_removed_after_the_lock_and_by_the_next_removal_where_one_was_cut_off() {
    let lab = Lab::unvisited();
    for number in [1, 2] {
        let artifact = lab.files(&[("index.html", "home")]);
        lab.deploy(&site(number), &artifact).await.unwrap();
    }
    // In this order: what is moved from the one to the other meanwhile is not missed.
    let trees = || {
        let mut folders = vec![lab.path("releases")];
        let incoming = fs::read_dir(lab.path("incoming")).into_iter().flatten();
        folders.extend(incoming.flatten().map(|entry| entry.path()));
        let folders = folders
            .into_iter()
            .filter_map(|path| fs::read_dir(path).ok());
        let pages = folders
            .flatten()
            .flatten()
            .map(|one| one.path().join("index.html"));
        pages.filter(|page| page.exists()).count()
    };
    assert_eq!(trees(), 2);
    let late = Trouble::Late(Duration::from_millis(100));
    lab.account.trouble("Fileman/fileop unlink", 1_000, late);
    let slug = site(1).slug;
    let is_locked = || lab.path("lock").exists();
    let watch = async {
        eventually("the lock", is_locked).await;
        eventually("its end", || {
            let whole = trees() >= 2;
            assert!(whole || !is_locked(), "a tree was removed under the lock");
            !is_locked()
        })
        .await;
    };
    tokio::select! {
        removed = lab.executor.remove(&slug, true) => panic!("{removed:?}"),
        () = watch => {}
    }
    assert!(!lab.path("releases").exists() && lab.path("incoming").exists());
    lab.executor.remove(&slug, true).await.unwrap();
    assert!(!lab.path("").exists());
}

/// An operator's own site in the folder that a project of its name has on the account.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_made_in_the_projects_folder_stays_and_is_told() {
    let lab = Lab::unvisited();
    let theirs = [
        ".env",
        "html/index.html",
        "dump 1.sql",
        "releases/20240101/app.php",
        "incoming/mail.txt",
    ];
    let mut all = theirs.to_vec();
    all.push("current/index.html");
    for file in &all {
        let file = lab.path(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "theirs").unwrap();
    }
    // Nothing was ever placed, as for a project that never got past its build.
    lab.executor.remove(&site(1).slug, true).await.unwrap();
    for file in &all {
        assert_eq!(lab.read(file), "theirs", "{file}");
    }

    fs::remove_dir_all(lab.path("current")).unwrap();
    let mut spec = site(1);
    spec.recipe.shared = paths(&["uploads"]);
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&spec, &artifact).await.unwrap();
    told::listen();
    for _ in 0..2 {
        lab.executor.remove(&spec.slug, true).await.unwrap();
        for file in theirs {
            assert_eq!(lab.read(file), "theirs", "{file}");
        }
        let left = |folder: &str| fs::read_dir(lab.path(folder)).unwrap().count();
        assert_eq!((left(""), left("releases"), left("incoming")), (5, 1, 1));
    }
    let said = told::said();
    assert!(
        said.contains("deployr/shop") && said.contains("\"dump 1.sql\""),
        "{said}"
    );
}

fn executor_of(lab: &Lab, sites: [(&str, Site); 2]) -> CpanelExecutor {
    let mut target = target(&lab.account);
    target.sites = sites.map(|(name, site)| (name.to_owned(), site)).into();
    CpanelExecutor::new(target).unwrap()
}

fn of(name: &str) -> ReleaseSpec {
    let slug = Slug::parse(name).unwrap();
    ReleaseSpec { slug, ..site(1) }
}

async fn go_live(executor: &CpanelExecutor, name: &str, lab: &Lab) {
    let (spec, ctx) = (of(name), context());
    let artifact = lab.files(&[("index.html", name)]);
    executor.prepare(&spec, &artifact, &ctx).await.unwrap();
    let turn = deployr_core::model::Turn::new(1, 1);
    executor.switch(&spec, turn, &ctx).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_of_another_project_to_which_the_domain_has_gone_stays() {
    for is_still_there in [false, true] {
        let lab = Lab::new();
        lab.account.add_domain(DOMAIN, "public_html/shop");
        let root = lab.account.home().join("public_html/shop");
        go_live(&lab.executor, "shop", &lab).await;
        assert_eq!(lab.visit("/"), (200, "shop".to_owned()));

        let with = || site_at(&lab.account, DOMAIN);
        let before = if is_still_there {
            with()
        } else {
            Site::default()
        };
        let executor = executor_of(&lab, [("shop", before), ("blog", with())]);
        fs::remove_file(&root).unwrap(); // as deployr has it done
        go_live(&executor, "blog", &lab).await;
        for _ in 0..2 {
            executor.remove(&of("shop").slug, true).await.unwrap();
            assert_eq!(lab.visit("/"), (200, "blog".to_owned()));
        }
        assert!(!lab.path("docroot").exists());
        executor.remove(&of("blog").slug, true).await.unwrap();
        assert!(!root.is_symlink());
    }
}

/// Both see the numbers of the same crontab; the one that is slower must not take a line that
/// has moved up.
#[tokio::test(flavor = "multi_thread")]
async fn two_projects_that_change_the_crontab_at_once_leave_the_lines_of_others() {
    let lab = Lab::unvisited();
    let with = || Site {
        cron: vec![Cron {
            schedule: "5 4 * * 0".to_owned(),
            command: "php tidy.php".to_owned(),
        }],
        ..Site::default()
    };
    let executor = executor_of(&lab, [("shop", with()), ("blog", with())]);
    for name in ["shop", "blog"] {
        go_live(&executor, name, &lab).await;
    }
    lab.account.add_cron("their own");
    let late = Trouble::Late(Duration::from_millis(500));
    lab.account.trouble("Cron/remove_line", 1, late);
    let (shop, blog) = (of("shop").slug, of("blog").slug);
    let second = async {
        // Until the first waits for an answer, which it does only where it is late.
        let (mut asked, mut polls) = (0, 0);
        eventually("the first waits", || {
            let now = lab.account.requests().len();
            polls = if now == asked { polls + 1 } else { 0 };
            asked = now;
            polls == 10
        })
        .await;
        executor.remove(&shop, true).await
    };
    let (first, second) = tokio::join!(executor.remove(&blog, true), second);
    first.unwrap();
    second.unwrap();
    assert_eq!(lab.account.cron(), ["* * * * * their own"]);
    assert!(!lab.account.home().join(".deployr-lock").exists());
}
