//! Domains of a project's own, and Caddy in front.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use deployr_testkit::caddy::Caddy;
use deployr_testkit::dns::Dns;
use deployr_testkit::free_port;
use nix::sys::signal::Signal;

use crate::machine::{Machine, Repository, code, event, json_lines, stderr, stdout, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);
const WWW: &str = "www.example.com";

fn get(address: SocketAddr, host: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return String::new();
    };
    let mut answer = String::new();
    write!(stream, "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn site(machine: &Machine) -> Repository {
    Repository::new(machine, "site", "mkdir dist; echo hello > dist/index.html")
}

#[test]
fn a_domain_is_served_once_its_record_is_found() {
    let machine = Machine::new();
    let dns = Dns::start();
    let resolver = dns.address().to_string();
    let server = machine.serve(&["--resolver", &resolver]);
    assert_eq!(code(&machine.run(&["deploy", site(&machine).path()])), 0);
    let domain = |action: &str, domain: &str| {
        machine.run(&[
            "domain",
            action,
            "site",
            domain,
            "--json",
            "--resolver",
            &resolver,
        ])
    };
    assert_eq!(code(&domain("add", "*.example.com")), 64);
    assert_eq!(code(&domain("check", WWW)), 2, "it was not added");
    let added = event(&domain("add", "WWW.Example.com"), "domain");
    assert_eq!(added["domain"], WWW);
    let record = &added["record"];
    let (name, token) = (
        record["name"].as_str().unwrap(),
        record["value"].as_str().unwrap(),
    );
    assert_eq!(name, "_deployr-challenge.www.example.com");
    let told = machine.run(&["domain", "add", "site", WWW]);
    assert!(
        stdout(&told).contains(&format!("{name}  TXT  {token}")),
        "{told:?}"
    );

    let early = machine.run(&["domain", "check", "site", WWW, "--resolver", &resolver]);
    assert_eq!(code(&early), 1);
    let said = stderr(&early);
    assert!(
        said.contains("has no TXT record yet") && said.contains(token),
        "{said}"
    );
    assert!(server.get(WWW, "/").contains("no such site"));

    dns.set(name, &[token]);
    let checked = domain("check", WWW);
    assert_eq!(code(&checked), 0, "{checked:?}");
    assert!(event(&checked, "domain")["verified_at"].is_string());
    wait_for(PATIENCE, || server.get(WWW, "/").contains("hello"));
    assert!(server.get("WWW.EXAMPLE.COM", "/").contains("hello"));
    let list = machine.run(&["domain", "list", "site"]);
    assert!(
        stdout(&list).starts_with("www.example.com  verified "),
        "{list:?}"
    );

    // The next deployment and the next start bring it with them.
    assert_eq!(code(&machine.run(&["deploy", "site"])), 0);
    assert!(server.get(WWW, "/").contains("hello"));
    assert_eq!(server.stop(Signal::SIGKILL), None);
    let server = machine.serve(&["--resolver", &resolver]);
    wait_for(PATIENCE, || server.get(WWW, "/").contains("hello"));
    assert_eq!(code(&domain("remove", WWW)), 0);
    wait_for(PATIENCE, || server.get(WWW, "/").contains("no such site"));
    assert_eq!(code(&domain("remove", WWW)), 2);
    assert!(server.get("site.localhost", "/").contains("hello"));
}

#[test]
fn caddy_serves_what_is_deployed() {
    let machine = Machine::new();
    let dns = Dns::start();
    let mut caddy = Caddy::start();
    let (admin, at) = (caddy.admin().to_owned(), caddy.listen());
    let (listen, resolver) = (at.to_string(), dns.address().to_string());
    let settings = [
        ["--ingress", "caddy"],
        ["--caddy-admin", &admin],
        ["--caddy-listen", &listen],
        ["--caddy-tls", "false"],
        ["--resolver", &resolver],
    ]
    .concat();
    let run = |arguments: &[&str]| machine.run(&[arguments, &settings].concat());
    let server = machine.serve(&settings);
    let deployed = run(&["deploy", site(&machine).path(), "--json"]);
    assert_eq!(code(&deployed), 0, "{deployed:?}");
    let url = format!("http://site.localhost:{}", at.port());
    assert!(stdout(&deployed).contains(&url), "{}", stdout(&deployed));
    assert!(get(at, "site.localhost").contains("hello"));
    assert!(get(at, "other.localhost").contains("no such site"));
    assert!(server.get("", "/healthz").contains("\"ok\""));

    let added = event(&run(&["domain", "add", "site", WWW, "--json"]), "domain");
    let token = added["record"]["value"].as_str().unwrap();
    dns.set("_deployr-challenge.www.example.com", &[token]);
    assert_eq!(code(&run(&["domain", "check", "site", WWW])), 0);
    wait_for(PATIENCE, || get(at, WWW).contains("hello"));

    // Caddy comes back without what it was told.
    caddy.crash();
    caddy.up(false);
    wait_for(PATIENCE, || get(at, WWW).contains("hello"));
    // The engine goes away.
    assert_eq!(server.stop(Signal::SIGKILL), None);
    assert!(get(at, "site.localhost").contains("hello"));
}

#[test]
fn a_caddy_that_is_away_is_told() {
    let machine = Machine::new();
    let admin = format!("127.0.0.1:{}", free_port());
    let settings = [
        "--ingress",
        "caddy",
        "--caddy-admin",
        &admin,
        "--listen",
        "127.0.0.1:0",
    ];
    let doctor = machine.run(&[&["doctor", "--json"], &settings[..]].concat());
    assert_eq!(code(&doctor), 2);
    let lines = json_lines(&doctor);
    let check = |name: &str| lines.iter().find(|line| line["check"] == name).unwrap();
    assert_eq!(check("caddy")["state"], "missing");
    let found = check("caddy")["found"].as_str().unwrap();
    assert!(
        found.contains(&admin) && found.contains("start Caddy"),
        "{found}"
    );
    assert!(
        ["ok", "lacking"]
            .map(Into::into)
            .contains(&check("tcp_migrate_req")["state"])
    );
    let refused = machine.run(&["doctor", "--ingress", "caddy", "--caddy-admin", "nonsense"]);
    assert_eq!(code(&refused), 64);
}
