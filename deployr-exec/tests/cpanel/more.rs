//! Databases, cron, Passenger; and what shared hosting cannot do.

use deployr_core::error::VerdictCode;
use deployr_core::executor::Executor;
use deployr_core::model::{Recipe, Runtime, Turn};
use deployr_core::testing::RecordedStep;
use deployr_core::value::{BuildCommand, EnvName};
use deployr_exec::cpanel::{Cron, Database, DatabaseKind};
use deployr_testkit::cpanel::Trouble;

use crate::support::*;

const PASSWORD: &str = "p4ss&w=rd +%\"$'\\ \n\u{fc}";

fn with_database(kind: DatabaseKind) -> Lab {
    Lab::with(|site| {
        site.domain = None;
        site.database = Some(Database {
            kind,
            name: "shop".to_owned(),
            user: "acme_shop".to_owned(),
            password: EnvName::parse("DB_PASSWORD").unwrap(),
        });
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_made_once_and_its_password_is_shown_nowhere() {
    for kind in [DatabaseKind::Mysql, DatabaseKind::Postgresql] {
        let lab = with_database(kind);
        let artifact = lab.files(&[("index.html", "home")]);
        let lacking = expect_fault(lab.deploy(&site(1), &artifact).await);
        assert!(lacking.to_string().contains("DB_PASSWORD"), "{lacking}");
        let step = RecordedStep::new();
        for number in [1, 2] {
            let spec = with_env(site(number), "DB_PASSWORD", PASSWORD);
            lab.deploy_told(&spec, &artifact, &step.ctx).await.unwrap();
        }
        let users = vec!["acme_shop".to_owned()];
        assert_eq!(
            lab.account.databases(),
            [("acme_shop".to_owned(), users)].into()
        );
        assert_eq!(
            lab.account.password_of("acme_shop").as_deref(),
            Some(PASSWORD)
        );
        let seen = format!("{:?}{:?}", lab.account.requests(), said(&step).await);
        assert!(!seen.contains("p4ss") && !seen.contains(deployr_testkit::cpanel::Cpanel::token()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_have_no_more_databases_is_told() {
    let lab = with_database(DatabaseKind::Mysql);
    let artifact = lab.files(&[("index.html", "home")]);
    let spec = with_env(site(1), "DB_PASSWORD", PASSWORD);
    lab.account.set(|host| host.databases = 0);
    let fault = expect_fault(lab.deploy(&spec, &artifact).await);
    assert!(
        !fault.retryable && fault.to_string().contains("maximum allotment"),
        "{fault}"
    );
    assert!(
        fault.to_string().contains("a limit of the account"),
        "{fault}"
    );
    lab.account.set(|host| {
        host.databases = 5;
        host.disabled = vec!["Mysql/list_users".to_owned()];
    });
    let fault = expect_fault(lab.deploy(&spec, &artifact).await);
    assert!(
        !fault.retryable && fault.to_string().contains("has disabled"),
        "{fault}"
    );
    lab.account.set(|host| host.disabled.clear());
    // Made, and its answer lost: found the next time.
    lab.account
        .trouble("Mysql/create_user", 1, Trouble::CutAfter);
    if lab.deploy(&spec, &artifact).await.is_err() {
        lab.deploy(&spec, &artifact).await.unwrap();
    }
    assert_eq!(
        lab.account.password_of("acme_shop").as_deref(),
        Some(PASSWORD)
    );
}

fn cron(schedule: &str, command: &str) -> Cron {
    Cron {
        schedule: schedule.to_owned(),
        command: command.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cron_has_the_lines_that_are_wanted_and_keeps_those_of_others() {
    let lab = Lab::with(|site| {
        site.domain = None;
        site.cron = vec![
            cron("* * * * *", "php artisan schedule:run"),
            cron("5 4 * * 0", "php tidy.php"),
        ];
    });
    lab.account.add_cron("their own # deployr:shop2");
    let artifact = lab.files(&[("index.html", "home")]);
    for number in [1, 2] {
        lab.deploy(&site(number), &artifact).await.unwrap();
    }
    let ours = |schedule: &str, command: &str| {
        format!("{schedule} cd deployr/shop/current && {command} # deployr:shop")
    };
    let theirs = "* * * * * their own # deployr:shop2".to_owned();
    let first = ours("* * * * *", "php artisan schedule:run");
    assert_eq!(
        lab.account.cron(),
        [theirs.clone(), first, ours("5 4 * * 0", "php tidy.php")]
    );

    // Of what is wanted no longer nothing stays.
    for (number, wanted) in [(3, vec![cron("1 * * * *", "php tidy.php")]), (4, vec![])] {
        let mut target = target(&lab.account);
        let mut site_of = deployr_exec::cpanel::Site::default();
        site_of.cron.clone_from(&wanted);
        target.sites.insert("shop".to_owned(), site_of);
        let executor = deployr_exec::cpanel::CpanelExecutor::new(target).unwrap();
        executor
            .prepare(&site(number), &artifact, &context())
            .await
            .unwrap();
        executor
            .switch(&site(number), Turn::new(number, 1), &context())
            .await
            .unwrap();
        let lines = wanted
            .iter()
            .map(|cron| ours(&cron.schedule, &cron.command));
        assert_eq!(
            lab.account.cron(),
            [theirs.clone()]
                .into_iter()
                .chain(lines)
                .collect::<Vec<_>>()
        );
    }
}

const APP: &str = "const http = require('http');
http.createServer((q, r) => r.end(process.env.DEPLOYR_RELEASE + ' ' + process.env.GREETING + ' ' + TEXT)).listen();
const TEXT = 'NUMBER';";

#[tokio::test(flavor = "multi_thread")]
async fn passenger_runs_each_release_anew() {
    let lab = Lab::with(|site| site.passenger = true);
    lab.account.add_domain(DOMAIN, "app-root");
    let mut second = None;
    for number in [1, 2] {
        let text = APP.replace("NUMBER", &number.to_string());
        let artifact = lab.files(&[("app.js", &text)]);
        let spec = with_env(app(number), "GREETING", "it's $HOME & \"so\"");
        lab.deploy(&spec, &artifact).await.unwrap();
        let said = format!("{number} it's $HOME & \"so\" {number}");
        assert_eq!(lab.visit("/"), (200, said));
        second = Some(spec);
    }
    // One that does not come up is not what visitors get in the end. The app has its variables
    // by then, so going back is a switch, too, which is the engine's to make.
    let broken = lab.files(&[(
        "app.js",
        "require('http').createServer((q, r) => { r.statusCode = 500; r.end(); }).listen();",
    )]);
    let verdict = expect_verdict(lab.deploy(&impatient(app(3)), &broken).await);
    assert_eq!(verdict.code, VerdictCode::Unhealthy);
    assert_eq!(lab.executor.current(&app(1).slug).await.unwrap(), Some(3));
    let step = RecordedStep::new();
    let back = with_env(second.unwrap(), "GREETING", "again");
    lab.executor
        .switch(&back, Turn::new(3, 2), &step.ctx)
        .await
        .unwrap();
    assert_eq!(lab.executor.current(&back.slug).await.unwrap(), Some(2));
    assert_eq!(lab.visit("/"), (200, "2 again 2".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shared_hosting_cannot_do_is_refused_with_what_to_do() {
    let lab = Lab::unvisited();
    let of = |change: &dyn Fn(&mut Recipe)| {
        let mut spec = site(1);
        change(&mut spec.recipe);
        lab.executor.accepts(&spec.slug, &spec.recipe)
    };
    assert!(of(&|_| {}).is_ok());
    let process = app(1).recipe.runtime;
    for (refused, word) in [
        (of(&|recipe| recipe.runtime = process.clone()), "passenger"),
        (of(&|recipe| recipe.runtime = Runtime::Image), "containers"),
        (
            of(&|recipe| recipe.health.command = Some(BuildCommand::parse("true").unwrap())),
            "health path",
        ),
    ] {
        let verdict = refused.unwrap_err();
        assert_eq!(verdict.code, VerdictCode::Unsupported);
        assert!(verdict.message.contains(word), "{verdict}");
    }
    let capabilities = lab.executor.capabilities();
    assert!(!capabilities.processes && !capabilities.zero_downtime());
    assert!(lab.account.requests().is_empty());
    let plan = lab.executor.plan(&site(1).slug, &site(1).recipe);
    assert!(
        plan.iter()
            .any(|step| step.what.contains("releases/<number>-<commit>")),
        "{plan:?}"
    );
}
