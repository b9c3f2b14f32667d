//! Values of the classes that must not be refused, and what holds for whatever is accepted.

use std::path::{Component, Path};

use deployr_core::value::{
    BranchName, BuildCommand, EnvName, EnvValue, OutputDir, Port, ProjectName, RelPath, Slug,
};
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;
use unicode_normalization::UnicodeNormalization;

use crate::classes::{hidden, like, must_be_kept, option, shell, within};

/// Something that is fine, with anything at all put into it.
fn doubtful() -> BoxedStrategy<String> {
    let good = like("[a-zA-Z][a-zA-Z0-9/ ._-]{1,12}[a-z0-9]");
    let strange = prop_oneof![
        hidden(),
        shell(),
        option(),
        like("[./%\\\\]{1,4}"),
        like("(%[0-9a-f]{2}|\\.|/){1,4}"),
        any::<char>().prop_map(String::from),
    ];
    prop_oneof![
        within(good.clone(), strange.clone()),
        (strange, good).prop_map(|(a, b)| a + &b)
    ]
    .boxed()
}

fn is_seen(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{ad}'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_good_branch_is_kept(name in "[a-zà-öø-ž日]{1,6}(/[a-zA-Z0-9_#@+=,%-]{1,10}){0,3}(\\.[0-9]{1,3})?") {
        let branch = must_be_kept(|text| BranchName::parse(text), &name)?;
        prop_assert_eq!(branch.as_str(), name);
    }

    #[test]
    fn a_good_project_name_is_kept(name in "[A-Za-zÀ-ÖØ-öø-ž][A-Za-zØ-öø-ž0-9]{0,12}([ _.-][A-Za-z0-9]{1,9}){0,3}") {
        let project = must_be_kept(|text| ProjectName::parse(text), &name)?;
        let same: String = name.nfc().collect();
        prop_assert_eq!(project.as_str(), same);
        prop_assert!(Slug::parse(Slug::from_name(&project).as_str()).is_ok());
    }

    #[test]
    fn a_good_variable_is_kept_to_the_byte(name in "[A-CE-Za-ce-z_][A-Za-z0-9_]{0,40}", value in any::<String>()) {
        let kept = must_be_kept(|text| EnvName::parse(text), &name)?;
        prop_assert_eq!(kept.as_str(), &name);
        let value = value.replace('\0', "\u{1}");
        let kept = EnvValue::parse(&value).unwrap();
        prop_assert_eq!(kept.expose(), &value);
        let debug = format!("{kept:?}");
        prop_assert_eq!(debug, "EnvValue(..)");
    }

    /// A command is for a shell: nothing that a shell takes is refused.
    #[test]
    fn a_good_command_is_kept(command in "[a-z.$(\"'][ -~\t\nà-ž]{0,80}[a-z)\"';]") {
        let kept = must_be_kept(|text| BuildCommand::parse(text), &command)?;
        prop_assert_eq!(kept.as_str(), &command);
        let sent = command.replace('\n', "\r\n");
        prop_assert_eq!(BuildCommand::parse(sent).unwrap(), kept);
    }

    #[test]
    fn a_good_path_is_kept(path in "[a-zà-ž日@._+]?[a-z0-9][a-zA-Z0-9 _.@+=,-]{0,8}x(/[a-z0-9@._-]{0,8}y){0,4}") {
        let kept = must_be_kept(|text| RelPath::parse(text), &path)?;
        prop_assert_eq!(kept.as_str(), &path);
        let odd = format!("./{}//.", path.replace('/', "/./"));
        prop_assert_eq!(&RelPath::parse(odd).unwrap(), &kept);
        let output = must_be_kept(|text| OutputDir::parse(text), &path)?;
        prop_assert_eq!(output.as_str(), &path);
    }

    #[test]
    fn a_good_port_is_kept_however_it_is_written(port in 1_024..=u16::MAX) {
        let kept = must_be_kept(|text| Port::parse(text), &port.to_string())?;
        prop_assert_eq!(kept.get(), port);
        for json in [format!("{port}"), format!("{port}.0"), format!("\"{port}\"")] {
            prop_assert_eq!(serde_json::from_str::<Port>(&json).unwrap(), kept);
        }
    }

    #[test]
    fn what_is_accepted_of_the_doubtful_is_no_option_and_can_be_seen(input in doubtful()) {
        let accepted = [
            BranchName::parse(&input).map(String::from),
            ProjectName::parse(&input).map(String::from),
            EnvName::parse(&input).map(String::from),
            OutputDir::parse(&input).map(String::from),
            RelPath::parse(&input).map(String::from),
        ];
        for text in accepted.into_iter().flatten() {
            prop_assert!(!text.starts_with('-') && is_seen(&text), "{text:?}");
        }
        if let Ok(command) = BuildCommand::parse(&input) {
            prop_assert!(!command.as_str().starts_with(['-', '+']), "{command}");
        }
    }

    /// Also for those who decode it, once or more, or take other letters for the usual ones.
    #[test]
    fn what_is_accepted_as_a_path_stays_below_its_root(input in doubtful()) {
        let Ok(path) = RelPath::parse(&input) else { return Ok(()) };
        let root = Path::new("/root/of/all");
        let below = path.under(root);
        prop_assert!(below.starts_with(root));
        prop_assert!(below.components().all(|part| part != Component::ParentDir));
        let mut text = path.as_str().to_owned();
        for _ in 0..3 {
            text = percent_decode_str(&text).decode_utf8_lossy().nfkc().collect();
            prop_assert!(!text.starts_with('/'), "{text:?}");
            let out = |part: &str| part == ".." || part.eq_ignore_ascii_case(".git");
            prop_assert!(!text.split(['/', '\\']).any(out), "{text:?}");
        }
    }
}
