//! `deploy --target docker`, on a real engine.

use std::time::{Duration, Instant};

use deployr_testkit::docker::Docker;
use nix::sys::signal::Signal;

use crate::machine::{Machine, Repository, code, json_lines, stderr, stdout};

const DOCKERFILE: &str = "FROM busybox:test\nWORKDIR /srv\nCOPY . .\n\
                          RUN echo made of a Dockerfile >index.html\n\
                          EXPOSE 3000\nCMD [\"httpd\", \"-f\", \"-p\", \"3000\"]\n";

#[test]
fn a_dockerfile_goes_live_and_back() {
    let machine = Machine::new();
    let socket = Docker::shared().socket();
    let docker = ["--docker-socket", socket.to_str().unwrap()];
    let site = Repository::new(&machine, "site", "exit 1");
    site.commit("deployr.toml", "");
    site.commit("Dockerfile", DOCKERFILE);
    let to_docker = [&["deploy", site.path(), "--target", "docker"], &docker[..]].concat();

    let plan = machine.run(&[&["plan", site.path(), "--target", "docker"], &docker[..]].concat());
    assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    let plan = stdout(&plan);
    assert!(plan.contains("build the Dockerfile"), "{plan}");
    assert!(plan.contains("no request fails meanwhile"), "{plan}");

    let server = machine.serve(&docker);
    let deployed = machine.run(&to_docker);
    assert_eq!(
        code(&deployed),
        0,
        "{}{}",
        stdout(&deployed),
        stderr(&deployed)
    );
    let page = server.get("site.localhost", "/");
    assert!(page.ends_with("made of a Dockerfile\n"), "{page}");

    site.commit(
        "Dockerfile",
        &DOCKERFILE.replace("made of", "made again of"),
    );
    let deployed = machine.run(&to_docker);
    assert_eq!(
        code(&deployed),
        0,
        "{}{}",
        stdout(&deployed),
        stderr(&deployed)
    );
    assert!(
        server
            .get("site.localhost", "/")
            .ends_with("made again of a Dockerfile\n")
    );

    site.commit("Dockerfile", &DOCKERFILE.replace("[\"httpd", "[\"false"));
    let failed = machine.run(&to_docker);
    assert_eq!(code(&failed), 1, "{}{}", stdout(&failed), stderr(&failed));
    assert!(
        server
            .get("site.localhost", "/")
            .ends_with("made again of a Dockerfile\n")
    );

    let back = machine.run(&[&["rollback", "site"], &docker[..]].concat());
    assert_eq!(code(&back), 0, "{}{}", stdout(&back), stderr(&back));
    assert!(
        server
            .get("site.localhost", "/")
            .ends_with("made of a Dockerfile\n")
    );

    let shown = machine.run(&[&["show", "site", "--json"], &docker[..]].concat());
    let usage = &json_lines(&shown)[0]["usage"];
    assert_eq!(usage["containers"], 1, "{usage}");
    assert!(usage["memory_bytes"].as_u64().unwrap() > 0, "{usage}");
    let shown = stdout(&machine.run(&[&["show", "site"], &docker[..]].concat()));
    assert!(shown.contains(" of 2048 MiB, "), "{shown}");

    // An image of no release is shown, and goes when that is said.
    let instance =
        std::fs::read_to_string(machine.path().join(".deployr/docker/instance")).unwrap();
    let lost = format!("deployr-{instance}/site:0");
    Docker::shared().run(&["tag", "busybox:test", &lost]);
    let there = || Docker::shared().run(&["images", "--quiet", &lost]);
    let plan = machine.run(&[&["prune"], &docker[..]].concat());
    assert!(
        stdout(&plan).contains(&lost),
        "{}{}",
        stdout(&plan),
        stderr(&plan)
    );
    assert_ne!(there(), "", "a plan changes nothing");
    let enough = machine.run(&[&["prune", "--budget", "1TiB", "--yes"], &docker[..]].concat());
    assert!(stdout(&enough).contains("0 removed"), "{}", stdout(&enough));
    let done = machine.run(&[&["prune", "--yes", "--json"], &docker[..]].concat());
    assert_eq!(json_lines(&done)[0]["goes"][0]["names"][0], lost.as_str());
    assert_eq!(there(), "");
    assert!(
        server
            .get("site.localhost", "/")
            .ends_with("made of a Dockerfile\n")
    );

    // The container outlives the server that started it, and is found by the next.
    let running =
        || Docker::shared().run(&["ps", "--quiet", "--filter", "label=deployr.project=site"]);
    let before = running();
    server.stop(Signal::SIGKILL);
    let server = machine.serve(&docker);
    assert!(
        server
            .get("site.localhost", "/")
            .ends_with("made of a Dockerfile\n")
    );
    assert_eq!(running(), before);
}

const SERVICES: &str = "
services:
  web:
    build: .
    ports: ['3000']
    depends_on: [data]
  data:
    image: busybox:test
    init: true
    command: sleep 600
    volumes: ['data:/data']
volumes: {data: {}}
";

#[test]
fn the_services_of_a_compose_file_go_live() {
    let machine = Machine::new();
    let socket = Docker::shared().socket();
    let docker = ["--docker-socket", socket.to_str().unwrap()];
    let site = Repository::new(&machine, "site", "exit 1");
    site.commit("deployr.toml", "");
    site.commit("Dockerfile", DOCKERFILE);
    site.commit("compose.yaml", SERVICES);
    let to_compose = [&["deploy", site.path(), "--target", "compose"], &docker[..]].concat();
    let server = machine.serve(&docker);
    let deployed = machine.run(&to_compose);
    assert_eq!(
        code(&deployed),
        0,
        "{}{}",
        stdout(&deployed),
        stderr(&deployed)
    );
    let page = server.get("site.localhost", "/");
    assert!(page.ends_with("made of a Dockerfile\n"), "{page}");

    site.commit(
        "compose.yaml",
        &SERVICES.replace("init: true", "privileged: true"),
    );
    let refused = machine.run(&to_compose);
    assert_eq!(code(&refused), 1, "{}", stdout(&refused));
    let said = format!("{}{}", stdout(&refused), stderr(&refused));
    assert!(said.contains("`privileged`"), "{said}");
    let page = server.get("site.localhost", "/");
    assert!(page.ends_with("made of a Dockerfile\n"), "{page}");
}

#[test]
fn a_dockerfile_goes_live_on_a_swarm_and_back() {
    let machine = Machine::new();
    let socket = Docker::shared().swarm().socket();
    let docker = ["--docker-socket", socket.to_str().unwrap()];
    let site = Repository::new(&machine, "crowd", "exit 1");
    site.commit("deployr.toml", "");
    site.commit("Dockerfile", DOCKERFILE);
    let to_swarm = [&["deploy", site.path(), "--target", "swarm"], &docker[..]].concat();

    let plan = machine.run(&[&["plan", site.path(), "--target", "swarm"], &docker[..]].concat());
    assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    let plan = stdout(&plan);
    assert!(plan.contains("start a service with 1 of it"), "{plan}");
    assert!(plan.contains("no request fails meanwhile"), "{plan}");
    let doctor = machine.run(&[&["doctor", "--json"], &docker[..]].concat());
    let lines = json_lines(&doctor);
    let found = lines.iter().find(|line| line["check"] == "swarm").unwrap();
    assert_eq!(found["state"], "ok", "{found}");

    let server = machine.serve(&docker);
    for text in ["made of", "made again of"] {
        site.commit("Dockerfile", &DOCKERFILE.replace("made of", text));
        let deployed = machine.run(&to_swarm);
        let said = format!("{}{}", stdout(&deployed), stderr(&deployed));
        assert_eq!(code(&deployed), 0, "{said}");
        let page = server.get("crowd.localhost", "/");
        assert!(page.ends_with(&format!("{text} a Dockerfile\n")), "{page}");
    }
    let back = machine.run(&[&["rollback", "crowd"], &docker[..]].concat());
    assert_eq!(code(&back), 0, "{}{}", stdout(&back), stderr(&back));
    let page = server.get("crowd.localhost", "/");
    assert!(page.ends_with("made of a Dockerfile\n"), "{page}");

    // The service outlives the server that started it, and is found by the next.
    let running =
        || Docker::shared().run(&["ps", "--quiet", "--filter", "label=deployr.project=crowd"]);
    let before = running();
    server.stop(Signal::SIGKILL);
    let server = machine.serve(&docker);
    let page = server.get("crowd.localhost", "/");
    assert!(page.ends_with("made of a Dockerfile\n"), "{page}");
    assert_eq!(running(), before);
}

#[test]
fn commands_and_what_they_build_run_in_the_image_that_is_set() {
    let machine = Machine::new();
    let docker = Docker::shared();
    let socket = docker.socket();
    let settings = ["--docker-socket", socket.to_str().unwrap()];
    let image = ["--docker-image", docker.busybox()];
    let site = Repository::new(&machine, "tools", "mkdir dist; id -u >dist/index.html");
    let toml = "build = \"sh build.sh\"\noutput = \"dist\"\nstart = \"exec httpd -f -p $PORT\"\n";
    site.commit("deployr.toml", toml);
    let to_docker = [
        &["deploy", site.path(), "--target", "docker"],
        &settings[..],
    ]
    .concat();

    let none = machine.run(&to_docker);
    assert_eq!(code(&none), 1, "{}", stderr(&none));
    assert!(stderr(&none).contains("no base image"), "{}", stderr(&none));

    let server = machine.serve(&[settings, image].concat());
    let deployed = machine.run(&to_docker);
    assert_eq!(
        code(&deployed),
        0,
        "{}{}",
        stdout(&deployed),
        stderr(&deployed)
    );
    let page = server.get("tools.localhost", "/");
    assert!(page.ends_with("10001\n"), "{page}");
}

/// What the README says, with a project as people have it.
#[test]
fn a_node_project_is_built_and_run_in_a_node_image() {
    let machine = Machine::new();
    let docker = Docker::shared();
    let socket = docker.socket();
    let settings = [
        "--docker-socket",
        socket.to_str().unwrap(),
        "--docker-image",
        docker.node(),
    ];
    let shop = Repository::new(&machine, "shop", "true");
    let package = r#"{"scripts": {"build": "node build.js", "start": "node server.js"}}"#;
    let server_js = "const fs = require('fs');\n\
                     fs.appendFileSync('data/visits', 'x');\n\
                     require('http').createServer((request, response) => {\n\
                       if (request.url === '/up') { response.end('up'); return; }\n\
                       response.end([fs.readFileSync('page', 'utf8'), process.env.GREETING,\n\
                         fs.readFileSync('data/visits', 'utf8').length].join('|'));\n\
                     }).listen(process.env.PORT, process.env.HOST);\n";
    // There is no npm in the image; the rest is as it is found.
    let toml = "install = \"true\"\nbuild = \"node build.js\"\nstart = \"node server.js\"\n\
                shared = [\"data\"]\n[health]\npath = \"/up\"\n";
    for (file, text) in [
        ("package.json", package),
        (
            "build.js",
            "require('fs').writeFileSync('page', process.version)",
        ),
        ("server.js", server_js),
        ("deployr.toml", toml),
    ] {
        shop.commit(file, text);
    }
    let server = machine.serve(&settings);
    let greeting = "GREETING=$HOME `id` \"quoted\" 'twice' & <b>";
    for visits in 1..=2 {
        let deploy = [
            "deploy",
            shop.path(),
            "--target",
            "docker",
            "--env",
            greeting,
        ];
        let deployed = machine.run(&deploy);
        assert_eq!(
            code(&deployed),
            0,
            "{}{}",
            stdout(&deployed),
            stderr(&deployed)
        );
        assert!(
            stdout(&deployed).contains("building as node"),
            "{}",
            stdout(&deployed)
        );
        let page = server.get("shop.localhost", "/");
        let (_, value) = greeting.split_once('=').unwrap();
        assert!(
            page.contains("v") && page.ends_with(&format!("|{value}|{visits}")),
            "{page}"
        );
    }
}

#[test]
fn the_doctor_knows_whether_docker_can_be_used() {
    let machine = Machine::new();
    let check = |socket: &str| {
        let doctor = machine.run(&["doctor", "--json", "--docker-socket", socket]);
        let lines = json_lines(&doctor).into_iter();
        lines
            .into_iter()
            .find(|line| line["check"] == "docker")
            .unwrap()
    };
    let there = check(Docker::shared().socket().to_str().unwrap());
    assert_eq!(there["state"], "ok", "{there}");
    let none = check("/no/such.sock");
    assert_eq!(none["state"], "lacking", "{none}");
    assert!(
        none["help"].as_str().unwrap().contains("--docker-socket"),
        "{none}"
    );
}

/// What is live on an engine that is away when the server starts.
#[test]
fn a_site_comes_back_with_its_engine() {
    let machine = Machine::new();
    let docker = Docker::start();
    let socket = docker.socket();
    let settings = ["--docker-socket", socket.to_str().unwrap()];
    let site = Repository::new(&machine, "later", "exit 1");
    site.commit("deployr.toml", "");
    site.commit("Dockerfile", DOCKERFILE);
    let server = machine.serve(&settings);
    let deploy = [
        &["deploy", site.path(), "--target", "docker"],
        &settings[..],
    ]
    .concat();
    let deployed = machine.run(&deploy);
    assert_eq!(code(&deployed), 0, "{}", stderr(&deployed));
    server.stop(Signal::SIGTERM);

    docker.down("TERM");
    let server = machine.serve(&settings);
    let none = server.get("later.localhost", "/");
    assert!(!none.contains("made of a Dockerfile"), "{none}");
    docker.up();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !server
        .get("later.localhost", "/")
        .ends_with("made of a Dockerfile\n")
    {
        assert!(Instant::now() < deadline, "it is not served again");
        std::thread::sleep(Duration::from_millis(50));
    }
}
