use std::fs;
use std::path::Path;

use deployr_core::builder::Builder;
use deployr_exec::local::{Confinement, Sandbox};
use tempfile::TempDir;

use crate::support::{Bed, put};

/// Runs the line in a build and gives what it printed and its status.
async fn attempt(bed: &Bed, line: &str) -> (String, bool) {
    let line = format!("mkdir out; ({line}) > out/said 2>&1; echo $? > out/code");
    let said = bed.output(&[&line], "said").await;
    let code = bed
        .root()
        .join("work")
        .join(bed.marker())
        .join("checkout/out/code");
    (said, fs::read_to_string(code).unwrap().trim() == "0")
}

/// The tests here mean nothing on a kernel that does not confine.
fn assert_confined() {
    let confinement = Sandbox::new().confinement();
    assert!(
        matches!(confinement, Confinement::Landlock { .. }),
        "{confinement:?}"
    );
}

#[tokio::test]
async fn a_build_reads_and_writes_only_what_is_its_own() {
    assert_confined();
    let bed = Bed::new();
    let outside = TempDir::new().unwrap();
    let outside = outside.path().display();
    put(&bed.data.path().join("deployr.db"), "canary");
    put(&bed.root().join("work/other-1/checkout/source"), "canary");
    put(&bed.root().join("cache/prj_other/npm/x"), "canary");
    let (data, root) = (bed.data.path().display(), bed.root());
    let root = root.display();
    let engine = std::process::id();

    for line in [
        format!("echo x > {outside}/written"),
        format!("mkdir {outside}/made"),
        format!("cat {data}/deployr.db"),
        format!("ls {data}"),
        format!("cat {root}/work/other-1/checkout/source"),
        format!("cat {root}/cache/prj_other/npm/x"),
        format!("rm {root}/work/other-1/checkout/source"),
        format!("ln {data}/deployr.db out/linked"),
        format!("cat /proc/{engine}/environ"),
        format!("cat /proc/{engine}/root{data}/deployr.db"),
        format!("kill -0 {engine}"),
        "echo x >> /etc/hostname".to_owned(),
        "echo x > /usr/written".to_owned(),
        "ls /root".to_owned(),
        "cat /etc/shadow".to_owned(),
        "ls /etc/ssh /etc/ssl/private".to_owned(),
        format!("head -c 1 {}", a_disk().display()),
        "mount -t tmpfs none out".to_owned(),
        "grep CapEff: /proc/self/status | grep -v '\\b0*$'".to_owned(),
    ] {
        let (said, worked) = attempt(&bed, &line).await;
        assert!(
            !worked && !said.contains("canary"),
            "`{line}` worked: {said}"
        );
    }
    for line in [
        "ls /usr/bin > /dev/null",
        "cat /etc/passwd > /dev/null",
        "head -c 1 /dev/urandom > /dev/null",
        "cat /proc/self/status > /dev/null",
        "echo x > \"$HOME/x\" && mktemp && mv \"$HOME/x\" moved",
        "mkdir -p \"$npm_config_cache\" && echo x > \"$npm_config_cache/x\" && ln \"$npm_config_cache/x\" hard",
        "node -e 'require(\"os\").cpus()' && npm --version",
    ] {
        let (said, worked) = attempt(&bed, line).await;
        assert!(worked, "`{line}` failed: {said}");
    }
}

/// A device with the files of this host. Root reads it past all of their modes.
fn a_disk() -> std::path::PathBuf {
    use std::os::unix::fs::FileTypeExt;
    let mut entries = fs::read_dir("/dev").unwrap().flatten();
    let disk = entries.find(|entry| entry.file_type().unwrap().is_block_device());
    disk.map_or("/dev/sda".into(), |disk| disk.path())
}

#[tokio::test]
async fn tool_dirs_can_be_read_and_not_written_to() {
    assert_confined();
    let tools = TempDir::new().unwrap();
    put(&tools.path().join("tool"), "a tool");
    let sandbox = Sandbox::new().tool_dirs([tools.path()]);
    let bed = Bed::with(|builder| builder.sandbox(sandbox));
    let tool = tools.path().join("tool");
    assert_eq!(
        attempt(&bed, &format!("cat {}", tool.display())).await,
        ("a tool".to_owned(), true)
    );
    let (said, worked) = attempt(&bed, &format!("echo x > {}", tool.display())).await;
    assert!(!worked, "{said}");
}

/// What a build reads, in a system folder and below one of it that is the engine's.
async fn read_beside(outer: &Path, sandbox: Sandbox) -> (String, String) {
    let data = outer.join("lib/data");
    put(&outer.join("lib/tool"), "a tool");
    put(&outer.join("bin/tool"), "a tool");
    put(&data.join("deployr.db"), "canary");
    let bed = Bed::with(|builder| builder.sandbox(sandbox));
    let outer = outer.display();
    let (tools, _) = attempt(&bed, &format!("cat {outer}/lib/tool {outer}/bin/tool")).await;
    let (data, _) = attempt(
        &bed,
        &format!("cat {outer}/lib/data/deployr.db; ls {outer}/lib/data"),
    )
    .await;
    (tools, data)
}

#[tokio::test]
async fn private_folders_are_left_out_of_readable_ones_and_of_tool_dirs() {
    assert_confined();
    let outer = TempDir::new().unwrap();
    for (sandbox, how) in [
        (Sandbox::new().tool_dirs([outer.path()]), "a tool dir"),
        (readable_too(outer.path()), "a readable folder"),
    ] {
        let (tools, data) = read_beside(
            outer.path(),
            sandbox.clone().private([outer.path().join("lib/data")]),
        )
        .await;
        assert_eq!(tools, "a toola tool", "{how}");
        assert!(
            !data.contains("canary") && data.contains("denied"),
            "{how}: {data}"
        );
        let (_, data) = read_beside(outer.path(), sandbox).await;
        assert!(
            data.contains("canary"),
            "{how}: it is private because it is said to be: {data}"
        );
    }
}

/// The system, and one folder more.
fn readable_too(folder: &Path) -> Sandbox {
    let system = Sandbox::READABLE.iter().map(Path::new);
    Sandbox::new().readable(system.chain([folder]))
}

#[tokio::test]
async fn the_builders_own_folder_is_private_wherever_it_lies() {
    assert_confined();
    let outer = TempDir::new().unwrap();
    let mut bed = Bed::new();
    bed.data = TempDir::new_in(outer.path()).unwrap();
    bed.builder = deployr_exec::local::build::LocalBuilder::new(bed.root())
        .sandbox(readable_too(outer.path()));
    put(&bed.root().join("cache/prj_other/npm/x"), "canary");
    let (said, worked) = attempt(
        &bed,
        &format!("cat {}/cache/prj_other/npm/x", bed.root().display()),
    )
    .await;
    assert!(!worked && !said.contains("canary"), "{said}");
}

#[tokio::test]
async fn the_readable_list_can_be_replaced() {
    assert_confined();
    let system = Sandbox::READABLE
        .iter()
        .filter(|path| !path.starts_with("/etc/"));
    let bed = Bed::with(|builder| builder.sandbox(Sandbox::new().readable(system)));
    let (said, worked) = attempt(&bed, "cat /etc/passwd").await;
    assert!(!worked, "{said}");
}

#[tokio::test]
async fn the_tools_of_builds_work() {
    assert_confined();
    let bed = Bed::new();
    for line in [
        "node -e 'require(\"dns\").lookup(\"localhost\", (error) => process.exit(error ? 1 : 0))'",
        "npm init -y && npm install --offline --no-audit",
        "git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git log",
        "id -un && date && getent hosts localhost",
    ] {
        let (said, worked) = attempt(&bed, line).await;
        assert!(worked, "`{line}` failed: {said}");
    }
}

#[tokio::test]
async fn a_builder_that_does_not_confine_says_so_in_the_log() {
    let bed = Bed::with(|builder| builder.sandbox(Sandbox::new().confine(false)));
    bed.build(&["mkdir out"]).await.unwrap();
    let log = bed.log().await;
    assert!(log[0].starts_with("builds are not confined: "), "{log:?}");
    assert_eq!(bed.builder.name(), "local");
}
