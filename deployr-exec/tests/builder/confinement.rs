use std::fs;

use deployr_core::builder::Builder;
use deployr_exec::local::build::Confinement;
use tempfile::TempDir;

use crate::support::{Bed, confined, put};

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

#[tokio::test]
async fn a_build_reads_and_writes_only_what_is_its_own() {
    let bed = Bed::new();
    assert!(
        confined(&bed.builder),
        "no Landlock on this kernel: {:?}",
        bed.builder.confinement()
    );
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

#[tokio::test]
async fn tool_dirs_can_be_read_and_not_written_to() {
    let tools = TempDir::new().unwrap();
    put(&tools.path().join("tool"), "a tool");
    let path = tools.path().to_owned();
    let bed = Bed::with(|builder| builder.tool_dirs([path]));
    let tool = tools.path().join("tool");
    assert_eq!(
        attempt(&bed, &format!("cat {}", tool.display())).await,
        ("a tool".to_owned(), true)
    );
    if confined(&bed.builder) {
        assert!(
            !attempt(&bed, &format!("echo x > {}", tool.display()))
                .await
                .1
        );
    }
}

#[tokio::test]
async fn a_tool_dir_that_holds_the_engines_data_is_left_out() {
    let outer = TempDir::new().unwrap();
    put(&outer.path().join("data/deployr.db"), "canary");
    let mut bed = Bed::new();
    let root = outer.path().join("data");
    bed.builder = deployr_exec::local::build::LocalBuilder::new(&root).tool_dirs([outer.path()]);
    if confined(&bed.builder) {
        let line = format!(
            "mkdir out; cat {}/deployr.db > out/said || true",
            root.display()
        );
        assert_eq!(bed.output(&[&line], "said").await, "");
    }
}

#[tokio::test]
async fn a_builder_that_does_not_confine_says_so_in_the_log() {
    let bed = Bed::with(|builder| builder.confine(false));
    assert!(matches!(
        bed.builder.confinement(),
        Confinement::None { .. }
    ));
    bed.build(&["mkdir out"]).await.unwrap();
    let log = bed.log().await;
    assert!(log[0].starts_with("builds are not confined: "), "{log:?}");
    assert_eq!(bed.builder.name(), "local");
}
