//! The corpus's paths as the output of a build, and as names in it.

use std::fs;
use std::os::unix::fs::symlink;

use deployr_core::builder::{Builder, Workspace};
use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::value::{OutputDir, RelPath};

use crate::corpus;
use crate::support::{Bed, folder, put};

/// The folder that a build whose output is `path` gives.
async fn output(
    bed: &Bed,
    workspace: &Workspace,
    path: &RelPath,
) -> StepResult<std::path::PathBuf> {
    let mut spec = bed.spec(workspace, &[]);
    spec.recipe.output = OutputDir::parse(path).unwrap();
    let artifact = bed.builder.build(&spec, &bed.ctx).await?;
    Ok(folder(&artifact))
}

#[tokio::test]
async fn an_output_that_is_accepted_is_found_where_it_says() {
    let bed = Bed::new();
    let workspace = bed.workspace().await;
    for path in corpus::accepted() {
        let there = path.under(&workspace.checkout);
        put(&there.join("index.html"), path.as_str());
        let found = output(&bed, &workspace, &path).await;
        assert_eq!(found.unwrap(), there, "{path}");
    }
}

#[tokio::test]
async fn an_output_that_is_accepted_and_leads_out_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    put(&outside.path().join("id_ed25519"), "secret");
    for path in corpus::accepted() {
        // The last part is a link, or the first is, and has what is below it.
        let first = path.as_path().components().next().unwrap();
        for part in [path.as_path(), first.as_ref()] {
            let bed = Bed::new();
            let workspace = bed.workspace().await;
            let link = workspace.checkout.join(part);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(outside.path(), &link).unwrap();
            fs::create_dir_all(path.under(&workspace.checkout)).unwrap();
            match output(&bed, &workspace, &path).await {
                Err(StepError::Verdict(verdict)) => {
                    assert_eq!(
                        verdict.code,
                        VerdictCode::OutputEscapes,
                        "{path}: {verdict}"
                    );
                }
                other => panic!("{path}, with {part:?} as a link: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_file_of_any_name_is_a_part_of_the_output() {
    let bed = Bed::new();
    let workspace = bed.workspace().await;
    let names = corpus::file_names();
    for name in &names {
        put(&workspace.checkout.join("out").join(name), name);
    }
    let path = RelPath::parse("out").unwrap();
    let found = output(&bed, &workspace, &path).await.unwrap();
    for name in &names {
        assert_eq!(&fs::read_to_string(found.join(name)).unwrap(), name);
    }
}
