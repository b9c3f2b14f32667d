//! `deploy --target docker`, on a real engine.

use deployr_testkit::docker::Docker;

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
}

#[test]
fn commands_and_what_they_build_run_in_the_image_that_is_set() {
    let machine = Machine::new();
    let docker = Docker::shared();
    let socket = docker.socket();
    let settings = ["--docker-socket", socket.to_str().unwrap()];
    let image = ["--docker-image", docker.busybox()];
    let site = Repository::new(&machine, "site", "mkdir dist; id -u >dist/index.html");
    let toml = "build = \"sh build.sh\"\noutput = \"dist\"\nstart = \"exec httpd -f -p $PORT\"\n";
    site.commit("deployr.toml", toml);
    let to_docker = [
        &["deploy", site.path(), "--target", "docker"],
        &settings[..],
    ]
    .concat();

    let none = machine.run(&to_docker);
    assert_eq!(code(&none), 1, "{}", stderr(&none));
    assert!(stderr(&none).contains("no image"), "{}", stderr(&none));

    let server = machine.serve(&[settings, image].concat());
    let deployed = machine.run(&to_docker);
    assert_eq!(
        code(&deployed),
        0,
        "{}{}",
        stdout(&deployed),
        stderr(&deployed)
    );
    let page = server.get("site.localhost", "/");
    assert!(page.ends_with("10001\n"), "{page}");
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
