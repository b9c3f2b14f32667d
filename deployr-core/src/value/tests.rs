use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Text in which the characters that matter are not rare.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![
            "a", "B", "7", "-", "--", ".", "..", "/", "./", ":", "@", "@{", "%", "%2e", "%00", " ",
            "\\", "\0", "\n", "~", "git", ".git", ".lock", "https://", "ssh://", "file:///", "::",
            "[", "]", "[::1]", "example.com", "ż", "\u{200b}", "\u{301}", "日", "xn--", "=", "refs/",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop_oneof![
        prop::collection::vec(piece, 0..12).prop_map(|parts| parts.concat()),
        any::<String>()
    ]
}

fn is_tame(text: &str) -> bool {
    !text.contains(char::is_control)
        && !text.starts_with('-')
        && !text.split('/').any(|part| part == "..")
}

macro_rules! round_trip {
    ($input:expr, $($type:ty),*) => {$(
        if let Ok(value) = <$type>::parse($input) {
            prop_assert_eq!(<$type>::parse(value.to_string()), Ok(value.clone()));
            let json = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<$type>(&json).unwrap(), value);
        }
    )*};
}

proptest! {
    #[test]
    fn parsing_is_stable(input in nasty()) {
        round_trip!(
            &input, GitUrl, BranchName, TagName, CommitId, ProjectName, Slug, EnvName,
            BuildCommand, OutputDir, RelPath, Port, HealthPath, TargetName, JobKind, TenantId
        );
        let _ = EnvValue::parse(&input);
    }

    #[test]
    fn every_address_accepted_is_stable(input in nasty()) {
        if let Ok(url) = GitUrl::parse_with(&input, &UrlPolicy::PERMISSIVE) {
            let again = GitUrl::parse_with(url.as_str(), &UrlPolicy::PERMISSIVE);
            prop_assert_eq!(&again, &Ok(url.clone()));
            prop_assert!(!url.repo_name().is_empty());
            prop_assert!(!url.as_str().contains(|c: char| c.is_control() || c == ' '));
        }
    }

    #[test]
    fn accepted_names_are_tame(input in nasty()) {
        let accepted = [
            BranchName::parse(&input).map(String::from),
            Slug::parse(&input).map(String::from),
            OutputDir::parse(&input).map(String::from),
            RelPath::parse(&input).map(String::from),
            TargetName::parse(&input).map(String::from),
        ];
        for value in accepted.into_iter().flatten() {
            prop_assert!(is_tame(&value), "{:?}", value);
        }
    }

    #[test]
    fn every_name_has_a_slug(input in nasty()) {
        if let Ok(name) = ProjectName::parse(&input) {
            let slug = Slug::from_name(&name);
            prop_assert!(slug.as_str().len() <= 40);
            prop_assert_eq!(Slug::parse(&slug), Ok(slug));
        }
    }

    #[test]
    fn joined_paths_stay_inside(a in nasty(), b in nasty()) {
        if let (Ok(a), Ok(b)) = (RelPath::parse(a), RelPath::parse(b)) {
            let joined = a.join(&b).unwrap();
            prop_assert!(joined.under("/root".as_ref()).starts_with("/root"));
        }
    }
}

#[test]
fn slugs_from_names() {
    let cases = [
        ("Łódź & Søn", None),
        ("Łódź Søn", Some("lodz-son")),
        ("日本語", Some("project")),
        ("Straße 9", Some("strasse-9")),
        ("-x", None),
        ("a - _ . b.", Some("a-b")),
        ("İstanbul ﬁt", Some("istanbul-fit")),
    ];
    for (name, slug) in cases {
        let made = ProjectName::parse(name)
            .ok()
            .map(|name| Slug::from_name(&name).to_string());
        assert_eq!(made.as_deref(), slug, "{name}");
    }
}

#[test]
fn addresses_are_normalised() {
    let cases = [
        (
            "https://GitHub.com:443/Acme/App.git/",
            "https://github.com/Acme/App.git",
        ),
        (
            "git@github.com:acme/app.git",
            "ssh://git@github.com/acme/app.git",
        ),
        ("github.com:/acme/app", "ssh://github.com/acme/app"),
        (
            "ssh://git@[2606:4700::1]:22/a",
            "ssh://git@[2606:4700::1]/a",
        ),
        ("git@[2606:4700::1]:a/b", "ssh://git@[2606:4700::1]/a/b"),
        (
            "HTTPS://dev.azure.com/o/My%20Project/_git/r",
            "https://dev.azure.com/o/My%20Project/_git/r",
        ),
    ];
    for (input, normal) in cases {
        let url = GitUrl::parse(input).unwrap();
        assert_eq!(url.as_str(), normal);
        let stored: GitUrl = serde_json::from_value(normal.into()).unwrap();
        assert_eq!(stored, url);
    }
    let url = GitUrl::parse("ssh://git@git.example.com:2222/team/sub/app.git").unwrap();
    assert_eq!(
        (url.host(), url.port()),
        (Some("git.example.com"), Some(2222))
    );
    assert_eq!((url.user(), url.path()), (Some("git"), "/team/sub/app.git"));
}

#[test]
fn local_repositories_need_to_be_allowed() {
    let url = GitUrl::local("/srv/git/my app.git".as_ref()).unwrap();
    assert_eq!(url.as_str(), "file:///srv/git/my%20app.git");
    assert_eq!(
        (url.scheme(), url.repo_name()),
        (GitScheme::Local, "my app".to_owned())
    );
    assert_eq!(url.local_path(), Some("/srv/git/my app.git".into()));
    let code = GitUrl::parse(url.as_str()).unwrap_err().code;
    assert_eq!(code, InputCode::RepoUrlScheme);
    assert_eq!(
        GitUrl::parse_with(&url, &UrlPolicy::PERMISSIVE).as_ref(),
        Ok(&url)
    );
    assert_eq!(
        GitUrl::parse_with("/srv/git/my app.git", &UrlPolicy::PERMISSIVE),
        Ok(url)
    );
    for path in ["srv/git", "/", "/srv/../etc", "", "/a\nb"] {
        assert!(GitUrl::local(path.as_ref()).is_err(), "{path}");
    }
}

#[test]
fn errors_hold_no_secret() {
    let secret = "hunter2";
    let errors = [
        GitUrl::parse(format!("https://me:{secret}@github.com/a/b")).unwrap_err(),
        GitUrl::parse(format!("https://{secret}@github.com/a b")).unwrap_err(),
        GitUrl::parse(format!("me:{secret}@github.com:a/b")).unwrap_err(),
        GitUrl::parse(format!("https://github.com/a/b?token={secret}")).unwrap_err(),
        EnvName::parse(format!("A={secret}")).unwrap_err(),
        EnvValue::parse(format!("{secret}\0")).unwrap_err(),
        BuildCommand::parse(format!("TOKEN={secret}\0")).unwrap_err(),
    ];
    for error in errors {
        assert!(!format!("{error} {error:?}").contains(secret), "{error}");
    }
}

#[test]
fn errors_are_short_and_escaped() {
    let error = BranchName::parse("\u{202e}\n".repeat(1000)).unwrap_err();
    assert!(error.shown.chars().count() <= 60 && error.shown.ends_with('…'));
    assert!(error.shown.starts_with(r"\u{202e}\n"));
}

#[test]
fn addresses_that_are_not_public() {
    let private = [
        "0.0.0.0",
        "10.1.2.3",
        "100.100.100.200",
        "127.0.0.1",
        "168.63.129.16",
        "172.31.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
        "2001:db8::1",
    ];
    for ip in private {
        assert!(!is_public_address(ip.parse().unwrap()), "{ip}");
    }
    for ip in [
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "::ffff:8.8.8.8",
        "2606:4700::1111",
    ] {
        assert!(is_public_address(ip.parse().unwrap()), "{ip}");
    }
}

#[test]
fn ports_in_json() {
    for json in ["3000", "3000.0", "3e3", "\"3000\""] {
        assert_eq!(serde_json::from_str::<Port>(json).unwrap().get(), 3000);
    }
    for json in [
        "0",
        "-1",
        "3000.5",
        "1e400",
        "1e30",
        "\"\"",
        "\"+3000\"",
        "\"03000\"",
        "null",
    ] {
        assert!(serde_json::from_str::<Port>(json).is_err(), "{json}");
    }
}

#[test]
fn refs_in_json() {
    let main = GitRef::Branch(BranchName::parse("main").unwrap());
    let json = serde_json::to_string(&main).unwrap();
    assert_eq!(json, r#"{"kind":"branch","name":"main"}"#);
    assert_eq!(serde_json::from_str::<GitRef>(&json).unwrap(), main);
    assert!(serde_json::from_str::<GitRef>(r#"{"kind":"tag","name":"-x"}"#).is_err());
}

#[test]
fn env_sets_are_capped_as_a_whole() {
    let name = |n: usize| EnvName::parse(format!("N{n}")).unwrap();
    let large = EnvValue::parse("x".repeat(64 * 1024 - 10)).unwrap();
    let mut env = EnvSet::new();
    for n in 0..16 {
        env.insert(name(n), large.clone()).unwrap();
    }
    // Replacing a value does not count it twice.
    env.insert(name(3), large.clone()).unwrap();
    let before = env.clone();
    let refused = env.insert(name(16), large.clone()).unwrap_err();
    assert_eq!(refused.code, InputCode::EnvValueTooLarge);
    let mut more = EnvSet::new();
    more.insert(name(0), EnvValue::parse("new").unwrap())
        .unwrap();
    more.insert(name(17), large.clone()).unwrap();
    more.insert(name(18), large.clone()).unwrap();
    assert!(env.merge(&more).is_err());
    assert_eq!(env, before);
    assert_eq!(env.remove("N3"), Some(large));
    assert_eq!(env.len(), 15);
    assert!(!format!("{env:?}").contains('x'));
}

#[test]
fn a_number_out_of_its_range_is_refused_by_field_and_rule() {
    assert_eq!(KeepReleases::new(2).unwrap(), KeepReleases::MIN);
    assert_eq!(KeepReleases::new(100).unwrap(), KeepReleases::MAX);
    for number in [i64::MIN, -1, 0, 1, 101, i64::MAX] {
        let refused = KeepReleases::new(number).unwrap_err();
        assert_eq!(refused.code, InputCode::NumberOutOfRange);
        let said = format!(
            "keep_releases is invalid: must be a whole number from 2 to 100 (got \"{number}\")"
        );
        assert_eq!(refused.to_string(), said);
    }
    assert_eq!(DrainTime::new(0).unwrap().duration(), Duration::ZERO);
    assert_eq!(
        BuildTimeout::default().duration(),
        Duration::from_secs(1_800)
    );
}

#[test]
fn a_number_is_read_from_json_as_it_is_written() {
    let read = |text: &str| serde_json::from_str::<HealthDeadline>(text);
    assert_eq!(read("250").unwrap().get(), 250);
    assert_eq!(serde_json::to_string(&read("250").unwrap()).unwrap(), "250");
    for text in ["0", "-5", "3600001", "18446744073709551615"] {
        let refused = read(text).unwrap_err().to_string();
        assert!(
            refused.contains("health.deadline_ms is invalid"),
            "{refused}"
        );
    }
    for text in ["\"250\"", "2.5", "null"] {
        assert!(
            read(text)
                .unwrap_err()
                .to_string()
                .contains("a whole number")
        );
    }
}

#[test]
fn domains_are_names_and_no_addresses() {
    let name = |text: &str| DomainName::parse(text).map(|name| name.to_string());
    assert_eq!(name("localhost").unwrap(), "localhost");
    assert_eq!(name("Apps.Example.COM.").unwrap(), "apps.example.com");
    let long = format!("{}.com", "a.".repeat(100));
    for bad in [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a_b",
        "exämple.com",
        "http://a",
        "a:80",
        "a/b",
        "127.0.0.1",
        "::1",
        "*.a.com",
        &long,
        &"a".repeat(64),
    ] {
        assert_eq!(
            name(bad).unwrap_err().code,
            InputCode::DomainInvalid,
            "{bad}"
        );
    }
}

#[test]
fn networks_hold_the_addresses_that_begin_alike() {
    let holds = |network: &str, address: &str| {
        Network::parse(network)
            .unwrap()
            .contains(address.parse().unwrap())
    };
    assert!(holds("127.0.0.0/8", "127.9.9.9") && !holds("127.0.0.0/8", "128.0.0.0"));
    assert!(
        holds("127.0.0.0/8", "::ffff:127.0.0.1"),
        "as a dual-stack socket has it"
    );
    assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "::1"));
    assert!(holds("::/0", "2001:db8::1") && !holds("::/0", "192.0.2.1"));
    assert!(
        holds("2001:db8::/33", "2001:db8:7fff::") && !holds("2001:db8::/33", "2001:db8:8000::")
    );
    assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
    for bad in [
        "",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0.1/8",
        "::1/64",
        "::1/129",
        "10.0.0",
        "localhost",
        "::ffff:10.0.0.1",
        "10.0.0.0/8/8",
    ] {
        assert_eq!(
            Network::parse(bad).unwrap_err().code,
            InputCode::NetworkInvalid,
            "{bad}"
        );
    }
}
