use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deployr_core::context::StepContext;
use deployr_core::error::StepResult;
use deployr_core::executor::{Endpoint, Executor, ReleaseSpec};
use deployr_core::model::{ProjectId, ReleaseId, Turn};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::RecordedStep;
use deployr_core::testing::executor::{Serves, Site};
use deployr_core::testing::ingress::http_get;
use deployr_core::value::{CommitId, EnvSet, Slug};
use deployr_exec::local::Sandbox;
use deployr_exec::local::run::LocalExecutor;
use tempfile::TempDir;

use crate::support::{
    assert_says, elsewhere, fault, fill, held_to_modes, mode, names, on_a_disk, remount,
};

const NO_ROOM: &str = "free some space";

/// A project on a target that has one release, which serves `one`.
struct Target {
    executor: LocalExecutor,
    base: PathBuf,
    work: TempDir,
    live: Endpoint,
}

impl Target {
    async fn new(root: &Path, serves: Serves) -> Self {
        let program = std::env::current_exe().unwrap();
        let sandbox = Sandbox::new().tool_dirs(program.parent());
        let mut target = Self {
            executor: LocalExecutor::new(root).sandbox(sandbox),
            base: root.join("shop"),
            work: elsewhere(),
            live: Endpoint::Folder {
                path: PathBuf::new(),
                single_page: false,
            },
        };
        target.live = target.deploy(1, serves, "one").await.unwrap();
        target
    }

    fn release(&self, number: i64, serves: Serves, text: &str) -> (ReleaseSpec, Site) {
        let folder = self.work.path().join(number.to_string());
        let site = Site::in_folder(&folder, serves, text);
        let now = SystemClock.now();
        let spec = ReleaseSpec {
            project: ProjectId::new(now, &SystemEntropy),
            slug: slug(),
            release: ReleaseId::new(now, &SystemEntropy),
            number,
            commit: CommitId::parse("0".repeat(40)).unwrap(),
            recipe: site.recipe.clone(),
            env: EnvSet::new(),
        };
        (spec, site)
    }

    async fn deploy(&self, number: i64, serves: Serves, text: &str) -> StepResult<Endpoint> {
        let (spec, site) = self.release(number, serves, text);
        let ctx = context();
        self.executor.prepare(&spec, &site.artifact, &ctx).await?;
        let endpoint = self.executor.start(&spec, &ctx).await?;
        self.executor.verify(&spec, &endpoint, &ctx).await?;
        self.executor
            .switch(&spec, Turn::new(number, 1), &ctx)
            .await?;
        Ok(endpoint)
    }

    /// The first release is the present one and serves, and no other has left anything.
    async fn assert_untouched(&self) {
        let present = self.executor.current(&slug()).await.unwrap();
        assert_eq!(present, Some(1));
        assert_eq!(self.text().await, "one");
        assert_eq!(names(&self.base.join("releases")), ["1"]);
        let of_others = |name: &String| name.ends_with(".tmp") || name.ends_with(".new");
        let left: Vec<String> = names(&self.base).into_iter().filter(of_others).collect();
        assert_eq!(left, [""; 0]);
    }

    async fn text(&self) -> String {
        match self.live.clone() {
            Endpoint::Http { address } => {
                let get = move || http_get(address, "shop");
                tokio::task::spawn_blocking(get).await.unwrap().unwrap()
            }
            Endpoint::Folder { path, .. } => fs::read_to_string(path.join("index.html")).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn stop(self) {
        self.executor.shutdown(Duration::ZERO).await.unwrap();
    }
}

fn slug() -> Slug {
    Slug::parse("shop").unwrap()
}

fn context() -> StepContext {
    RecordedStep::new().ctx
}

#[test]
fn a_release_that_does_not_fit_leaves_nothing() {
    let name = "executor::a_release_that_does_not_fit_leaves_nothing";
    on_a_disk(name, "size=4m", async |disk| {
        for serves in [Serves::Files, Serves::Process] {
            let target = Target::new(&disk.join(format!("{serves:?}")), serves).await;
            let large = "x".repeat(8 << 20);
            for _ in 0..2 {
                assert_says(target.deploy(2, serves, &large).await, NO_ROOM);
                target.assert_untouched().await;
            }
            // What was freed is enough for one that fits.
            target.deploy(3, serves, "three").await.unwrap();
            target.stop().await;
        }
    });
}

#[test]
fn a_disk_that_is_full_to_the_last_byte_changes_nothing() {
    let name = "executor::a_disk_that_is_full_to_the_last_byte_changes_nothing";
    on_a_disk(name, "size=4m", async |disk| {
        for serves in [Serves::Files, Serves::Process] {
            let root = disk.join(format!("{serves:?}"));
            let target = Target::new(&root, serves).await;
            let (spec, site) = target.release(2, serves, "two");
            let (executor, ctx) = (&target.executor, context());
            let filler = fill(disk);
            assert_says(executor.prepare(&spec, &site.artifact, &ctx).await, NO_ROOM);
            target.assert_untouched().await;

            fs::remove_file(&filler).unwrap();
            executor.prepare(&spec, &site.artifact, &ctx).await.unwrap();
            fill(disk);
            if serves == Serves::Process {
                assert_says(executor.start(&spec, &ctx).await, NO_ROOM);
                assert_eq!(executor.status(&slug()).len(), 1, "only the live one runs");
            }
            assert_says(executor.switch(&spec, Turn::new(2, 1), &ctx).await, NO_ROOM);
            executor.discard(&slug(), 2).await.unwrap();
            target.assert_untouched().await;

            fs::remove_file(&filler).unwrap();
            target.deploy(3, serves, "three").await.unwrap();
            target.stop().await;
        }
    });
}

#[test]
fn a_disk_without_room_for_names_is_full_too() {
    let name = "executor::a_disk_without_room_for_names_is_full_too";
    on_a_disk(name, "size=4m,nr_inodes=64", async |disk| {
        let target = Target::new(&disk.join("sites"), Serves::Files).await;
        let (spec, site) = target.release(2, Serves::Files, "two");
        for n in 0..100 {
            fs::write(target.work.path().join(format!("2/{n}")), "").unwrap();
        }
        let (executor, ctx) = (&target.executor, context());
        assert_says(executor.prepare(&spec, &site.artifact, &ctx).await, NO_ROOM);
        target.assert_untouched().await;
        target.deploy(3, Serves::Files, "three").await.unwrap();
    });
}

#[test]
fn a_disk_that_may_only_be_read_changes_nothing() {
    let name = "executor::a_disk_that_may_only_be_read_changes_nothing";
    on_a_disk(name, "size=4m", async |disk| {
        let target = Target::new(&disk.join("sites"), Serves::Files).await;
        remount(disk, "ro");
        let answer = target.deploy(2, Serves::Files, "two").await;
        assert_says(answer, "mount it so that it can be written to");
        target.assert_untouched().await;
        remount(disk, "rw");
        target.deploy(2, Serves::Files, "two").await.unwrap();
    });
}

#[test]
fn a_folder_of_somebody_elses_changes_nothing() {
    held_to_modes(async |folder| {
        const LET_IN: &str = "give the user that the engine runs as access";
        let closed = folder.join("closed");
        fs::create_dir(&closed).unwrap();
        mode(&closed, 0o555);
        let never = Target {
            executor: LocalExecutor::new(closed.join("sites")),
            base: closed.join("sites/shop"),
            work: elsewhere(),
            live: Endpoint::Folder {
                path: PathBuf::new(),
                single_page: false,
            },
        };
        assert_says(never.deploy(1, Serves::Files, "one").await, LET_IN);
        assert_eq!(names(&closed), [""; 0]);

        for serves in [Serves::Files, Serves::Process] {
            let target = Target::new(&folder.join(format!("{serves:?}")), serves).await;
            let releases = target.base.join("releases");
            mode(&releases, 0o555);
            assert_says(target.deploy(2, serves, "two").await, LET_IN);
            target.assert_untouched().await;
            mode(&releases, 0o755);

            let (spec, site) = target.release(3, serves, "three");
            let (executor, ctx) = (&target.executor, context());
            executor.prepare(&spec, &site.artifact, &ctx).await.unwrap();
            mode(&target.base, 0o555);
            assert_says(executor.switch(&spec, Turn::new(3, 1), &ctx).await, LET_IN);
            mode(&target.base, 0o755);
            mode(&releases, 0o555);
            let kept = fault(executor.discard(&slug(), 3).await);
            assert!(kept.reason.contains(LET_IN), "{kept}");
            mode(&releases, 0o755);
            executor.discard(&slug(), 3).await.unwrap();
            target.assert_untouched().await;

            target.deploy(4, serves, "four").await.unwrap();
            target.stop().await;
        }
        mode(&closed, 0o755);
    });
}
