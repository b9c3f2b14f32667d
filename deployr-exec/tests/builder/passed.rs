use std::fs;
use std::process::Command;

use deployr_exec::local::build::LocalBuilder;

use crate::support::{Bed, folder};

/// What the engine of these tests has in its environment, in a process of its own.
const ENGINE: &str = "DEPLOYR_TEST_ENGINE";

/// Runs the rest of the test called `name` in an engine behind a proxy, with a
/// certificate of its own in a folder that builds may not read otherwise.
async fn behind_a_proxy(name: &str, check: impl AsyncFnOnce()) {
    if std::env::var_os(ENGINE).is_some() {
        return check().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mine, other) = (folder.path().join("ca.pem"), folder.path().join("key.pem"));
    fs::write(&mine, "certificate").unwrap();
    fs::write(other, "key").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .envs([
            (ENGINE, "1"),
            ("DEPLOYR_KEYS", "canary"),
            ("OF_THE_HOST", "canary"),
        ])
        .envs([
            ("HTTPS_PROXY", "http://proxy.test:3128"),
            ("no_proxy", "a.test,b.test"),
        ])
        .env("NODE_EXTRA_CA_CERTS", mine)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("1 passed"), "{text}\n{error}");
}

#[tokio::test]
async fn what_a_build_must_know_of_the_network_is_passed_on() {
    let name = "passed::what_a_build_must_know_of_the_network_is_passed_on";
    behind_a_proxy(name, async || {
        let bed = Bed::new();
        let lines = [
            "mkdir out; env > out/env; cat \"$NODE_EXTRA_CA_CERTS\" > out/ca",
            "cat \"${NODE_EXTRA_CA_CERTS%/*}/key.pem\" > out/key || true",
        ];
        let artifact = bed.build(&lines).await.unwrap();
        let read = |name| fs::read_to_string(folder(&artifact).join(name)).unwrap();
        let env = read("env");
        assert!(
            env.contains("HTTPS_PROXY=http://proxy.test:3128\n"),
            "{env}"
        );
        assert!(env.contains("no_proxy=a.test,b.test\n"), "{env}");
        assert!(!env.contains("canary"), "{env}");
        assert_eq!(read("ca"), "certificate");
        assert_eq!(read("key"), "", "what lies beside it is as closed as ever");
    })
    .await;
}

#[tokio::test]
async fn only_what_is_named_is_passed_on() {
    let name = "passed::only_what_is_named_is_passed_on";
    behind_a_proxy(name, async || {
        let none: [&str; 0] = [];
        let bed = Bed::with(|builder: LocalBuilder| builder.pass_env(none));
        let env = bed.output(&["mkdir out; env > out/env"], "env").await;
        assert!(
            !env.contains("proxy.test") && !env.contains("NODE_EXTRA"),
            "{env}"
        );

        let names = ["OF_THE_HOST", "DEPLOYR_KEYS", "NOT_SET"];
        let bed = Bed::with(|builder| builder.pass_env(names));
        let env = bed.output(&["mkdir out; env > out/env"], "env").await;
        assert!(env.contains("OF_THE_HOST=canary\n"), "{env}");
        assert!(
            !env.contains("proxy.test") && !env.contains("DEPLOYR_KEYS"),
            "{env}"
        );
        assert!(!env.contains("NOT_SET"), "{env}");
    })
    .await;
}
