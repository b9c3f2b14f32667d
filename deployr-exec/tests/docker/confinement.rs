//! What a release can do, and what it is told.

use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;
use deployr_core::value::RelPath;
use deployr_exec::docker::RunLimits;

use crate::support::{Target, address, get, set, spec};

/// Answers with what a line prints.
fn printing(line: &str) -> String {
    format!(
        "mkdir -p /tmp/www && cd /app && {{ {line}; }} >/tmp/www/index.html 2>&1; \
             exec httpd -f -p $PORT -h /tmp/www"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_values_arrive_byte_by_byte_and_are_no_arguments() {
    let target = Target::new();
    let mut app = spec(
        1,
        &printing("cat /proc/self/environ; echo; cat /proc/*/cmdline"),
    );
    let values = [
        ("EMPTY", ""),
        ("SPACES", "  two  spaces \t"),
        ("LINES", "one\ntwo\r\nthree\n"),
        (
            "META",
            "$HOME `id` $(id) ${X} !! \\ \\n ~ * ? [a] {b,c} ; & | < > #",
        ),
        ("QUOTES", "'\"' \"it's\" '\\''"),
        ("SIGNS", "a=b=c %PATH% %s {{.Id}} \u{1b}[31m"),
        ("UNICODE", "gr\u{fc}\u{df} \u{2713} \u{1f980}"),
        ("NODE_ENV", "of the project"),
        ("TOKEN", "canary-of-the-test"),
    ];
    for (name, value) in values {
        set(&mut app, name, value);
    }
    let at = target
        .deploy(&app, &target.files(&[("a", "")]), 1)
        .await
        .unwrap();
    let said = get(at).await.unwrap();
    let (env, lines) = said.split_at(said.rfind("\0\n").unwrap());
    let env: Vec<&str> = env.split('\0').collect();
    for (name, value) in values {
        assert!(
            env.contains(&format!("{name}={value}").as_str()),
            "{name} in {env:?}"
        );
    }
    assert!(
        env.contains(&"DEPLOYR_RELEASE=1") && env.contains(&"PORT=8080"),
        "{env:?}"
    );
    assert!(!lines.contains("canary"), "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_has_no_rights_and_its_limits() {
    let target = Target::new();
    let limits = RunLimits {
        memory_bytes: Some(64 << 20),
        cpus: Some(0.5),
        processes: Some(40),
        ..RunLimits::default()
    };
    let looks = "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status | tr -d '\\t'; \
                 touch /app/new; ls -ld /var/run/docker.sock; hostname >/dev/null";
    let mut app = spec(1, &printing(looks));
    app.recipe.writable = vec![RelPath::parse("cache/x").unwrap()];
    let step = RecordedStep::new();
    let artifact = target.files(&[("index.html", "")]);
    let executor = target.executor.clone().limits(limits);
    executor.prepare(&app, &artifact, &step.ctx).await.unwrap();
    let endpoint = executor.start(&app, &step.ctx).await.unwrap();
    executor.verify(&app, &endpoint, &step.ctx).await.unwrap();
    let said = get(address(&endpoint)).await.unwrap();
    for wanted in [
        "10001\n",
        "CapEff:0000000000000000",
        "CapBnd:0000000000000000",
        "NoNewPrivs:1",
        "/app/new: Permission denied",
        "docker.sock: No such file",
    ] {
        assert!(said.contains(wanted), "no `{wanted}` in {said}");
    }
    let container = target.container(1);
    let host = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} \
                {{.HostConfig.PidsLimit}} {{.HostConfig.Privileged}} {{len .NetworkSettings.Ports}}";
    let found = target.docker(&["inspect", "--format", host, &container]);
    assert_eq!(found, "67108864 67108864 500000000 40 false 0");
    // What it may write to it can.
    target.docker(&["exec", &container, "touch", "/app/cache/x/new", "/tmp/new"]);
    // It forks without end, and harms nobody.
    let bomb = "bomb() { bomb | bomb & }; bomb";
    target.docker(&["exec", "--detach", &container, "sh", "-c", bomb]);
    let other = Target::new();
    let (_, neighbour) = other.live(1, "well").await;
    assert_eq!(get(neighbour).await.as_deref(), Ok("well"));
    let processes = target.docker(&["top", &container]).lines().count() - 1;
    assert!(processes <= 40, "{processes} processes");
    target.executor.discard(&target.slug, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_outlives_releases_and_belongs_to_them() {
    let target = Target::new();
    let adds = "cat store/seed store/notes; echo $DEPLOYR_RELEASE >>store/notes";
    let mut said = Vec::new();
    for number in 1..=3 {
        let mut app = spec(number, &printing(adds));
        app.recipe.shared = ["store", "store/below", ".env"]
            .map(|path| RelPath::parse(path).unwrap())
            .to_vec();
        let seed = format!("of {number}\n");
        let artifact = target.files(&[("store/seed", &seed)]);
        let at = target.deploy(&app, &artifact, number).await.unwrap();
        said.push(get(at).await.unwrap());
        target.executor.prune(&target.slug, &[]).await.unwrap();
    }
    assert!(said[0].starts_with("of 1\n"), "{said:?}");
    assert_eq!(
        said[2], "of 1\n1\n2\n",
        "the first to have something gives it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_on_the_engine_is_left_alone() {
    let target = Target::new();
    let stranger = target.docker(&["run", "--detach", "--init", "busybox:test", "sleep", "600"]);
    let other = Target::new();
    let (_, theirs) = other.live(1, "theirs").await;
    for number in 1..=3 {
        target.live(number, "ours").await;
    }
    // One that was cut off before it was placed, and one without a name of ours.
    let label = target.docker(&[
        "inspect",
        "--format",
        "{{json .Config.Labels}}",
        &target.container(1),
    ]);
    assert!(label.contains("\"deployr.project\":\"shop\""), "{label}");
    assert_eq!(
        target.executor.prune(&target.slug, &[3]).await.unwrap(),
        [1, 2]
    );
    assert_eq!(target.executor.remove_stale().await.unwrap(), 0);
    assert_eq!(target.containers(), [target.container(3)]);
    assert_eq!(get(theirs).await.as_deref(), Ok("theirs"));
    let state = target.docker(&["inspect", "--format", "{{.State.Running}}", &stranger]);
    assert_eq!(state, "true");
    target.docker(&["rm", "--force", &stranger]);
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_starts_the_container_that_was_kept() {
    let target = Target::new();
    let (old, at) = target.live(1, "one").await;
    let id = target.docker(&["inspect", "--format", "{{.Id}}", &target.container(1)]);
    target.live(2, "two").await;
    target
        .executor
        .retire(&target.slug, 1, std::time::Duration::ZERO)
        .await
        .unwrap();
    let running = [
        "inspect",
        "--format",
        "{{.State.Running}}",
        &target.container(1),
    ];
    assert_eq!(target.docker(&running), "false");
    let step = RecordedStep::new();
    let again = target.executor.start(&old, &step.ctx).await.unwrap();
    assert_eq!(address(&again), at, "it has its address for good");
    target
        .executor
        .verify(&old, &again, &step.ctx)
        .await
        .unwrap();
    target
        .executor
        .switch(&old, Turn::new(3, 1), &step.ctx)
        .await
        .unwrap();
    assert_eq!(get(at).await.as_deref(), Ok("one"));
    let same = target.docker(&["inspect", "--format", "{{.Id}}", &target.container(1)]);
    assert_eq!(same, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_reaches_no_other_one() {
    let target = Target::new();
    let (_, old) = target.live(1, "old").await;
    target.live(2, "new").await;
    let wget = format!("wget -q -T 3 -O - http://{old}/ || echo none");
    let said = target.docker(&["exec", &target.container(2), "sh", "-c", &wget]);
    assert_eq!(said, "none");
    assert_eq!(get(old).await.as_deref(), Ok("old"), "it is there");
}
