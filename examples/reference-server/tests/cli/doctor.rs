//! What the doctor finds.

use crate::machine::{Machine, code, json_lines};

#[test]
fn the_doctor_knows_who_serves_and_leaves_it_alone() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    let address = format!("127.0.0.1:{}", server.port());
    let doctor = machine.run(&["doctor", "--listen", &address, "--json"]);
    let port = json_lines(&doctor)
        .into_iter()
        .find(|line| line["check"] == "port")
        .unwrap();
    let found = port["found"].as_str().unwrap().to_owned();
    assert!(
        found.contains(&format!("served by process {}", server.pid())),
        "{found}"
    );
}

#[test]
fn a_port_that_a_stranger_has_is_missing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let doctor = Machine::new().run(&["doctor", "--listen", &address, "--json"]);
    assert_eq!(code(&doctor), 2);
    let port = json_lines(&doctor)
        .into_iter()
        .find(|line| line["check"] == "port")
        .unwrap();
    assert_eq!(port["state"], "missing");
}

#[test]
fn the_doctor_advises_against_root() {
    let doctor = Machine::new().run(&["doctor", "--listen", "127.0.0.1:0", "--json"]);
    let user = json_lines(&doctor)
        .into_iter()
        .find(|line| line["check"] == "user")
        .unwrap();
    let advised = user["state"] == "lacking" && user["help"].is_string();
    assert_eq!(advised, nix::unistd::Uid::effective().is_root(), "{user}");
}

#[test]
fn the_doctor_misses_a_key_that_is_lost() {
    let machine = Machine::new();
    assert_eq!(code(&machine.run(&["migrate"])), 0);
    let doctor = machine.run(&["doctor", "--json"]);
    assert_eq!(code(&doctor), 2);
    let keys = json_lines(&doctor)
        .into_iter()
        .find(|line| line["check"] == "keys")
        .unwrap();
    assert_eq!(keys["state"], "missing");
    assert!(!machine.path().join(".deployr/secret.key").exists());
}
