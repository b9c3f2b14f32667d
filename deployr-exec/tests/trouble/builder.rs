use std::fs;
use std::path::Path;
use std::time::Duration;

use deployr_core::builder::{BuildSpec, Builder, Workspace};
use deployr_core::error::{StepError, VerdictCode};
use deployr_core::model::{HealthCheck, ProjectId, Recipe, Runtime};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::RecordedStep;
use deployr_core::value::{BuildCommand, EnvSet, Framework, OutputDir};
use deployr_exec::local::build::LocalBuilder;

use crate::support::{assert_says, fill, held_to_modes, mode, names, on_a_disk, remount};

const NO_ROOM: &str = "free some space";

fn spec(workspace: &Workspace, line: &str) -> BuildSpec {
    BuildSpec {
        project: ProjectId::new(SystemClock.now(), &SystemEntropy),
        workspace: workspace.clone(),
        recipe: Recipe {
            framework: Framework::parse("custom").unwrap(),
            root: None,
            commands: vec![BuildCommand::parse(line).unwrap()],
            output: OutputDir::parse("out").unwrap(),
            runtime: Runtime::Static { single_page: false },
            health: HealthCheck::default(),
            shared: Vec::new(),
            writable: Vec::new(),
            on_target: Default::default(),
            images: Default::default(),
        },
        env: EnvSet::new(),
        timeout: Duration::from_secs(60),
    }
}

/// A whole build, from an empty workspace to none.
async fn assert_builds(builder: &LocalBuilder) {
    let step = RecordedStep::new();
    let workspace = builder.prepare(&step.ctx).await.unwrap();
    let spec = spec(&workspace, "mkdir out; echo hi > out/index.html");
    let artifact = builder.build(&spec, &step.ctx).await.unwrap();
    assert_eq!(artifact.bytes, 3);
    builder.clean(&workspace).await.unwrap();
}

fn assert_nothing_left(root: &Path) {
    for folder in ["work", "lock"] {
        let path = root.join(folder);
        let left = if path.exists() {
            names(&path)
        } else {
            Vec::new()
        };
        assert_eq!(left, [""; 0], "in {folder}");
    }
}

#[test]
fn a_build_that_fills_the_disk_is_told_so() {
    let name = "builder::a_build_that_fills_the_disk_is_told_so";
    on_a_disk(name, "size=6m", async |disk| {
        let builder = LocalBuilder::new(disk.join("builds"));
        let step = RecordedStep::new();
        let workspace = builder.prepare(&step.ctx).await.unwrap();
        let spec = spec(&workspace, "mkdir out; head -c 16000000 /dev/zero > out/x");
        match builder.build(&spec, &step.ctx).await {
            Err(StepError::Verdict(verdict)) if verdict.code == VerdictCode::DiskFull => {
                assert!(verdict.message.contains(NO_ROOM), "{verdict}");
            }
            other => panic!("must be the verdict `disk_full`, not {other:?}"),
        }
        builder.clean(&workspace).await.unwrap();
        assert_nothing_left(&disk.join("builds"));
        assert_builds(&builder).await;
    });
}

#[test]
fn a_full_disk_is_a_fault_before_the_build() {
    let name = "builder::a_full_disk_is_a_fault_before_the_build";
    on_a_disk(name, "size=4m,nr_inodes=40", async |disk| {
        let builder = LocalBuilder::new(disk.join("builds"));
        assert_builds(&builder).await;
        let step = RecordedStep::new();
        let workspace = builder.prepare(&step.ctx).await.unwrap();
        let filler = disk.join("files");
        fs::create_dir(&filler).unwrap();
        while fs::write(filler.join(names(&filler).len().to_string()), "").is_ok() {}
        for _ in 0..2 {
            assert_says(builder.prepare(&RecordedStep::new().ctx).await, NO_ROOM);
        }
        // A new project, whose cache cannot be made.
        let begun = builder
            .build(&spec(&workspace, "mkdir out"), &step.ctx)
            .await;
        assert_says(begun, NO_ROOM);
        builder.clean(&workspace).await.unwrap();
        fs::remove_dir_all(&filler).unwrap();
        assert_nothing_left(&disk.join("builds"));
        fill(disk);
        let prepared = builder.prepare(&RecordedStep::new().ctx).await;
        builder.clean(&prepared.unwrap()).await.unwrap();
        assert_nothing_left(&disk.join("builds"));
    });
}

#[test]
fn a_disk_that_may_only_be_read_is_a_fault() {
    let name = "builder::a_disk_that_may_only_be_read_is_a_fault";
    on_a_disk(name, "size=4m", async |disk| {
        let builder = LocalBuilder::new(disk.join("builds"));
        remount(disk, "ro");
        let prepared = builder.prepare(&RecordedStep::new().ctx).await;
        assert_says(prepared, "mount it so that it can be written to");
        remount(disk, "rw");
        assert_nothing_left(&disk.join("builds"));
        assert_builds(&builder).await;
    });
}

#[test]
fn a_folder_of_somebody_elses_is_a_fault() {
    held_to_modes(async |folder| {
        const LET_IN: &str = "give the user that the engine runs as access";
        let root = folder.join("builds");
        let builder = LocalBuilder::new(&root);
        mode(folder, 0o555);
        assert_says(builder.prepare(&RecordedStep::new().ctx).await, LET_IN);
        mode(folder, 0o755);
        assert_builds(&builder).await;

        let work = root.join("work");
        mode(&work, 0o555);
        assert_says(builder.prepare(&RecordedStep::new().ctx).await, LET_IN);
        mode(&work, 0o755);
        assert_nothing_left(&root);

        let step = RecordedStep::new();
        let workspace = builder.prepare(&step.ctx).await.unwrap();
        mode(&work, 0o555);
        assert_says(builder.clean(&workspace).await, LET_IN);
        // Later, when somebody has done what it says.
        mode(&work, 0o755);
        builder.clean(&workspace).await.unwrap();
        assert_nothing_left(&root);
        assert_builds(&builder).await;
    });
}
