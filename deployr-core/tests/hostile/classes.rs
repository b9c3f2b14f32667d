//! What values are spoilt with, and how.

use std::fmt::{Debug, Display};

use deployr_core::log::clean;
use deployr_core::value::{InputCode, InvalidValue};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::BoxedStrategy;
use proptest::test_runner::TestCaseError;

/// Inputs, each with the name of its class.
pub(crate) type Inputs = BoxedStrategy<(&'static str, String)>;

/// The inputs of all these classes, each as often as the others.
pub(crate) fn classes(all: Vec<(&'static str, BoxedStrategy<String>)>) -> Inputs {
    let named = all.into_iter().map(|(class, inputs)| {
        let input = inputs.prop_map(move |input| (class, input));
        input.boxed()
    });
    proptest::strategy::Union::new(named).boxed()
}

/// One of these.
pub(crate) fn any_of(these: &'static [&'static str]) -> BoxedStrategy<String> {
    select(these).prop_map(str::to_owned).boxed()
}

/// What matches the expression.
pub(crate) fn like(expression: &'static str) -> BoxedStrategy<String> {
    expression.boxed()
}

/// One after the other.
pub(crate) fn then(
    first: impl Strategy<Value = String> + 'static,
    second: impl Strategy<Value = String> + 'static,
) -> BoxedStrategy<String> {
    let both = (first, second);
    both.prop_map(|(first, second)| first + &second).boxed()
}

/// A good value with something put into it, behind its first character and before its last.
pub(crate) fn within(
    good: BoxedStrategy<String>,
    spoiler: impl Strategy<Value = String> + 'static,
) -> BoxedStrategy<String> {
    let spoilt = (good, spoiler, any::<Index>());
    let insert = |(mut text, spoiler, at): (String, String, Index)| {
        let places: Vec<usize> = text.char_indices().skip(1).map(|(at, _)| at).collect();
        let place = *at.get(&places);
        text.insert_str(place, &spoiler);
        text
    };
    spoilt.prop_map(insert).boxed()
}

/// A path with a part put between its others, before them, or behind them.
pub(crate) fn with_part(
    good: BoxedStrategy<String>,
    part: impl Strategy<Value = String> + 'static,
) -> BoxedStrategy<String> {
    let spoilt = (good, part, any::<Index>());
    let insert = |(path, part, at): (String, String, Index)| {
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.insert(at.index(parts.len() + 1), &part);
        parts.join("/")
    };
    spoilt.prop_map(insert).boxed()
}

/// More than so many bytes.
pub(crate) fn longer_than(bytes: usize, unit: &'static str) -> BoxedStrategy<String> {
    let times = bytes / unit.len() + 1;
    let length = times..times + 100;
    length.prop_map(|times| unit.repeat(times)).boxed()
}

/// A character that nobody sees: all that control something, and a part of the others.
pub(crate) fn hidden() -> BoxedStrategy<String> {
    let control = prop_oneof![0..=0x1f_u32, 0x7f..=0x9f_u32];
    let unseen = prop_oneof![
        Just(0xad_u32),
        0x200b..=0x200f_u32,
        0x2028..=0x202e_u32,
        0x2060..=0x206f_u32,
        0xfe00..=0xfe0f_u32,
        Just(0xfeff_u32),
        Just(0x3164_u32),
        0xe000..=0xf8ff_u32,
        0xe0000..=0xe007f_u32,
    ];
    let character = prop_oneof![control, unseen].prop_map(char::from_u32);
    character.prop_map(|c| c.unwrap().to_string()).boxed()
}

/// What begins something in a shell.
pub(crate) fn shell() -> BoxedStrategy<String> {
    any_of(&[
        ";id", "|id", "&&id", "$(id)", "`id`", "${IFS}", "$HOME", "'", "\"", "<x", ">x", "(", "}",
    ])
}

/// Options of git, ssh, rm and tar, and what an option may look like.
pub(crate) fn option() -> BoxedStrategy<String> {
    prop_oneof![
        any_of(&[
            "-",
            "--",
            "--upload-pack=x",
            "-oProxyCommand=x",
            "-rf",
            "-c"
        ]),
        like("--?[a-z][a-z-]{0,12}(=[a-z/.]{1,8})?"),
    ]
    .boxed()
}

/// Refused with this code, in this field's name, by a rule that is said.
pub(crate) fn must_be_refused<T: Debug>(
    parsed: Result<T, InvalidValue>,
    (field, codes): (&str, &[InputCode]),
    (class, input): &(&str, String),
) -> Result<(), TestCaseError> {
    let shown: String = input.chars().take(200).collect();
    let error = match parsed {
        Err(error) => error,
        Ok(value) => {
            let wrong = format!("{class}: {shown:?} was taken for {value:?}");
            return Err(TestCaseError::fail(wrong));
        }
    };
    prop_assert_eq!(error.field, field, "{}: {:?}", class, shown);
    prop_assert!(codes.contains(&error.code), "{class}: {shown:?}: {error}");
    prop_assert!(error.rule.starts_with("must "), "{class}: {error}");
    let said = error.to_string();
    prop_assert!(said.contains(field) && said.contains(error.rule), "{said}");
    prop_assert!(clean(&said) == said, "{said:?} cannot be shown as it is");
    prop_assert!(said.len() < 600, "{said}");
    Ok(())
}

/// Accepted, and the same when it is read again from its own text.
pub(crate) fn must_be_kept<T: Debug + Display + PartialEq>(
    parse: impl Fn(&str) -> Result<T, InvalidValue>,
    input: &str,
) -> Result<T, TestCaseError> {
    let value = parse(input).map_err(|error| TestCaseError::fail(format!("{input:?}: {error}")))?;
    let again = parse(&value.to_string());
    prop_assert_eq!(again.as_ref(), Ok(&value));
    Ok(value)
}
