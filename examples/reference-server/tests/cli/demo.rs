//! The demo, as people and scripts run it.

use nix::sys::signal::Signal;

use crate::machine::{Machine, code, event, stderr, stdout};

#[test]
fn demo_once_shows_two_versions_and_no_failed_request() {
    let machine = Machine::new();
    let shown = machine.run(&["demo", "--once", "--json"]);
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    let demo = event(&shown, "demo");
    assert_eq!(demo["failed_requests"], 0);
    assert!(demo["requests"].as_u64().unwrap() > 0);
    assert!(demo["stages_ms"][1]["build"].is_u64());
    assert!(
        !machine.path().join(".deployr").exists(),
        "the demo leaves no trace"
    );
}

#[test]
fn what_a_killed_demo_has_left_goes_with_the_next() {
    let machine = Machine::new();
    let temporary = machine.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let left = || std::fs::read_dir(&temporary).unwrap().count();
    let mut demo = machine.start_in(&temporary, &["demo"]);
    demo.wait_for_line("is live after");
    assert_eq!(left(), 1);
    demo.signal(Signal::SIGKILL);
    assert_eq!(demo.wait(), None);
    assert_eq!(left(), 1);
    let next = machine.start_in(&temporary, &["demo", "--once"]);
    assert_eq!(next.wait(), Some(0));
    assert_eq!(left(), 0);
}

#[test]
fn demo_for_people_ends_with_its_address() {
    let shown = Machine::new().run(&["demo", "--once"]);
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    let text = stdout(&shown);
    assert!(
        text.contains("0 failed") && text.contains("http://hello.localhost:"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "no colours where nobody watches");
}
