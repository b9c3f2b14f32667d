//! An account of a shared host as the target, from the file of settings to the page.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use deployr_testkit::cpanel::Cpanel;

use crate::machine::{Machine, Repository, code, json_lines, stderr, stdout};

/// Names the account in the file of settings, and its token in a file of its own.
fn named(machine: &Machine, account: &Cpanel) {
    let token = machine.path().join("token");
    fs::write(&token, format!("{}\n", Cpanel::token())).unwrap();
    let text = format!(
        "[cpanel.shared]\nhost = \"127.0.0.1\"\nport = {}\nuser = {:?}\ntoken_file = {token:?}\n\
         certificate = {:?}\n[cpanel.shared.sites.site]\ndomain = \"site.example.com\"\n\
         plain_http = true\nweb_server = \"{}\"\n",
        account.port(),
        Cpanel::user(),
        Cpanel::authority(),
        account.web(),
    );
    fs::create_dir_all(machine.path().join(".deployr")).unwrap();
    fs::write(machine.path().join(".deployr/deployr-server.toml"), text).unwrap();
}

fn visit(account: &Cpanel) -> String {
    let mut stream = TcpStream::connect(account.web()).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: site.example.com\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_site_goes_to_an_account_and_back() {
    let (machine, account) = (Machine::new(), Cpanel::start());
    named(&machine, &account);
    let build = "mkdir dist && cp page.html dist/index.html";
    let site = Repository::new(&machine, "site", build);
    site.commit("page.html", "one");
    let plan = machine.run(&["plan", site.path(), "--target", "cpanel:shared"]);
    let told = stdout(&plan);
    assert!(
        told.contains("of site.example.com lead to"),
        "{told}{}",
        stderr(&plan)
    );
    let deployed = machine.run(&["deploy", site.path(), "--target", "cpanel:shared"]);
    assert_eq!(
        code(&deployed),
        0,
        "{}{}",
        stdout(&deployed),
        stderr(&deployed)
    );
    assert_eq!(visit(&account), "one");
    site.commit("page.html", "two");
    assert_eq!(code(&machine.run(&["deploy", "site"])), 0);
    assert_eq!(visit(&account), "two");
    let back = machine.run(&["rollback", "site"]);
    assert_eq!(code(&back), 0, "{}", stderr(&back));
    assert_eq!(visit(&account), "one");
    assert!(!stdout(&deployed).contains(Cpanel::token()));
}

/// Also where there is no release before it to go back to.
#[test]
fn a_release_that_visitors_do_not_get_is_no_success() {
    let (machine, account, elsewhere) = (Machine::new(), Cpanel::start(), Cpanel::start());
    named(&machine, &account);
    let file = machine.path().join(".deployr/deployr-server.toml");
    let well = fs::read_to_string(&file).unwrap();
    let (here, there) = (account.web().to_string(), elsewhere.web().to_string());
    fs::write(&file, well.replace(&here, &there)).unwrap();
    let site = Repository::new(
        &machine,
        "site",
        "mkdir dist && cp page.html dist/index.html",
    );
    site.commit("page.html", "one");
    let toml = "framework = \"custom\"\nbuild = \"sh build.sh\"\noutput = \"dist\"\n[health]\ndeadline_ms = 1000\n";
    site.commit("deployr.toml", toml);
    let deployed = machine.run(&["deploy", site.path(), "--target", "cpanel:shared"]);
    assert_eq!(code(&deployed), 1, "{}", stdout(&deployed));
    let told = format!("{}{}", stdout(&deployed), stderr(&deployed));
    assert!(
        told.contains("whether the domain leads to this account"),
        "{told}"
    );
    fs::write(&file, well).unwrap();
    let deployed = machine.run(&["deploy", "site"]);
    assert_eq!(
        code(&deployed),
        0,
        "{}{}",
        stdout(&deployed),
        stderr(&deployed)
    );
    assert_eq!(visit(&account), "one");
}

#[test]
fn a_project_that_needs_a_process_is_refused_before_it_is_built() {
    let (machine, account) = (Machine::new(), Cpanel::start());
    named(&machine, &account);
    let site = Repository::new(&machine, "app", "touch was-built && mkdir dist");
    let toml = "framework = \"custom\"\nbuild = \"sh build.sh\"\noutput = \"dist\"\nstart = \"node server.js\"\n";
    site.commit("deployr.toml", toml);
    for command in ["plan", "deploy"] {
        let refused = machine.run(&[command, site.path(), "--target", "cpanel:shared"]);
        assert_eq!(code(&refused), 1, "{}", stderr(&refused));
        let told = format!("{}{}", stdout(&refused), stderr(&refused));
        assert!(told.contains("set `passenger`"), "{told}");
        assert!(!told.contains("sh build.sh"), "{told}");
    }
    assert!(account.requests().is_empty(), "{:?}", account.requests());
}

#[test]
fn the_doctor_looks_at_accounts_too() {
    let (machine, account) = (Machine::new(), Cpanel::start());
    named(&machine, &account);
    let well = machine.run(&["doctor", "cpanel:shared", "--json"]);
    assert_eq!(code(&well), 0, "{}{}", stdout(&well), stderr(&well));
    let links = json_lines(&well)
        .into_iter()
        .find(|line| line["check"] == "links");
    assert_eq!(links.unwrap()["state"], "ok");
    account.set(|host| host.expired = true);
    let ill = machine.run(&["doctor", "cpanel:shared"]);
    assert_eq!(code(&ill), 2);
    assert!(
        stdout(&ill).contains("Manage API Tokens"),
        "{}",
        stdout(&ill)
    );
    let unknown = machine.run(&["doctor", "cpanel:shraed"]);
    assert_eq!(code(&unknown), 64);
    assert!(
        stderr(&unknown).contains("cpanel:shared"),
        "{}",
        stderr(&unknown)
    );
}
