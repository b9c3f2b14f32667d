//! What a release is given: variables, secrets, limits, a place.

use deployr_core::executor::Executor;
use deployr_exec::docker::RunLimits;

use crate::support::{SERVER, Target, deploy, get, set, spec};

/// Templates of Swarm among them, which it would fill in.
const AWKWARD: &str = "a b\t'c' \"d\" $HOME `id` $(id) \\n {{.Node.ID}} {{{x}}} {{- \"y\" -}} {{/* z */}}\nline 2 é ✓;&|<>*?#~!";

#[tokio::test(flavor = "multi_thread")]
async fn values_arrive_byte_for_byte() {
    let target = Target::new();
    let line = format!("printf %s \"$AWKWARD\" >/tmp/index.html; cd /tmp; {SERVER}");
    let mut app = spec(1, &line);
    set(&mut app, "AWKWARD", AWKWARD);
    set(&mut app, "PORT", "4000");
    let files = target.files(&[("a", "")]);
    let at = deploy(&target.executor, &app, &files, 1).await.unwrap();
    assert_eq!(get(at).await.as_deref(), Ok(AWKWARD));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_read_from_a_file_is_a_secret_of_the_swarm() {
    let target = Target::new();
    let line = format!(
        "(cat \"$TOKEN_FILE\"; echo \"|${{TOKEN-unset}}|$OTHER_FILE|$OTHER|\"; \
         stat -c %a-%u /run/secrets/TOKEN) >/tmp/index.html; cd /tmp; {SERVER}"
    );
    let mut app = spec(1, &line);
    for (name, value) in [
        ("TOKEN", AWKWARD),
        ("TOKEN_FILE", "/run/secrets/TOKEN"),
        ("OTHER", "plain"),
        ("OTHER_FILE", "/elsewhere/OTHER"),
    ] {
        set(&mut app, name, value);
    }
    let files = target.files(&[("a", "")]);
    let at = deploy(&target.executor, &app, &files, 1).await.unwrap();
    let wanted = format!("{AWKWARD}|unset|/elsewhere/OTHER|plain|\n400-10001\n");
    assert_eq!(get(at).await, Ok(wanted));
    let inspected = target.docker(&["service", "inspect", &target.service(1)]);
    assert!(!inspected.contains("line 2"), "{inspected}");
    assert_eq!(target.secrets().len(), 1);
    // It goes with the service, and comes back with it.
    target.live(2, "two").await;
    let executor = &target.executor;
    let grace = std::time::Duration::ZERO;
    executor.retire(&target.slug, 1, grace).await.unwrap();
    assert!(target.secrets().is_empty());
    let again = deploy(executor, &app, &files, 3).await.unwrap();
    assert!(get(again).await.unwrap().starts_with(AWKWARD));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_has_its_limits_and_its_place() {
    let target = Target::new();
    let node = target.docker(&["node", "ls", "--quiet"]);
    target.docker(&["node", "update", "--label-add", "disk=ssd", &node]);
    let executor = target
        .executor
        .clone()
        .constraints(["node.labels.disk==ssd"]);
    let files = target.files(&[("index.html", "here")]);
    let at = deploy(&executor, &spec(1, SERVER), &files, 1)
        .await
        .unwrap();
    assert_eq!(get(at).await.as_deref(), Ok("here"));
    let container = target.containers().remove(0);
    let asked = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.CapDrop}} \
                 {{.HostConfig.CapAdd}} {{.Config.User}} {{.HostConfig.LogConfig.Type}}";
    let found = target.docker(&["inspect", "--format", asked, &container]);
    let memory = RunLimits::default().memory_bytes.unwrap();
    assert_eq!(
        found,
        format!("{memory} 2048 [ALL] [] 10001:10001 json-file")
    );
}
