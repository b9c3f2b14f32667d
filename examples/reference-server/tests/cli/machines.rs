//! Many machines on one Postgres: here, folders that know nothing of each other.
#![cfg(feature = "postgres")]

use std::time::Duration;

use deployr_testkit::postgres::Postgres;
use nix::sys::signal::Signal;

use crate::machine::{Machine, Repository, Server, code, json_lines, stderr, stdout, wait_for};

/// A machine that knows the database, and has the keys of the first.
fn machine(first: Option<&Machine>) -> Machine {
    let machine = Machine::new();
    let data = machine.path().join(".deployr");
    std::fs::create_dir(&data).unwrap();
    if let Some(first) = first {
        let key = ".deployr/secret.key";
        std::fs::copy(first.path().join(key), machine.path().join(key)).unwrap();
    }
    machine
}

fn serve(machine: &Machine, database: &str, node: &str) -> Server {
    machine.serve(&[
        "--database",
        database,
        "--node",
        node,
        "--lease-seconds",
        "5",
    ])
}

#[test]
fn machines_share_a_database_and_each_serves_its_own_target() {
    let database = Postgres::shared().database();
    let with = |machine: &Machine, arguments: &[&str]| {
        machine.run(&[&["--database", &database], arguments].concat())
    };
    let first = machine(None);
    let refused = with(&first, &["list"]);
    assert_eq!(code(&refused), 64, "keys come first: {}", stderr(&refused));
    assert_eq!(code(&with(&first, &["migrate"])), 0);
    let (second, operator) = (machine(Some(&first)), machine(Some(&first)));
    let one = serve(&first, &database, "one");
    let two = serve(&second, &database, "two");

    let build = "echo at work; sleep 1; mkdir dist; echo hi > dist/index.html";
    let site = Repository::new(&operator, "site", build);
    for (name, target) in [("a", "local:one"), ("b", "local:two")] {
        let arguments = ["deploy", site.path(), "--name", name, "--target", target];
        let deployed = with(&operator, &arguments);
        assert_eq!(code(&deployed), 0, "{}", stderr(&deployed));
    }
    assert!(one.get("a.localhost", "/").ends_with("hi\n"));
    assert!(two.get("b.localhost", "/").ends_with("hi\n"));
    assert!(one.get("b.localhost", "/").starts_with("HTTP/1.0 404"));

    // A machine dies with work in hand: the other finds out, and it goes on there when
    // the machine is back.
    let mut client = operator.start(&["--database", &database, "deploy", "b"]);
    client.wait_for_line("at work");
    assert_eq!(two.stop(Signal::SIGKILL), None);
    let shown = json_lines(&with(&operator, &["queue", "--json"])).remove(0);
    let nodes = shown["workers"].as_array().unwrap().iter();
    let nodes: Vec<_> = nodes.map(|one| one["node"].as_str().unwrap()).collect();
    assert!(
        nodes.contains(&"one") && nodes.contains(&"two"),
        "{nodes:?}"
    );
    // Nobody else has its target.
    let missing = "no worker carries out jobs of the kind `deploy` and offers target:local:two";
    wait_for(Duration::from_secs(60), || {
        stdout(&with(&operator, &["why", "b"])).contains(missing)
    });
    let two = serve(&second, &database, "two");
    client.wait_for_line("begun again, attempt 2 of");
    assert_eq!(client.wait(), Some(0));
    assert!(two.get("b.localhost", "/").ends_with("hi\n"));
    let listed = json_lines(&with(&operator, &["list", "b", "--json"]));
    let states = listed
        .iter()
        .map(|one| one["deployment"]["status"].as_str().unwrap());
    assert_eq!(states.collect::<Vec<_>>(), ["success", "success"]);
    assert_eq!(one.stop(Signal::SIGTERM), Some(0));
    assert_eq!(two.stop(Signal::SIGTERM), Some(0));
}
