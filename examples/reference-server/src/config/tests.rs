use super::layer::Networks;
use super::*;

const EVERY_KEY: &str = r#"
    data = "here"
    listen = "127.0.0.1:9000"
    metrics_listen = "127.0.0.1:9464"
    domain = "example.com"
    concurrency = 3
    database = "postgres://deployr@db.example.com/deployr"
    node = "web-1"
    docker_socket = "/run/other.sock"
    docker_image = "node:22"
    docker_buildkit = true
    swarm_replicas = 3
    swarm_constraints = ["node.labels.disk==ssd", "node.role==worker"]
    lease_seconds = 7
    keep_log_days = 14
    allow_local = false
    allow_private_hosts = true
    tool_dirs = ["/opt/node"]
    readable = ["/usr", "/etc/passwd"]
    confine_releases = false
    trusted_proxies = ["10.0.0.0/8"]
    pass_env = ["HTTPS_PROXY", "NO_PROXY"]
    ingress = "caddy"
    caddy_admin = "unix//run/caddy/admin.sock"
    caddy_server = "srv0"
    caddy_listen = "127.0.0.1:8443"
    caddy_tls = false
    resolver = ["9.9.9.9:53"]

    [cpanel.shared]
    host = "server42.example.com"
    user = "acme"
    token_file = "/etc/deployr/cpanel-token"
    [cpanel.shared.sites.blog]
    domain = "blog.example.com"

    [ssh.web]
    after_switch = [["sudo", "-n", "systemctl", "reload", "php8.2-fpm"]]
    [[ssh.web.hosts]]
    host = "web-1.example.com"
    root = "/srv/sites"
"#;

#[test]
fn the_command_line_wins_over_the_file_and_that_over_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    std::fs::write(&path, EVERY_KEY).unwrap();
    let flags = Layer {
        config: Some(path),
        concurrency: Some(9),
        ..Layer::default()
    };
    let settings = flags.resolve().unwrap();
    assert_eq!(settings.concurrency, 9);
    assert_eq!(settings.listen.port(), 9000);
    assert_eq!(settings.retention.logs, 14 * DAY);
    assert_eq!(settings.metrics_listen.unwrap().port(), 9464);
    assert_eq!(settings.data, folder.path().join("here"));
    assert!(!settings.allow_local && settings.allow_private_hosts);
    assert_eq!(settings.pass_env.unwrap(), ["HTTPS_PROXY", "NO_PROXY"]);
    assert_eq!(settings.readable.unwrap().len(), 2);
    assert_eq!(settings.docker_target.as_str(), "docker:web-1");
    assert_eq!(
        settings.docker_socket.unwrap(),
        Path::new("/run/other.sock")
    );
    assert_eq!(settings.docker_image.unwrap(), "node:22");
    assert!(settings.docker_buildkit);
    assert_eq!(settings.swarm_target.as_str(), "swarm:web-1");
    assert_eq!(settings.swarm_replicas, 3);
    assert_eq!(settings.swarm_constraints.len(), 2);
    assert!(!settings.confine_releases);
    #[cfg(feature = "cpanel")]
    assert_eq!(
        settings.cpanel.keys().next().unwrap().as_str(),
        "cpanel:shared"
    );
    #[cfg(feature = "ssh")]
    assert_eq!(settings.ssh.keys().next().unwrap().as_str(), "ssh:web");
    assert_eq!(
        settings.caddy.unwrap(),
        Caddy {
            admin: "unix//run/caddy/admin.sock".parse().unwrap(),
            server: "srv0".into(),
            listen: "127.0.0.1:8443".parse().unwrap(),
            tls: false,
        }
    );
    assert_eq!(settings.resolver.unwrap(), ["9.9.9.9:53".parse().unwrap()]);
    assert_eq!(
        settings.trusted_proxies,
        [Network::parse("10.0.0.0/8").unwrap()]
    );

    let defaults = Layer {
        data: Some(folder.path().into()),
        ..Layer::default()
    }
    .resolve()
    .unwrap();
    assert_eq!(
        (
            defaults.concurrency,
            defaults.listen.port(),
            defaults.listen_chosen
        ),
        (2, 8080, false)
    );
    assert_eq!(defaults.retention, Retention::default());
    assert_eq!(defaults.trusted_proxies, Network::LOOPBACK);
    assert!(defaults.caddy.is_none() && defaults.resolver.is_none());
    assert!(defaults.confine_releases && defaults.readable.is_none());
}

#[test]
fn a_value_in_a_file_is_held_to_the_same_rules_as_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    for (line, said) in [
        (
            "concurrency = 999",
            "concurrency must be from 1 to 64, and is 999",
        ),
        (
            "concurrency = 0",
            "concurrency must be from 1 to 64, and is 0",
        ),
        (
            "lease_seconds = 0",
            "lease_seconds must be from 1 to 3600, and is 0",
        ),
        (
            "swarm_replicas = 1001",
            "swarm_replicas must be from 1 to 1000, and is 1001",
        ),
        ("domain = \"http://a.b\"", "domain is invalid"),
        ("trusted_proxies = [\"proxy\"]", "network is invalid"),
    ] {
        std::fs::write(&path, line).unwrap();
        let flags = Layer {
            config: Some(path.clone()),
            ..Layer::default()
        };
        let refused = flags.resolve().unwrap_err();
        assert_eq!(refused.exit(), crate::exit::Exit::Usage);
        assert!(refused.to_string().contains(said), "{refused}");
    }
}

#[test]
fn the_page_about_the_configuration_has_the_list_of_what_may_be_read() {
    let page = include_str!("../../../../docs/configuration.md");
    let list = page
        .split("```toml\n")
        .find(|text| text.starts_with("readable = "))
        .unwrap();
    let list: Layer = toml::from_str(list.split("```").next().unwrap()).unwrap();
    let told: Vec<_> = list.readable.unwrap();
    let known = deployr_exec::local::Sandbox::READABLE
        .iter()
        .map(PathBuf::from);
    assert_eq!(told, known.collect::<Vec<_>>());
}

#[test]
fn no_proxy_at_all_can_be_asked_for() {
    let networks = |text: &str| text.parse::<Networks>().map(|networks| networks.0);
    assert_eq!(networks("none").unwrap(), []);
    assert_eq!(networks("").unwrap(), []);
    assert_eq!(networks("::1, 10.0.0.0/8").unwrap().len(), 2);
    assert!(networks("none, proxy").is_err());
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let error = toml::from_str::<Layer>("concurency = 3").unwrap_err();
    assert!(error.to_string().contains("concurency"), "{error}");
}

#[test]
fn the_page_about_the_configuration_has_every_setting_and_no_other() {
    let page = include_str!("../../../../docs/configuration.md");
    let error = toml::from_str::<Layer>("no_such_key = 1").unwrap_err();
    let (_, known) = error.message().split_once("expected one of").unwrap();
    let mut known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let row = |line: &'static str| {
        let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
        let (_, key, flag, variable) = (cells.next()?, cells.next()?, cells.next()?, cells.next()?);
        variable
            .starts_with("DEPLOYR_")
            .then_some((key, flag, variable))
    };
    let mut told = Vec::new();
    for (key, flag, variable) in page.lines().filter_map(row) {
        assert_eq!(flag, format!("--{}", key.replace('_', "-")));
        assert_eq!(variable, format!("DEPLOYR_{}", key.to_uppercase()));
        assert!(
            EVERY_KEY.contains(&format!(" {key} = ")),
            "{key} is not tested"
        );
        told.push(key);
    }
    // Tables, which no flag could be; they have pages of their own.
    known.retain(|key| !["cpanel", "ssh"].contains(key));
    known.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, known);
}

#[cfg(feature = "cpanel")]
#[test]
fn the_page_about_accounts_has_every_setting_of_one() {
    let page = include_str!("../../../../docs/cpanel.md");
    let examples = page.split("```toml\n").skip(1);
    let examples: Vec<String> = examples
        .map(|text| text.split("```").next().unwrap().replace("\n   ", "\n"))
        // The others are of a repository's own file.
        .filter(|text| text.contains("[cpanel."))
        .collect();
    let layer: Layer = toml::from_str(&examples.concat()).unwrap();
    assert!(crate::cpanel::targets(&layer.cpanel).is_ok_and(|targets| targets.len() == 1));
    let account = "[cpanel.a]\nhost = \"a.b\"\nuser = \"a\"\ntoken_file = \"t\"\n";
    for line in [
        "nope = 1",
        "[cpanel.a.sites.b]\nnope = 1",
        "[cpanel.a.sites.b]\ndatabase = { nope = 1 }",
        "[cpanel.a.sites.b]\ncron = [{ nope = 1 }]",
        "[cpanel.a.sites.b]\ngit = { nope = 1 }",
    ] {
        let error = toml::from_str::<Layer>(&format!("{account}{line}")).unwrap_err();
        let (_, known) = error.message().split_once("expected").unwrap();
        for key in known.split('`').skip(1).step_by(2) {
            assert!(page.contains(&format!("`{key}`")), "{key} is not told");
        }
    }
    let refused = toml::from_str::<Layer>(&format!("{account}root = \"../x\"")).unwrap();
    let refused = crate::cpanel::targets(&refused.cpanel).unwrap_err();
    assert!(
        refused.to_string().contains("cpanel.a.root is invalid"),
        "{refused}"
    );
}

#[cfg(feature = "ssh")]
#[test]
fn the_page_about_servers_has_every_setting_of_one() {
    let page = include_str!("../../../../docs/ssh.md");
    let example = page.split("```toml\n").nth(1).unwrap();
    let layer: Layer = toml::from_str(example.split("```").next().unwrap()).unwrap();
    assert!(crate::ssh::targets(&layer.ssh).is_ok_and(|targets| targets.len() == 1));
    for (line, known) in [
        ("[ssh.web]\nnope = 1", "expected one of"),
        ("[[ssh.web.hosts]]\nnope = 1", "expected one of"),
        ("[[ssh.web.hosts]]\njump = { nope = 1 }", "expected one of"),
    ] {
        let error = toml::from_str::<Layer>(line).unwrap_err();
        let (_, known) = error.message().split_once(known).unwrap();
        for key in known.split('`').skip(1).step_by(2) {
            assert!(page.contains(&format!("`{key}`")), "{key} is not told");
        }
    }
}

#[cfg(feature = "ssh")]
#[test]
fn a_server_that_cannot_be_one_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    for (text, said) in [
        ("[ssh.web]\nhosts = []", "ssh.web: hosts is invalid"),
        (
            "[[ssh.web.hosts]]\nhost = \"-o\"\nroot = \"a\"",
            "ssh.web: host is invalid",
        ),
        (
            "[[ssh.\"A b\".hosts]]\nhost = \"a\"\nroot = \"a\"",
            "target",
        ),
        (
            "[ssh.web]\nhosts = []\nafter_switch = [[]]",
            "needs a program",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let flags = Layer {
            config: Some(path.clone()),
            ..Layer::default()
        };
        let error = flags.resolve().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
