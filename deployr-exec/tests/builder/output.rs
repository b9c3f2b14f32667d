use std::fs;
use std::os::unix::fs::PermissionsExt;

use deployr_core::builder::Builder;
use deployr_core::error::{StepError, VerdictCode};
use deployr_core::model::Runtime;
use deployr_core::value::{BuildCommand, Framework, OutputDir, RelPath};

use crate::support::{Bed, folder};

#[tokio::test]
async fn an_output_that_leads_out_is_refused() {
    let bed = Bed::new();
    for (line, named) in [
        ("ln -s /etc out", "`out`"),
        ("ln -s ../home out", "`out`"),
        ("mkdir -p out/a; ln -s /etc/passwd out/a/link", "`a/link`"),
        (
            "mkdir -p out/a; ln -s ../../package.json out/a/link; touch package.json",
            "`a/link`",
        ),
        ("mkdir -p out/a; ln -s ../../gone out/a/link", "`a/link`"),
        // Inside as it is written, outside as it is followed.
        (
            "mkdir -p out/a/b; ln -s ../.. out/a/b/up; ln -s up/../../gone out/a/b/link",
            "`a/b/link`",
        ),
    ] {
        let verdict = bed.refused(&[line]).await;
        assert_eq!(
            verdict.code,
            VerdictCode::OutputEscapes,
            "{line}: {verdict}"
        );
        assert!(verdict.message.contains(named), "{line}: {verdict}");
    }
    for line in [
        "mkdir real; ln -s real out",
        "mkdir -p out/a; touch out/f; ln -s ../f out/a/link; ln -s a out/b",
        "mkdir -p out/a; ln -s ../gone out/a/link",
    ] {
        bed.build(&[line])
            .await
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[tokio::test]
async fn an_output_that_is_not_there_is_named_with_what_is() {
    let bed = Bed::new();
    let verdict = bed.refused(&["mkdir build; touch a-file"]).await;
    assert_eq!(verdict.code, VerdictCode::OutputMissing);
    assert!(verdict.message.contains("`out` is not there"), "{verdict}");
    assert!(verdict.message.contains("a-file, build"), "{verdict}");
    let verdict = bed.refused(&["touch out"]).await;
    assert!(
        verdict.message.contains("`out` is not a folder"),
        "{verdict}"
    );
}

#[tokio::test]
async fn a_static_build_is_searched_for_what_it_wrote() {
    let bed = Bed::new();
    let workspace = bed.workspace().await;
    let mut spec = bed.spec(
        &workspace,
        &["mkdir -p _site dist; touch dist/x _site/index.html"],
    );
    spec.recipe.framework = Framework::parse("node-static").unwrap();
    spec.recipe.output = OutputDir::parse(".").unwrap();
    let artifact = bed.builder.build(&spec, &bed.ctx).await.unwrap();
    assert_eq!(folder(&artifact), workspace.checkout.join("_site"));

    // What was there before the build is not what it made.
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    spec.recipe.commands = vec![BuildCommand::parse("true").unwrap()];
    match bed.builder.build(&spec, &bed.ctx).await {
        Err(StepError::Verdict(verdict)) => {
            assert_eq!(verdict.code, VerdictCode::OutputMissing);
            assert!(
                verdict.message.contains("dist, build, out, public, _site"),
                "{verdict}"
            );
        }
        other => panic!("{other:?}"),
    }

    spec.recipe.runtime = Runtime::Process {
        start: BuildCommand::parse("./serve").unwrap(),
    };
    let artifact = bed.builder.build(&spec, &bed.ctx).await.unwrap();
    assert_eq!(
        folder(&artifact),
        workspace.checkout,
        "a process gets the whole checkout"
    );
}

#[tokio::test]
async fn the_digest_is_that_of_the_content() {
    let base = "mkdir -p out/b out/a; echo 1 > out/a/x; echo 2 > out/b/y; ln -s a/x out/link";
    let first = Bed::new().build(&[base]).await.unwrap();
    assert!(
        first.digest.starts_with("sha256:") && first.digest.len() == 71,
        "{}",
        first.digest
    );
    assert_eq!(first.bytes, 4);
    let other_order = "mkdir out; ln -s a/x out/link; mkdir out/a out/b; echo 2 > out/b/y; \
        echo 1 > out/a/x; touch -d 2001-01-01 out/a/x; chmod 600 out/a/x; mkfifo out/pipe; \
        mkdir -p out/.git; echo x > out/.git/config";
    let same = Bed::new().build(&[other_order]).await.unwrap();
    assert_eq!(same.digest, first.digest);
    assert!(
        !folder(&same).join(".git").exists(),
        "no history in a release"
    );
    for change in [
        "echo 3 > out/a/x",
        "chmod +x out/a/x",
        "mv out/a/x out/a/z",
        "ln -sf b/y out/link",
        "rm out/link; echo 1 > out/link",
        "mkdir out/c",
    ] {
        let changed = Bed::new().build(&[base, change]).await.unwrap();
        assert_ne!(changed.digest, first.digest, "{change}");
    }
}

#[tokio::test]
async fn commands_run_in_the_apps_folder_and_the_output_is_below_it() {
    let bed = Bed::new();
    let workspace = bed.workspace().await;
    fs::create_dir_all(workspace.checkout.join("apps/web")).unwrap();
    let mut spec = bed.spec(&workspace, &["mkdir out; pwd > out/pwd"]);
    spec.recipe.root = Some(RelPath::parse("apps/web").unwrap());
    let artifact = bed.builder.build(&spec, &bed.ctx).await.unwrap();
    let here = workspace.checkout.join("apps/web");
    assert_eq!(
        fs::read_to_string(here.join("out/pwd")).unwrap().trim(),
        here.to_str().unwrap()
    );
    assert_eq!(folder(&artifact), here.join("out"));

    // A command that puts a link in place of the folder does not lead the next out.
    spec.recipe.commands = ["cd ../..; rm -r apps/web; ln -s /etc apps/web", "pwd"]
        .map(|line| BuildCommand::parse(line).unwrap())
        .to_vec();
    match bed.builder.build(&spec, &bed.ctx).await {
        Err(StepError::Verdict(verdict)) => {
            assert!(
                verdict.message.contains("leads out of the checkout"),
                "{verdict}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        fs::metadata(bed.root()).unwrap().permissions().mode() & 0o077,
        0
    );
}
