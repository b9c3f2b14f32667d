//! With a real PHP whose opcache never looks again at what it has read.

use deployr_core::error::VerdictCode;
use deployr_core::executor::Executor;
use deployr_core::model::Turn;

use crate::support::*;

fn php() -> Lab {
    Lab::with(|site| {
        site.web = Some("public".to_owned());
        site.php = Some("8.2".to_owned());
    })
}

fn page(text: &str) -> String {
    format!("<?php require __DIR__ . '/../lib.php'; echo '{text} ', lib();\n")
}

fn lib(text: &str) -> String {
    format!("<?php function lib() {{ return '{text}'; }}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_from_the_old_code_after_a_switch() {
    let lab = php();
    for number in 1..=4 {
        let text = format!("release {number}");
        let artifact = lab.files(&[("public/index.php", &page(&text)), ("lib.php", &lib(&text))]);
        lab.deploy(&app(number), &artifact).await.unwrap();
        for _ in 0..5 {
            assert_eq!(lab.visit("/any/route"), (200, format!("{text} {text}")));
        }
    }
    lab.executor
        .switch(&app(2), Turn::new(5, 1), &context())
        .await
        .unwrap();
    assert_eq!(lab.visit("/"), (200, "release 2 release 2".to_owned()));
    assert_eq!(lab.account.php_of(DOMAIN).as_deref(), Some("ea-php82"));
    // Nobody can let PHP forget a second time.
    for number in 1..=4 {
        let names = crate::files::names(&lab.path(&format!("releases/{number}-{COMMIT}/public")));
        assert_eq!(
            names,
            ["deployr-release.php", "index.php"]
                .map(str::to_owned)
                .into()
        );
    }
}

/// So that the test above shows something: without what the executor does, it is stale.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_only_is_replaced_leaves_the_old_code() {
    let lab = php();
    for number in [1, 2] {
        let artifact = lab.files(&[
            ("public/index.php", &page("x")),
            ("lib.php", &lib(&number.to_string())),
        ]);
        lab.deploy(&app(number), &artifact).await.unwrap();
    }
    assert_eq!(lab.visit("/").1, "x 2");
    let current = lab.path("current");
    std::fs::remove_file(&current).unwrap();
    std::os::unix::fs::symlink(lab.path(&format!("releases/1-{COMMIT}")), &current).unwrap();
    assert_eq!(lab.visit("/").1, "x 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_does_not_run_is_taken_back_for_visitors_too() {
    let lab = php();
    let artifact = lab.files(&[("public/index.php", &page("one")), ("lib.php", &lib("one"))]);
    lab.deploy(&app(1), &artifact).await.unwrap();
    let broken = lab.files(&[("public/index.php", "<?php http_response_code(500);")]);
    let verdict = expect_verdict(lab.deploy(&impatient(app(2)), &broken).await);
    assert_eq!(verdict.code, VerdictCode::Unhealthy);
    assert!(verdict.message.contains("500"), "{verdict}");
    assert_eq!(lab.visit("/"), (200, "one one".to_owned()));
    assert_eq!(lab.executor.current(&app(1).slug).await.unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_there_is_told_before_the_switch() {
    let lab = Lab::with(|site| site.php = Some("8.9".to_owned()));
    let artifact = lab.files(&[("index.php", "<?php echo 1;")]);
    let verdict = expect_verdict(lab.deploy(&app(1), &artifact).await);
    assert_eq!(verdict.code, VerdictCode::ConfigInvalid);
    assert!(verdict.message.contains("ea-php74, ea-php82"), "{verdict}");
    assert!(!lab.path("current").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_stays_old_is_told_and_the_old_release_stays() {
    let lab = php();
    let artifact = lab.files(&[("public/index.php", &page("one")), ("lib.php", &lib("one"))]);
    lab.deploy(&app(1), &artifact).await.unwrap();
    let next = impatient(app(2));
    lab.executor
        .prepare(&next, &artifact, &context())
        .await
        .unwrap();
    // As where a cache that nobody can reach has it.
    let release = lab.path(&format!("releases/2-{COMMIT}/public/deployr-release.php"));
    std::fs::write(&release, "<?php echo 'rel_other';").unwrap();
    let verdict = expect_verdict(
        lab.executor
            .switch(&next, Turn::new(2, 1), &context())
            .await,
    );
    assert!(
        verdict.message.contains("it still gives another release"),
        "{verdict}"
    );
    assert!(verdict.message.contains("opcache"), "{verdict}");
    assert_eq!(lab.executor.current(&next.slug).await.unwrap(), Some(1));
}
