//! A real Laravel on hosts with nginx and php-fpm, set up as docs/laravel.md says.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deployr_core::command::Command;
use deployr_core::error::{StepError, VerdictCode};
use deployr_core::executor::{Executor, ReleaseSpec};
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;
use deployr_core::testing::ingress::http_get;
use deployr_core::value::{BuildCommand, HealthDeadline};
use deployr_exec::ssh::{Php, Role, SshExecutor};
use deployr_testkit::php::PhpServer;
use deployr_testkit::ssh::Sshd;
use tempfile::TempDir;

use crate::apps::{self, Built, laravel};
use crate::support::*;

const KEY: &str = "base64:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
/// As far as opcache is concerned: that of a server which is made for speed.
const FAST: &str = "php_admin_value[opcache.validate_timestamps] = 0";

/// The lines of nginx that the page tells people to copy, for a host of these tests.
fn site(sshd: &Sshd) -> impl FnOnce(SocketAddr, &Path) -> String {
    let sites = sshd.home().join("sites");
    move |address, socket| {
        let page = include_str!("../../../docs/laravel.md");
        let block = page.split("```nginx\n").nth(1).unwrap();
        let block = block.split("```").next().unwrap();
        [
            ("listen 80;", format!("listen {address};")),
            ("/srv/sites", sites.display().to_string()),
            (
                "unix:/run/php/php-fpm.sock",
                format!("unix:{}", socket.display()),
            ),
        ]
        .into_iter()
        .fold(block.to_owned(), |block, (theirs, ours)| {
            assert!(block.contains(theirs), "the page has no {theirs}");
            block.replace(theirs, &ours)
        })
    }
}

/// The same with PHP left alone with the link.
fn by_the_link(sshd: &Sshd) -> impl FnOnce(SocketAddr, &Path) -> String {
    let site = site(sshd);
    move |address, socket| site(address, socket).replace("$realpath_root", "$document_root")
}

fn php_executor(hosts: &[(&Sshd, &PhpServer)], php: Php) -> SshExecutor {
    let targets = hosts.iter().map(|(sshd, web)| {
        let mut target = target(sshd);
        target.address = None;
        target.web_server = Some(web.address());
        target
    });
    let executor = SshExecutor::with_hosts(targets).unwrap();
    executor.patience(PATIENCE).php(php).unwrap()
}

fn release(built: &Built, number: i64) -> ReleaseSpec {
    let mut spec = ReleaseSpec {
        recipe: built.recipe.clone(),
        ..site_spec(number)
    };
    apps::set(&mut spec.env, "APP_KEY", KEY);
    apps::set(&mut spec.env, "APP_NAME", "it's \"the\" shop");
    spec
}

fn site_spec(number: i64) -> ReleaseSpec {
    crate::support::site(number)
}

fn version(built: &Built, work: &TempDir, number: i64) -> deployr_core::builder::Artifact {
    let text = format!("VERSION = '{number}'");
    built.with(work.path(), "app/Http/Home.php", "VERSION = '1'", &text)
}

/// The line of the page, out of an answer that comes in chunks.
fn ask(web: SocketAddr) -> Result<String, String> {
    let body = http_get(web, "shop.localhost")?;
    let line = body.lines().find(|line| line.contains("shop"));
    line.map(str::to_owned).ok_or(body)
}

async fn home(web: SocketAddr) -> Result<String, String> {
    tokio::task::spawn_blocking(move || ask(web)).await.unwrap()
}

/// What Laravel answers, of which version and with so many notes.
fn says(number: i64, notes: usize) -> String {
    format!("{number} it&#039;s &quot;the&quot; shop {notes}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_releases_under_load_lose_no_request_and_none_is_answered_by_old_code() {
    let (built, work) = (laravel().await, TempDir::new().unwrap());
    let sshd = Sshd::start();
    let web = PhpServer::start(site(&sshd), FAST);
    let (executor, at) = (
        php_executor(&[(&sshd, &web)], Php::default()),
        web.address(),
    );
    deploy(
        &executor,
        &release(built, 1),
        &version(built, &work, 1),
        &context(),
    )
    .await
    .unwrap();
    assert_eq!(home(at).await.unwrap(), says(1, 1));

    let (done, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let present = Arc::new(AtomicUsize::new(1));
    let visitors = [(); 2].map(|()| {
        let (done, answered, present) = (done.clone(), answered.clone(), present.clone());
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let before = present.load(Ordering::SeqCst);
                let said = ask(at).unwrap();
                let number: usize = said.split(' ').next().unwrap().parse().unwrap();
                let after = present.load(Ordering::SeqCst) + 1;
                assert!(
                    (before..=after).contains(&number),
                    "{said}, not {before} to {after}"
                );
                answered.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    });
    for number in 2..=21 {
        let mut spec = release(built, number);
        // What the first has done; it would only take time.
        spec.recipe.on_target.migrate = None;
        spec.recipe.on_target.after_switch = None;
        deploy(&executor, &spec, &version(built, &work, number), &context())
            .await
            .unwrap();
        present.store(number as usize, Ordering::SeqCst);
        executor
            .prune(&spec.slug, &[number - 1, number])
            .await
            .unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.join().unwrap();
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > 100, "{answered} requests are no load");
    assert_eq!(home(at).await.unwrap(), says(21, 1));
}

/// Two hosts with a database that both reach.
struct Pair {
    hosts: [Sshd; 2],
    webs: [PhpServer; 2],
    work: TempDir,
}

impl Pair {
    fn new() -> Self {
        let hosts = [Sshd::start(), Sshd::start()];
        let webs = hosts
            .each_ref()
            .map(|host| PhpServer::start(site(host), FAST));
        let work = TempDir::new().unwrap();
        fs::write(work.path().join("shop.sqlite"), "").unwrap();
        Self { hosts, webs, work }
    }

    fn executor(&self, roles: [&[Role]; 2]) -> SshExecutor {
        let targets = self.hosts.iter().zip(&self.webs).zip(roles);
        let targets = targets.map(|((host, web), roles)| {
            let mut target = target(host);
            target.roles = roles.to_vec();
            target.web_server = roles.contains(&Role::Web).then(|| web.address());
            target
        });
        let executor = SshExecutor::with_hosts(targets).unwrap();
        executor.patience(PATIENCE).php(Php::default()).unwrap()
    }

    /// A release whose migration notes each run and waits until it may end.
    fn slow(&self, built: &Built, number: i64) -> ReleaseSpec {
        let mut spec = release(built, number);
        let at = self.work.path().display();
        apps::set(&mut spec.env, "DB_DATABASE", &format!("{at}/shop.sqlite"));
        let line = format!(
            "echo \"run $PWD\" >> {at}/runs; until [ -e {at}/go ]; do sleep 0.02; done; \
             php artisan migrate --force"
        );
        spec.recipe.on_target.migrate = Some(BuildCommand::parse(&line).unwrap());
        spec
    }

    fn runs(&self) -> Vec<String> {
        let runs = fs::read_to_string(self.work.path().join("runs")).unwrap_or_default();
        runs.lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hosts_one_migrates_once_although_its_connection_is_cut() {
    let (built, mut pair) = (laravel().await, Pair::new());
    let executor = pair.executor([&[Role::Web], &[Role::Web, Role::Db]]);
    let (spec, step) = (pair.slow(built, 1), RecordedStep::default());
    let artifact = version(built, &pair.work, 1);
    let prepare = executor.prepare(&spec, &artifact, &step.ctx);
    let (work, db) = (pair.work.path().to_owned(), &mut pair.hosts[1]);
    let trouble = async {
        eventually("a run", || work.join("runs").exists()).await;
        // Neither the key nor the name of anything secret is in a command line.
        for pid in db.processes() {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            assert!(
                !String::from_utf8_lossy(&line).contains("MDEyMzQ1"),
                "{pid}"
            );
        }
        db.cut();
        db.kill();
        fs::write(work.join("go"), "").unwrap();
        let job = format!("jobs/{}-{}-migrate", step.ctx.deployment, spec.commit);
        let exit = path(db, &job).join("exit");
        eventually("its end", || exit.exists()).await;
        db.up();
    };
    let (prepared, ()) = tokio::join!(prepare, trouble);
    prepared.unwrap();
    let on_db = pair.hosts[1].home().display().to_string();
    assert_eq!(pair.runs().len(), 1, "{:?}", pair.runs());
    assert!(pair.runs()[0].contains(&on_db), "{:?}", pair.runs());
    let said = step.said().await.join("\n");
    assert!(
        said.contains("Migrated:  2026_01_01_000000_create_notes"),
        "{said}"
    );

    // Another attempt, with a release of its own, does not migrate again.
    let (second, again) = (pair.slow(built, 2), step.next_attempt());
    executor.discard(&spec.slug, 1).await.unwrap();
    let endpoint = async {
        executor.prepare(&second, &artifact, &again.ctx).await?;
        executor.start(&second, &again.ctx).await
    };
    let endpoint = endpoint.await.unwrap();
    executor
        .verify(&second, &endpoint, &again.ctx)
        .await
        .unwrap();
    executor
        .switch(&second, Turn::new(1, 2), &again.ctx)
        .await
        .unwrap();
    for web in &pair.webs {
        assert_eq!(home(web.address()).await.unwrap(), says(1, 1));
    }
    // Nor does a way back, and what has ended is forgotten.
    deploy(&executor, &pair.slow(built, 3), &artifact, &context())
        .await
        .unwrap();
    assert_eq!(pair.runs().len(), 2);
    executor
        .switch(&second, Turn::new(4, 1), &context())
        .await
        .unwrap();
    executor.prune(&spec.slug, &[2]).await.unwrap();
    assert_eq!(pair.runs().len(), 2);
    for host in &pair.hosts {
        let left: Vec<_> = fs::read_dir(path(host, "jobs"))
            .unwrap()
            .flatten()
            .collect();
        let of = |name: &str| {
            left.iter()
                .any(|job| job.file_name().to_str().unwrap().contains(name))
        };
        assert!(!of("migrate") && !of("prepare"), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_release_prepares_with_an_error_is_told_and_nothing_is_switched() {
    let (built, pair) = (laravel().await, Pair::new());
    let executor = pair
        .executor([&[Role::Web, Role::Db], &[Role::Worker]])
        .rolling(true);
    let artifact = version(built, &pair.work, 1);
    let mut keyless = pair.slow(built, 1);
    keyless.env = Default::default();
    let step = RecordedStep::default();
    let failed = deploy(&executor, &keyless, &artifact, &step.ctx).await;
    assert!(
        matches!(&failed, Err(StepError::Verdict(verdict)) if verdict.code == VerdictCode::CommandFailed
            && verdict.message.contains("on_target.prepare ended with 1")),
        "{failed:?}"
    );
    let said = step.said().await.join("\n");
    assert!(said.contains("set it as the variable APP_KEY"), "{said}");
    assert!(pair.runs().is_empty());

    // A host that is no web has the release, and is not asked for it.
    fs::write(pair.work.path().join("go"), "").unwrap();
    deploy(&executor, &pair.slow(built, 2), &artifact, &context())
        .await
        .unwrap();
    assert_eq!(home(pair.webs[0].address()).await.unwrap(), says(1, 1));
    for host in &pair.hosts {
        assert!(path(host, "current/bootstrap/cache/config.php").exists());
        let mode = fs::metadata(path(host, "current/bootstrap/cache/config.php")).unwrap();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o077,
            0
        );
        let public = fs::read_dir(path(host, "current/public"))
            .unwrap()
            .flatten();
        let names: Vec<_> = public
            .map(|of| of.file_name().into_string().unwrap())
            .collect();
        assert!(
            names.iter().all(|name| !name.starts_with("deployr-")),
            "{names:?}"
        );
    }
    // A release that is broken is found to be before it is present.
    let broken = built.with(
        pair.work.path(),
        "app/Http/Home.php",
        "return view",
        "return oops",
    );
    let unhealthy = {
        let mut spec = pair.slow(built, 3);
        spec.recipe.health.deadline_ms = HealthDeadline::new(300).unwrap();
        deploy(&executor, &spec, &broken, &context()).await
    };
    assert!(
        matches!(&unhealthy, Err(StepError::Verdict(verdict)) if verdict.code == VerdictCode::Unhealthy),
        "{unhealthy:?}"
    );
    assert_eq!(home(pair.webs[0].address()).await.unwrap(), says(1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_that_leaves_php_alone_with_the_link_is_found_out() {
    let (built, work) = (laravel().await, TempDir::new().unwrap());
    let sshd = Sshd::start();
    let web = PhpServer::start(by_the_link(&sshd), FAST);
    let executor = |php| php_executor(&[(&sshd, &web)], php);
    let (spec, artifact) = (release(built, 1), version(built, &work, 1));
    let first = deploy(&executor(Php::default()), &spec, &artifact, &context()).await;
    let fault = expect_fault(first);
    assert!(
        fault.reason.contains("$realpath_root") && !fault.retryable,
        "{fault}"
    );
    assert!(!path(&sshd, "current").exists());

    let reload = format!("kill -s USR2 $(cat {})", web.fpm_pid().display());
    let executor = executor(Php {
        reload: Some(Command::shell(&reload)),
    });
    for number in 2..=4 {
        let spec = release(built, number);
        deploy(&executor, &spec, &version(built, &work, number), &context())
            .await
            .unwrap();
        for _ in 0..12 {
            assert_eq!(home(web.address()).await.unwrap(), says(number, 1));
        }
    }
    // One that does not run PHP at all.
    let files = PhpServer::start(
        |address, socket| site(&sshd)(address, socket).replace("\\.php$", "\\.none$"),
        "",
    );
    let executor = php_executor(&[(&sshd, &files)], Php::default());
    let executor = executor.patience(Duration::from_secs(1));
    let mut spec = release(built, 6);
    spec.recipe.health.command = Some(BuildCommand::parse("true").unwrap());
    let fault = expect_fault(deploy(&executor, &spec, &version(built, &work, 6), &context()).await);
    assert!(fault.reason.contains("run the PHP files there"), "{fault}");
    assert_eq!(executor.current(&spec.slug).await.unwrap(), Some(4));
}
