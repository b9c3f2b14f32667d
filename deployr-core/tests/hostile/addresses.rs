//! Addresses of repositories: `git_url`.

use deployr_core::value::{GitScheme, GitUrl, InputCode, is_public_address};
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

use crate::classes::{
    Inputs, any_of, classes, hidden, like, longer_than, must_be_kept, must_be_refused, option,
    then, with_part, within,
};

const FIELD: &str = "repo_url";

fn good() -> BoxedStrategy<String> {
    prop_oneof![
        like("https://git\\.[a-z]{1,9}\\.(com|dev|org)/[a-z]{1,8}(/[a-z0-9]{1,8}){1,3}(\\.git)?"),
        like("git@git\\.[a-z]{1,9}\\.com:[a-z]{1,8}/[a-z]{1,8}\\.git"),
        like("ssh://git@git\\.[a-z]{1,9}\\.com(:2222)?/[a-z]{1,8}/[a-z]{1,8}"),
    ]
    .boxed()
}

/// An address of a private network, in one of the spellings that programs understand.
fn private() -> BoxedStrategy<String> {
    let networks = prop_oneof![
        Just([10, 0, 0, 0, 8]),
        Just([127, 0, 0, 0, 8]),
        Just([169, 254, 0, 0, 16]),
        Just([172, 16, 0, 0, 12]),
        Just([192, 168, 0, 0, 16]),
        Just([100, 64, 0, 0, 10]),
        Just([0, 0, 0, 0, 8]),
    ];
    let address = (networks, any::<u32>()).prop_map(|([a, b, c, d, bits], host)| {
        let network = u32::from_be_bytes([a, b, c, d]);
        network | host & (u32::MAX >> bits)
    });
    let spelt = (address, 0..8_usize).prop_map(|(number, spelling)| {
        let [a, b, c, d] = number.to_be_bytes();
        match spelling {
            0 => format!("{a}.{b}.{c}.{d}"),
            1 => number.to_string(),
            2 => format!("0x{number:x}"),
            3 => format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            4 => format!("{a}.{}", number & 0xff_ffff),
            5 => format!("[::ffff:{a}.{b}.{c}.{d}]"),
            6 => format!("[64:ff9b::{:x}:{:x}]", number >> 16, number & 0xffff),
            _ => format!("{a}.{b}.{c}.{d}."),
        }
    });
    let six = any_of(&["[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]", "[fc00::9]"]);
    let names = prop_oneof![
        like("[a-z]{1,12}"),
        like("[a-z]{1,8}\\.(localhost|local|internal|lan|intranet|home\\.arpa|LOCALHOST)\\.?"),
    ];
    prop_oneof![4 => spelt, 1 => six, 1 => names].boxed()
}

fn bad() -> Inputs {
    let way = like("[a-z]{1,6}/[a-z]{1,6}\\.git");
    classes(vec![
        ("an option", then(option(), good())),
        (
            "a helper of git",
            then(
                like("(ext|fd|file|[a-z]{2,8}|[a-z]{1,4}[.+-][a-z]{1,4})::"),
                prop_oneof![good(), like("[ -~]{0,20}")],
            ),
        ),
        (
            "another protocol",
            then(
                any_of(&[
                    "file://",
                    "FILE://",
                    "ftp://",
                    "git://",
                    "rsync://",
                    "git+ssh://",
                    "data://",
                    "http://",
                ]),
                like("git\\.example\\.com/[a-z]{1,6}/[a-z]{1,6}"),
            ),
        ),
        (
            "a file",
            then(
                any_of(&["/", "./", "../", "C:/", "~/"]),
                like("[a-z/]{1,20}"),
            ),
        ),
        ("an unseen character", within(good(), hidden())),
        (
            "a shell's character",
            then(
                good(),
                any_of(&[
                    ";id", "|id", "$(id)", "`id`", " x", "'", "\"", "<", ">", "*", "&x", "!",
                ]),
            ),
        ),
        (
            "a query or a fragment",
            then(good(), like("[?#][a-z=]{0,8}")),
        ),
        (
            "a way up",
            with_part(
                way,
                any_of(&[
                    "..",
                    ".",
                    "%2e%2e",
                    "%2E.",
                    ".%2e",
                    "%252e%252e",
                    "a%2fb",
                    "a%5cb",
                    "%00",
                    "%0a",
                ]),
            )
            .prop_map(|path| format!("https://git.example.com/{path}"))
            .boxed(),
        ),
        ("endless", then(good(), longer_than(2_048, "a"))),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_address_of_a_bad_class_is_refused(input in bad()) {
        let codes = [
            InputCode::RepoUrlInvalid,
            InputCode::RepoUrlScheme,
            InputCode::RepoUrlCredentials,
            InputCode::RepoUrlPrivateHost,
        ];
        must_be_refused(GitUrl::parse(&input.1), (FIELD, &codes), &input)?;
    }

    #[test]
    fn a_private_network_is_refused_in_every_spelling(host in private(), secure in any::<bool>()) {
        let url = match secure {
            true => format!("https://{host}/a/b"),
            false => format!("ssh://git@{host}:2222/a/b"),
        };
        let input = ("a private network", url);
        // Or, where nobody can tell what is meant, as no host at all.
        let codes = [InputCode::RepoUrlPrivateHost, InputCode::RepoUrlInvalid];
        must_be_refused(GitUrl::parse(&input.1), (FIELD, &codes), &input)?;
    }

    #[test]
    fn a_login_is_refused_and_not_repeated(
        before in "[a-z%.]{0,6}", after in "[a-z:%@.]{0,6}", user in "[a-z]{0,4}:?",
    ) {
        let login = format!("{user}{before}hunter2{after}");
        for url in [format!("https://{login}@git.example.com/a/b"), format!("ssh://git:{login}@git.example.com/a/b")] {
            let codes = [InputCode::RepoUrlCredentials, InputCode::RepoUrlInvalid];
            let refused = GitUrl::parse(&url);
            let debug = format!("{refused:?}");
            prop_assert!(!debug.contains("hunter2"), "{debug}");
            must_be_refused(refused, (FIELD, &codes), &("a login", url))?;
        }
    }

    /// Nor where it is not clear any more where it ends.
    #[test]
    fn what_may_be_a_login_is_not_repeated(after in "[a-z:/?#%@.]{0,6}") {
        let url = format!("https://user:hunter2{after}@git.example.com/a/b");
        let debug = format!("{:?}", GitUrl::parse(&url).map(drop));
        prop_assert!(!debug.contains("hunter2"), "{debug}");
    }

    #[test]
    fn a_good_address_is_kept(input in good()) {
        let url = must_be_kept(|text| GitUrl::parse(text), &input)?;
        prop_assert!(matches!(url.scheme(), GitScheme::Https | GitScheme::Ssh));
    }

    /// Whatever somebody thinks of: what is accepted of it is public, and carries nothing.
    #[test]
    fn what_is_accepted_of_a_spoilt_address_is_harmless(
        input in within(good(), prop_oneof![like("[a-zA-Z0-9:/@.%\\[\\]~+=,-]{1,6}"), any::<char>().prop_map(String::from)]),
    ) {
        let Ok(url) = GitUrl::parse(&input) else { return Ok(()) };
        let host = url.host().unwrap();
        prop_assert!(host.is_ascii() && !host.starts_with('-') && host.contains(['.', ':']), "{host}");
        if let Ok(ip) = host.trim_matches(['[', ']']).parse() {
            prop_assert!(is_public_address(ip), "{ip}");
        }
        prop_assert!(!url.user().unwrap_or_default().starts_with('-'));
        prop_assert!(url.scheme() == GitScheme::Ssh || url.user().is_none());
        let parsed = url::Url::parse(url.as_str()).unwrap();
        let carries = parsed.password().or(parsed.query()).or(parsed.fragment());
        prop_assert_eq!(carries, None);
        prop_assert!(!url.repo_name().starts_with('-'));
        prop_assert!(!url.path().split('/').any(|part| part == ".."), "{url}");
    }
}
