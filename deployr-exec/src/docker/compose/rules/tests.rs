use super::*;

fn refused(text: &str) -> Refused {
    let folder = tempfile::tempdir().unwrap();
    match check_text(text, folder.path()) {
        Err(refused) => refused,
        Ok(()) => check(text, folder.path()).unwrap_err(),
    }
}

#[track_caller]
fn forbids(text: &str, wanted: &str) {
    match refused(text) {
        Refused::Forbidden { place, .. } => assert_eq!(place, wanted, "{text}"),
        other => panic!("{other}"),
    }
}

#[test]
fn what_reaches_beyond_the_project_is_forbidden() {
    for field in [
        "privileged: true",
        "network_mode: host",
        "pid: host",
        "ipc: host",
        "uts: host",
        "userns_mode: host",
        "cgroup_parent: /",
        "devices: ['/dev/sda']",
        "cap_add: [SYS_ADMIN]",
        "security_opt: ['apparmor:unconfined']",
        "volumes_from: ['other']",
        "sysctls: {net.ipv4.ip_forward: 1}",
        "runtime: other",
        "gpus: all",
        "extra_hosts: ['x:host-gateway']",
        "configs: [x]",
        "secrets: [x]",
        "credential_spec: {file: x}",
        "external_links: [x]",
        "device_cgroup_rules: ['c 1:3 rwm']",
        "storage_opt: {size: 1G}",
        "group_add: [docker]",
        "cgroup: host",
        "oom_score_adj: -1000",
        "use_api_socket: true",
        "provider: {type: x}",
        "post_start: [{command: x, privileged: true}]",
    ] {
        let text = format!("services:\n  x:\n    image: alpine\n    {field}\n");
        forbids(&text, field.split(':').next().unwrap());
    }
    for (text, place) in [
        ("include: ['oci://x/y:1']\nservices: {}\n", "include"),
        (
            "services: {x: {extends: {file: /etc/passwd, service: x}}}",
            "services.x.extends",
        ),
        (
            "services: {env_file: {image: alpine, env_file: /etc/passwd}}",
            "services.env_file.env_file",
        ),
        (
            "services: {env_file: {extends: {file: /etc/passwd, service: x}}}",
            "services.env_file.extends",
        ),
        (
            "services: {extends: {image: alpine, env_file: [../.env]}}",
            "services.extends.env_file",
        ),
        (
            "a: &a {env_file: ../../.env}\nservices: {x: {<<: *a, image: alpine}}",
            "a.env_file",
        ),
        (
            "services: {x: {image: alpine, env_file: [{path: '${X:-/}etc/passwd'}]}}",
            "services.x.env_file",
        ),
        (
            "services: {x: {image: alpine, volumes: ['/:/h']}}",
            "services.x.volumes",
        ),
        (
            "services: {x: {image: alpine, volumes: [{type: bind, source: /, target: /h}]}}",
            "services.x.volumes",
        ),
        (
            "services: {x: {image: alpine, volumes: [{type: npipe, source: /, target: /h}]}}",
            "services.x.volumes",
        ),
        (
            "services: {x: {image: alpine}}\nvolumes: {v: {driver_opts: {o: bind}}}",
            "driver_opts",
        ),
        (
            "services: {x: {image: alpine}}\nvolumes: {v: {external: true}}",
            "external",
        ),
        (
            "services: {x: {image: alpine}}\nvolumes: {v: {driver: nfs}}",
            "volumes.v.driver",
        ),
        (
            "services: {x: {image: alpine}}\nnetworks: {n: {driver: host}}",
            "networks.n.driver",
        ),
        (
            "services: {x: {image: alpine}}\nnetworks: {n: {external: true, name: bridge}}",
            "external",
        ),
        (
            "services: {x: {image: alpine, ports: ['127.0.0.1:22:22']}}",
            "services.x.ports",
        ),
        (
            "services: {x: {build: {context: /}}}",
            "services.x.build.context",
        ),
        (
            "services: {x: {build: {context: 'https://example.com/x.git'}}}",
            "services.x.build.context",
        ),
        (
            "services: {x: {image: alpine, deploy: {replicas: 2}}}",
            "services.x.deploy.replicas",
        ),
        ("secrets: {s: {file: /etc/shadow}}\nservices: {}", "secrets"),
    ] {
        forbids(text, place);
    }
}

#[test]
fn arguments_of_a_build_do_not_tell_the_builder_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let build = |args: &str| {
        let root = folder.path().display();
        let text = format!("services: {{x: {{build: {{context: '{root}', args: {args}}}}}}}");
        check(&text, folder.path())
    };
    for args in [
        "{BUILDKIT_CACHE_MOUNT_NS: other}",
        "{buildkit_Cache_Mount_Ns: null}",
        "[A=b, 'BUILDKIT_SYNTAX=evil/frontend']",
        "[Buildkit_syntax]",
    ] {
        match build(args) {
            Err(Refused::Forbidden { place, .. }) => assert_eq!(place, "services.x.build.args"),
            other => panic!("{args}: {other:?}"),
        }
    }
    for args in ["{A: b, BUILDKIT: 1}", "['A=BUILDKIT_X', B]", "null"] {
        assert!(build(args).is_ok(), "{args}");
    }
}

#[test]
fn a_link_out_of_the_checkout_leads_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink("/etc", at("conf")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", at("dangling")).unwrap();
    for path in ["conf", "conf/passwd", "dangling", "dangling/x"] {
        let text = format!(
            "services: {{x: {{image: alpine, volumes: ['{}:/x']}}}}",
            at(path).display()
        );
        let refused = check(&text, folder.path()).unwrap_err();
        assert!(matches!(refused, Refused::Forbidden { .. }), "{path}");
    }
    std::os::unix::fs::symlink("/proc/1/environ", at(".env")).unwrap();
    assert!(check_text("services: {}", folder.path()).is_err());
}

#[test]
fn bombs_and_nonsense_are_invalid() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for n in 1..9 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(",");
        bomb += &format!("a{n}: &a{n} [{aliases}]\n");
    }
    for text in [&bomb, "services: [", "services: 7", "services: {x: {}}"] {
        assert!(matches!(refused(text), Refused::Invalid(_)), "{text}");
    }
}

#[test]
fn an_ordinary_app_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display();
    let text = format!(
        "services:
  web:
    build: {{context: {root}}}
    ports: [{{target: 3000}}, '8080:80']
    depends_on: {{db: {{condition: service_healthy}}}}
    labels: {{com.example: x}}
    volumes: ['{root}/conf:/conf:ro']
  db:
    image: postgres:16
    volumes: ['pg:/var/lib/postgresql/data:rw']
    healthcheck: {{test: [CMD, pg_isready], interval: 5s}}
x-note: {{a: b}}
volumes: {{pg: {{}}}}
version: '3.9'
"
    );
    check_text(&text, folder.path()).unwrap();
    let model = check(&text, folder.path()).unwrap();
    let web = &model.services["web"];
    assert_eq!(
        web.ports.iter().map(container_port).collect::<Vec<_>>(),
        [Some(3000), Some(80)]
    );
    assert_eq!(host_port(&web.ports[1]), Ok(Some(8080)));
    assert_eq!(web.depends_on.iter(), [("db", true)]);
}
