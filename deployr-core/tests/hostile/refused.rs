//! Names, paths, commands, variables and ports of the classes that are refused.

use deployr_core::value::{
    BranchName, BuildCommand, EnvName, EnvValue, InputCode, InvalidValue, OutputDir, Port,
    ProjectName, RelPath, TagName,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::classes::{
    Inputs, any_of, classes, hidden, like, longer_than, must_be_refused, option, shell, then,
    with_part, within,
};

fn branch() -> Inputs {
    let good = || like("[a-z]{2,8}(/[a-zA-Z0-9_#@+=,%-]{1,8}x){0,2}");
    classes(vec![
        ("an option", then(option(), good())),
        ("an unseen character", within(good(), hidden())),
        ("an unseen character in front", then(hidden(), good())),
        (
            "a space",
            within(good(), any_of(&[" ", "\u{a0}", "\u{3000}", "\u{2003}"])),
        ),
        ("a shell's character", within(good(), shell())),
        (
            "a character of git's",
            within(
                good(),
                any_of(&["~1", "^", ":", "?", "*", "[", "\\", "@{", "@{-1}", ".."]),
            ),
        ),
        (
            "a part of git's",
            with_part(good(), any_of(&["", ".x", "..", "x.lock", ".lock"])),
        ),
        (
            "a dot at the end",
            then(good(), any_of(&[".", "..", "/.", ".lock"])),
        ),
        ("a name of git's", any_of(&["@", "HEAD", ""])),
        (
            "a whole ref",
            then(any_of(&["refs/heads/", "refs/tags/", "refs/"]), good()),
        ),
        ("a commit", like("[0-9a-f]{40}")),
        ("endless", longer_than(255, "a/")),
        ("an endless part", longer_than(250, "a")),
    ])
}

fn project_name() -> Inputs {
    let good = || like("[A-Za-z]{2}[A-Za-z0-9]{0,8}( [A-Za-z0-9._-]{1,8}x)?");
    classes(vec![
        ("an option", then(option(), good())),
        ("an unseen character", within(good(), hidden())),
        ("a shell's character", within(good(), shell())),
        (
            "a way out",
            within(good(), any_of(&["/", "\\", "../", "%2e", ":"])),
        ),
        (
            "markup",
            within(good(), any_of(&["<b>", "&amp;", "\"", "{{x}}", "#", "`"])),
        ),
        ("a symbol", within(good(), like("[!*?=+,@^~\\[\\]|🚀€©]"))),
        ("nothing to read", like("[ ._-]{0,20}")),
        (
            "two alphabets",
            then(like("[a-z]{1,5}"), like("[а-яα-ω]{1,3}[a-z]{0,5}")),
        ),
        (
            "a lone mark",
            then(any_of(&["\u{301}", "\u{20dd}"]), good()),
        ),
        ("endless", longer_than(2 * 64, "é")),
    ])
}

fn env_name() -> Inputs {
    let good = || like("[A-Za-z_][A-Za-z0-9_]{1,12}");
    let other = any::<char>().prop_filter("no part of a name", |c| {
        !c.is_ascii_alphanumeric() && *c != '_'
    });
    classes(vec![
        (
            "another character",
            within(good(), other.prop_map(String::from)),
        ),
        ("a value", then(good(), like("=[a-z]{0,8}"))),
        ("a second line", then(good(), like("\r?\n[A-Z]{1,8}(=x)?"))),
        (
            "a function",
            then(like("BASH_FUNC_[a-z]{1,5}"), any_of(&["%%", "()"])),
        ),
        ("a digit in front", then(like("[0-9]"), good())),
        ("nothing", Just(String::new()).boxed()),
        ("endless", longer_than(256, "A")),
    ])
}

fn build_command() -> Inputs {
    let good = || like("[a-z]{2,6} (ci && [a-z]{2,6}|run '[a-z]{0,6}'\n\tmake)");
    let control = hidden().prop_filter("is not for a line", |c| {
        let c = c.chars().next().unwrap();
        c.is_control() && !"\n\t\r".contains(c)
    });
    let order = any_of(&[
        "\u{61c}", "\u{200e}", "\u{200f}", "\u{202a}", "\u{202e}", "\u{2066}", "\u{2069}",
    ]);
    classes(vec![
        ("a control character", within(good(), control)),
        (
            "a line that is written over",
            within(good(), like("\r[a-z]")),
        ),
        ("another order", within(good(), order)),
        (
            "an option of the shell's",
            then(like("[ \t\n]{0,4}[+-]"), good()),
        ),
        ("nothing", like("[ \t\n]{0,9}")),
        ("endless", longer_than(16 * 1024, "make;")),
    ])
}

fn path() -> Inputs {
    let good = || like("[a-z]{2,6}(/[a-zA-Z0-9._@+=,-]{1,6}x){0,2}");
    let up = any_of(&[
        "..",
        "．．",
        "‥",
        "．.",
        "%2e%2e",
        "%2E.",
        "%252e%252e",
        "%c0%ae%c0%ae",
        "%u002e%u002e",
    ]);
    let git = any_of(&[
        ".git", ".GIT", ".gIt", ".git.", ".git...", "git~1", "GIT~1", "．git", ".ｇit",
    ]);
    classes(vec![
        ("a root", then(any_of(&["/", "//"]), good())),
        ("a home", then(like("(\\./)?~[a-z]{0,6}/"), good())),
        (
            "an option",
            then(then(any_of(&["", "./", ".//"]), option()), good()),
        ),
        ("a way up", with_part(good(), up)),
        (
            "a part behind an escape",
            within(good(), like("%(2[eEfF]|5[cC]|0[0aAdD]|25)")),
        ),
        (
            "another separator",
            within(good(), any_of(&["\\", "\\..\\", "／", "＼", "℀"])),
        ),
        ("git's own", with_part(good(), git)),
        ("an unseen character", within(good(), hidden())),
        ("a shell's character", within(good(), shell())),
        ("a pattern or a drive", within(good(), like("[*?\\[\\]!:]"))),
        (
            "spaces around a part",
            with_part(good(), any_of(&[" x", "x ", " "])),
        ),
        (
            "a space of another kind",
            within(good(), any_of(&["\u{a0}", "\t", "\n", "\u{3000}"])),
        ),
        ("nothing", Just(String::new()).boxed()),
        ("endless", longer_than(1_024, "a/")),
        ("an endless part", with_part(good(), longer_than(255, "a"))),
    ])
}

fn port() -> Inputs {
    let good = || {
        (1_024..=65_535_u32)
            .prop_map(|port| port.to_string())
            .boxed()
    };
    let number = |range| Strategy::prop_map(range, |number: u64| number.to_string()).boxed();
    classes(vec![
        ("a sign", then(like("[+-]"), good())),
        ("a leading zero", then(like("0{1,3}"), good())),
        ("another base", like("0[xob][0-9a-f]{1,5}")),
        (
            "a space",
            prop_oneof![
                then(good(), like("[ \t\n\r]")),
                then(like("[ \t\n]"), good())
            ]
            .boxed(),
        ),
        ("a fraction", then(good(), like("\\.[0-9]{1,3}"))),
        ("a power", then(good(), like("[eE][0-9]"))),
        (
            "something behind it",
            then(
                good(),
                prop_oneof![shell(), like("[:/,-][0-9]{1,4}"), hidden()],
            ),
        ),
        ("digits of another script", like("[٠-٩０-９]{4}")),
        ("too large", number(65_536..=u64::MAX)),
        ("larger than a number can be", like("[1-9][0-9]{20,60}")),
        ("one of the system's", number(0..=1_023)),
        ("nothing", Just(String::new()).boxed()),
    ])
}

/// A path of a bad class, and by which type it is refused.
fn refused_path(
    input: &str,
    output: bool,
) -> (Result<String, InvalidValue>, &'static str, InputCode) {
    match output {
        true => (
            OutputDir::parse(input).map(String::from),
            "output_dir",
            InputCode::OutputDirInvalid,
        ),
        false => (
            RelPath::parse(input).map(String::from),
            "path",
            InputCode::PathInvalid,
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_branch_of_a_bad_class_is_refused(input in branch()) {
        must_be_refused(BranchName::parse(&input.1), ("branch", &[InputCode::BranchInvalid]), &input)?;
        must_be_refused(TagName::parse(&input.1), ("tag", &[InputCode::TagInvalid]), &input)?;
    }

    #[test]
    fn a_project_name_of_a_bad_class_is_refused(input in project_name()) {
        let codes = [InputCode::ProjectNameInvalid];
        must_be_refused(ProjectName::parse(&input.1), ("project_name", &codes), &input)?;
    }

    #[test]
    fn a_variable_of_a_bad_class_is_refused(input in env_name()) {
        must_be_refused(EnvName::parse(&input.1), ("env_key", &[InputCode::EnvKeyInvalid]), &input)?;
    }

    #[test]
    fn a_variable_of_the_engines_is_refused(name in "[dD][eE][pP][lL][oO][yY][rR]_[A-Za-z0-9_]{0,9}") {
        let input = ("the engine's", name);
        must_be_refused(EnvName::parse(&input.1), ("env_key", &[InputCode::EnvKeyReserved]), &input)?;
    }

    #[test]
    fn a_value_with_nul_is_refused_and_not_repeated(before in ".{0,20}", after in ".{0,20}") {
        let input = ("NUL", format!("{before}hunter2\0{after}"));
        let refused = EnvValue::parse(&input.1);
        let debug = format!("{refused:?}");
        prop_assert!(!debug.contains("hunter2"));
        must_be_refused(refused, ("env_value", &[InputCode::EnvValueInvalid]), &input)?;
    }

    #[test]
    fn a_command_of_a_bad_class_is_refused(input in build_command()) {
        let codes = [InputCode::BuildCommandInvalid];
        must_be_refused(BuildCommand::parse(&input.1), ("build_command", &codes), &input)?;
    }

    #[test]
    fn a_path_of_a_bad_class_is_refused(input in path(), output in any::<bool>()) {
        let (refused, field, code) = refused_path(&input.1, output);
        must_be_refused(refused, (field, &[code]), &input)?;
    }

    #[test]
    fn a_port_of_a_bad_class_is_refused(input in port()) {
        let codes = [InputCode::PortInvalid, InputCode::PortReserved];
        must_be_refused(Port::parse(&input.1), ("port", &codes), &input)?;
    }

    #[test]
    fn a_number_that_is_no_port_is_refused(whole in any::<i64>(), fraction in select(vec![0.5, 1e-9, 0.999])) {
        let codes = [InputCode::PortInvalid, InputCode::PortReserved];
        let input = ("a number", whole.to_string());
        if !(1_024..=65_535).contains(&whole) {
            must_be_refused(Port::try_from(whole), ("port", &codes), &input)?;
        }
        let broken = 3_000.0 + (whole % 1_000) as f64 + fraction;
        must_be_refused(Port::try_from(broken), ("port", &codes), &input)?;
    }
}

#[test]
fn no_number_at_all_is_no_port() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5, 1e300] {
        assert!(Port::try_from(number).is_err(), "{number}");
    }
}

/// Too large to be made two thousand times.
#[test]
fn a_value_without_end_is_refused() {
    let code = EnvValue::parse("x".repeat(64 * 1024 + 1)).unwrap_err().code;
    assert_eq!(code, InputCode::EnvValueTooLarge);
}
