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
