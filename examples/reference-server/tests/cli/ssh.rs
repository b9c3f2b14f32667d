//! A server as the target, from the file of settings to the page.

use std::fs;
use std::path::PathBuf;

use deployr_testkit::ssh::Sshd;

use crate::machine::{Machine, Repository, code, json_lines, stderr, stdout};

/// Names the server in the file of settings; gives the page that its web server would serve.
fn named(machine: &Machine, sshd: &Sshd) -> PathBuf {
    let text = format!(
        "[[ssh.web.hosts]]\nhost = \"127.0.0.1\"\nport = {}\nuser = {:?}\nroot = \"sites\"\n\
         host_key = {:?}\nkey = {:?}\naddress = \"127.0.0.1\"\n",
        sshd.port(),
        Sshd::user(),
        sshd.host_key(),
        sshd.key(),
    );
    fs::create_dir_all(machine.path().join(".deployr")).unwrap();
    fs::write(machine.path().join(".deployr/deployr-server.toml"), text).unwrap();
    sshd.home().join("sites/site/current/index.html")
}

#[test]
fn a_site_goes_to_a_server_and_back() {
    let (machine, sshd) = (Machine::new(), Sshd::start());
    let page = named(&machine, &sshd);
    let build = "mkdir dist && cp page.html dist/index.html";
    let site = Repository::new(&machine, "site", build);
    site.commit("page.html", "one");
    let plan = machine.run(&["plan", site.path(), "--target", "ssh:web"]);
    assert!(
        stdout(&plan).contains("let `current` lead to it"),
        "{}",
        stderr(&plan)
    );
    let deployed = machine.run(&["deploy", site.path(), "--target", "ssh:web"]);
    assert_eq!(code(&deployed), 0, "{}", stderr(&deployed));
    assert_eq!(fs::read_to_string(&page).unwrap(), "one");
    site.commit("page.html", "two");
    assert_eq!(code(&machine.run(&["deploy", "site"])), 0);
    assert_eq!(fs::read_to_string(&page).unwrap(), "two");
    let back = machine.run(&["rollback", "site"]);
    assert_eq!(code(&back), 0, "{}", stderr(&back));
    assert_eq!(fs::read_to_string(&page).unwrap(), "one");
}

#[test]
fn a_process_on_a_server_is_reached_through_the_ingress_and_outlives_a_restart() {
    let (machine, sshd) = (Machine::new(), Sshd::start());
    named(&machine, &sshd);
    let site = Repository::new(&machine, "site", "mkdir dist && cp server.js dist");
    let toml = "framework = \"custom\"\nbuild = \"sh build.sh\"\noutput = \"dist\"\nstart = \"node server.js\"\n";
    site.commit("deployr.toml", toml);
    let app = |says: &str| {
        format!(
            "require('http').createServer((q, r) => r.end('{says}')).listen(process.env.PORT, process.env.HOST)"
        )
    };
    let server = machine.serve(&[]);
    for says in ["one", "two"] {
        site.commit("server.js", &app(says));
        let deployed = machine.run(&["deploy", site.path(), "--target", "ssh:web"]);
        assert_eq!(
            code(&deployed),
            0,
            "{}{}",
            stdout(&deployed),
            stderr(&deployed)
        );
        assert!(server.get("site.localhost", "/").ends_with(says));
    }
    // What the server's own web server gives out has no route here.
    let page = Repository::new(&machine, "page", "mkdir dist && echo hi > dist/index.html");
    let deployed = machine.run(&["deploy", page.path(), "--target", "ssh:web"]);
    assert_eq!(
        code(&deployed),
        0,
        "{}{}",
        stdout(&deployed),
        stderr(&deployed)
    );
    assert!(server.get("page.localhost", "/").contains("404"));
    assert!(sshd.home().join("sites/page/current/index.html").exists());
    assert_eq!(server.stop(nix::sys::signal::Signal::SIGINT), Some(0));
    let server = machine.serve(&[]);
    assert!(server.get("site.localhost", "/").ends_with("two"));
}

#[test]
fn the_doctor_looks_at_servers_too() {
    let (machine, mut sshd) = (Machine::new(), Sshd::start_without(&["rsync"]));
    named(&machine, &sshd);
    let well = machine.run(&["doctor", "ssh:web", "--json"]);
    assert_eq!(code(&well), 0, "{}", stdout(&well));
    let rsync = json_lines(&well)
        .into_iter()
        .find(|line| line["check"] == "rsync");
    assert_eq!(rsync.unwrap()["state"], "lacking");
    sshd.kill();
    let ill = machine.run(&["doctor", "ssh:web"]);
    assert_eq!(code(&ill), 2);
    assert!(
        stdout(&ill).contains("see whether the host is up"),
        "{}",
        stdout(&ill)
    );
    let unknown = machine.run(&["doctor", "ssh:wbe"]);
    assert_eq!(code(&unknown), 64);
    assert!(stderr(&unknown).contains("ssh:web"), "{}", stderr(&unknown));
}
