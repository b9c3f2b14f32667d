//! Lines of a log: `log_line`. Nothing is refused; what comes out is plain text and colours.

use std::sync::Arc;

use deployr_core::log::{Line, LineReader, MAX_LINE_BYTES, Redactor, clean, strip_colors};
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

use crate::classes::{any_of, hidden, like};

const SECRET: &str = "super-secret-value";

/// Bytes that do something to a terminal, a browser, or a reader of lines.
fn noise() -> BoxedStrategy<Vec<u8>> {
    let text = prop_oneof![
        // Moves, screens, modes, and colours; also cut off in the middle.
        like("\x1b\\[[0-9;?<=>]{0,12}[@A-Za-z~`]?"),
        // Titles, links, the clipboard; ended in both ways, or not at all.
        like("\x1b\\][0-9]{1,4};[ -~]{0,20}(\x07|\x1b\\\\)?"),
        // Device control, privacy messages, application commands.
        like("\x1b[PX^_][ -~]{0,20}(\x1b\\\\)?"),
        like("\x1b[ -/]?[0-~]?"),
        like("[\u{80}-\u{9f}][ -~]{0,6}"),
        like("[a-z0-9 %]{0,20}\r[a-z0-9 %]{0,20}"),
        hidden(),
        any_of(&[
            "<script>x</script>",
            "::error::x",
            "\u{8}\u{8}\u{8}",
            "\u{feff}"
        ]),
        Just(SECRET.to_owned()),
        (1..3_usize).prop_map(|times| "x".repeat(MAX_LINE_BYTES * times - 3)),
    ];
    prop_oneof![
        8 => text.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
    .boxed()
}

fn read(input: &[u8], sizes: &[usize]) -> Vec<Line> {
    let mut reader = LineReader::new(Arc::new(Redactor::new([SECRET])));
    let (mut lines, mut rest) = (Vec::new(), input);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(rest.len().min(*size));
        lines.extend(reader.push(piece));
        rest = behind;
    }
    lines.extend(reader.finish());
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_comes_out_of_a_log_is_plain_and_in_order(
        noise in prop::collection::vec(prop::collection::vec(noise(), 0..4), 1..6),
        sizes in prop::collection::vec(1..5_000_usize, 1..5),
    ) {
        let mut input = Vec::new();
        for (number, noise) in noise.iter().enumerate() {
            input.extend(noise.concat());
            input.extend(format!("\nplain line {number}\n").into_bytes());
        }
        let lines = read(&input, &sizes);
        for Line { text, .. } in &lines {
            prop_assert!(text.len() <= MAX_LINE_BYTES);
            prop_assert!(clean(text) == text.as_str(), "{text:?}");
            let seen = strip_colors(text);
            let bad = |c: char| {
                c.is_control() && c != '\t' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            prop_assert!(!seen.contains(bad), "{seen:?}");
            prop_assert!(!seen.contains(SECRET), "{seen:?}");
        }
        // However it is cut, and whatever stands before it, no line of text is lost.
        prop_assert_eq!(&read(&input, &[input.len()]), &lines);
        let plain = lines.iter().map(|line| strip_colors(&line.text).into_owned());
        let plain: Vec<String> = plain.filter(|text| text.starts_with("plain line ")).collect();
        let wanted: Vec<String> = (0..noise.len()).map(|n| format!("plain line {n}")).collect();
        prop_assert_eq!(plain, wanted);
    }
}
