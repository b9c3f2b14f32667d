//! A Laravel on a server with nginx and php-fpm, by what docs/laravel.md says.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use deployr_core::testing::ingress::http_get;
use deployr_testkit::php::PhpServer;
use deployr_testkit::ssh::Sshd;

use crate::machine::{Machine, Repository, code, stderr, stdout};

const PAGE: &str = include_str!("../../../../docs/laravel.md");

/// The page's block of that kind, with `ours` for what is theirs.
fn block(kind: &str, ours: &[(&str, &str)]) -> String {
    let block = PAGE.split(&format!("```{kind}\n")).nth(1).unwrap();
    let block = block.split("```").next().unwrap().to_owned();
    ours.iter().fold(block, |block, (theirs, ours)| {
        assert!(block.contains(theirs), "the page has no {theirs}");
        block.replace(theirs, ours)
    })
}

/// A server as the page says, and the file of settings that names it.
fn server(machine: &Machine, sshd: &Sshd) -> PhpServer {
    let sites = sshd.home().join("sites").display().to_string();
    let site = |address: SocketAddr, socket: &Path| {
        let listen = format!("listen {address};");
        let socket = format!("unix:{}", socket.display());
        block(
            "nginx",
            &[
                ("listen 80;", &listen),
                ("/srv/sites", &sites),
                ("unix:/run/php/php-fpm.sock", &socket),
            ],
        )
    };
    let web = PhpServer::start(site, "");
    let host = format!("127.0.0.1\"\nport = {}\n#", sshd.port());
    let settings = block(
        "toml",
        &[
            ("web-1.example.com", &host),
            ("user = \"deploy\"", &format!("user = {:?}", Sshd::user())),
            ("/srv/sites", &sites),
            (
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH4mD2pVq0cJrN1q3xkT0bqYw8m4oK5s7u9v1x3z5b7d",
                &sshd.host_key(),
            ),
            ("/etc/deployr/id_ed25519", sshd.key().to_str().unwrap()),
            ("10.0.0.5:80", &web.address().to_string()),
        ],
    );
    fs::create_dir_all(machine.path().join(".deployr")).unwrap();
    fs::write(
        machine.path().join(".deployr/deployr-server.toml"),
        settings,
    )
    .unwrap();
    web
}

/// The line of the page, out of an answer that comes in chunks.
fn home(web: &PhpServer) -> String {
    let body = http_get(web.address(), "blog.example.com").unwrap();
    let line = body.lines().find(|line| line.contains("Blog"));
    line.unwrap_or(&body).to_owned()
}

/// In which releases workers run.
fn working(sshd: &Sshd) -> Vec<String> {
    let release = |pid: u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let folder = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let name = folder.file_name()?.to_str()?.split('-').next()?.to_owned();
        (line.starts_with("php") && line.contains("schedule:work")).then_some(name)
    };
    sshd.processes().into_iter().filter_map(release).collect()
}

fn works_in(sshd: &Sshd, number: &str) {
    let start = Instant::now();
    while working(sshd) != [number] {
        let there = working(sshd);
        assert!(start.elapsed() < Duration::from_secs(30), "{there:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn laravel_goes_to_a_server_and_back_with_its_worker() {
    let (machine, sshd) = (Machine::new(), Sshd::start());
    let web = server(&machine, &sshd);
    let blog = Repository::new(&machine, "blog", "exit 1");
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deployr-exec/tests/apps/laravel/.");
    let mut copy = Command::new("cp");
    copy.arg("-R").arg(app).arg(blog.path());
    assert!(copy.status().unwrap().success());
    let toml = "shared = [\"storage\", \".env\", \"database/shop.sqlite\"]\n\
                [on_target.workers]\nschedule = \"php artisan schedule:work\"\n";
    blog.commit("deployr.toml", toml);

    let doctor = machine.run(&["doctor", "ssh:web"]);
    assert_eq!(code(&doctor), 0, "{}", stdout(&doctor));
    let plan = machine.run(&["plan", blog.path(), "--target", "ssh:web"]);
    let told = format!("{}{}", stdout(&plan), stderr(&plan));
    assert!(told.contains("keep running as schedule"), "{told}");
    let deploy = ["deploy", blog.path(), "--target", "ssh:web"];
    // Without what the page says to give it: told what is missing and how to make it.
    let keyless = machine.run(&deploy);
    let told = format!("{}{}", stdout(&keyless), stderr(&keyless));
    assert_eq!(code(&keyless), 1, "{told}");
    assert!(told.contains("php artisan key:generate --show"), "{told}");

    let key = "APP_KEY=base64:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let given = [&deploy[..], &["--env", key, "--env", "APP_NAME=Blog"]].concat();
    let first = machine.run(&given);
    let told = format!("{}{}", stdout(&first), stderr(&first));
    assert_eq!(code(&first), 0, "{told}");
    assert_eq!(home(&web), "1 Blog 1");
    let present = || {
        let link = fs::read_link(sshd.home().join("sites/blog/current")).unwrap();
        let name = link.file_name().unwrap().to_str().unwrap().to_owned();
        name.split('-').next().unwrap().to_owned()
    };
    let one = present();
    works_in(&sshd, &one);

    let page = Path::new(blog.path()).join("app/Http/Home.php");
    let page = fs::read_to_string(page).unwrap();
    let page = page.replace("VERSION = '1'", "VERSION = '2'");
    blog.commit("app/Http/Home.php", &page);
    let second = machine.run(&["deploy", "blog"]);
    assert_eq!(code(&second), 0, "{}{}", stdout(&second), stderr(&second));
    assert_eq!(home(&web), "2 Blog 1");
    works_in(&sshd, &present());

    let back = machine.run(&["rollback", "blog"]);
    assert_eq!(code(&back), 0, "{}{}", stdout(&back), stderr(&back));
    assert_eq!(
        (home(&web), present()),
        ("1 Blog 1".to_owned(), one.clone())
    );
    works_in(&sshd, &one);
}
