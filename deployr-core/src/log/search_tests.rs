//! The search against one that looks at every place for every form.

use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::log::forms::{Form, Forms, HEAD};

/// What must be masked: wherever a form's head stands, as much as follows of the form.
fn all_places(forms: &[Form], text: &[u8]) -> Vec<bool> {
    let mut masked = vec![false; text.len()];
    for form in forms {
        for at in 0..text.len() {
            let same = form.text().iter().zip(&text[at..]);
            let length = same.take_while(|(a, b)| a == b).count();
            if length >= form.head().len() {
                masked[at..at + length].fill(true);
            }
        }
    }
    masked
}

/// What is masked, of lines that are cut into windows.
fn found(secrets: &[String], lines: &[&str], windows: &[usize]) -> Vec<bool> {
    let redactor = Redactor::new(secrets.iter().map(String::as_str));
    let mut search = Search::new();
    let mut masked = Vec::new();
    let mut windows = windows.iter().cycle();
    for line in lines {
        let mut shown = 0;
        while shown < line.len() {
            shown = line.len().min(shown + windows.next().unwrap());
            search.run(&redactor, &line[..shown], false);
        }
        search.run(&redactor, line, true);
        let mut of_line = vec![false; line.len()];
        for Range { start, end } in search.spans().to_vec() {
            of_line[start..end].fill(true);
        }
        search.forget(line.len());
        search.end_line();
        masked.extend(of_line);
    }
    masked
}

fn forms(secrets: &[String]) -> Vec<Form> {
    let mut forms = Forms::default();
    for secret in secrets {
        forms.add_secret(secret);
    }
    forms.take()
}

/// Secrets out of few letters, so that they overlap, repeat and contain one another.
fn secrets() -> impl Strategy<Value = Vec<String>> {
    let short = "[ab]{4,9}";
    let long = ("[ab]{1,6}", 1..40usize, "[ab]{0,40}");
    let long = long.prop_map(|(unit, times, end)| unit.repeat(times) + &end + "aaaa");
    prop::collection::vec(prop_oneof![short.boxed(), long.boxed()], 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// On one line what was found is exactly what there is, cut into windows or not.
    #[test]
    fn finds_all_and_nothing_else(
        secrets in secrets(),
        pieces in prop::collection::vec((0..5usize, "[ab]{0,9}c?", 0..200usize), 1..8),
        windows in prop::collection::vec(1..70usize, 1..4),
    ) {
        let mut text = String::new();
        for (which, noise, length) in pieces {
            let secret = &secrets[which % secrets.len()];
            text.push_str(&noise);
            text.push_str(&secret[..length.min(secret.len())]);
        }
        let want = all_places(&forms(&secrets), text.as_bytes());
        prop_assert_eq!(found(&secrets, &[&text], &windows), want, "{:?} in {}", secrets, text);
    }

    /// The end of a line changes nothing, save that what went before it is out.
    #[test]
    fn a_line_end_hides_nothing(
        secrets in secrets(), which in 0..5usize, before in "[abc]{0,9}", cuts in prop::collection::vec(1..60usize, 1..6),
    ) {
        let text = before + &secrets[which % secrets.len()] + "c";
        let mut lines = Vec::new();
        let mut rest = text.as_str();
        for cut in cuts {
            let (line, tail) = rest.split_at(cut.min(rest.len()));
            lines.push(line);
            rest = tail;
        }
        lines.push(rest);
        let masked = found(&secrets, &lines, &[1000]);
        let whole = all_places(&forms(&secrets), text.as_bytes());
        let mut end = 0;
        for line in lines {
            // What is out when a line ends: what was known of it then.
            let known = all_places(&forms(&secrets), &text.as_bytes()[..end + line.len()]);
            for at in end..end + line.len() {
                prop_assert!(masked[at] >= known[at] && masked[at] <= whole[at], "{at}");
            }
            end += line.len();
        }
        let shown: String = text.bytes().zip(&masked).filter(|(_, m)| !**m).map(|(b, _)| char::from(b)).collect();
        let secret = &secrets[which % secrets.len()];
        let at = text.rfind(secret.as_str()).unwrap();
        prop_assert!(masked[at + secret.len() - 1], "the end of {secret} is shown: {shown}");
    }
}

#[test]
fn so_many_that_begin_alike_hide_the_rest_of_the_line() {
    let start = "s".repeat(HEAD);
    let secrets: Vec<String> = (0..1000).map(|n| format!("{start}{n:04}")).collect();
    let line = format!("a {start}0999 b");
    let masked = found(&secrets, &[&line, "c"], &[1000]);
    assert_eq!(masked.iter().position(|m| *m), Some(2));
    assert!(masked[2..line.len()].iter().all(|m| *m));
    assert!(!masked[line.len()], "the next line is shown again");
}

/// An endless line of escapes needs no endless memory.
#[test]
fn readings_forget_what_was_released() {
    let redactor = Redactor::new(["super-secret-value"]);
    let mut search = Search::new();
    let mut held = String::new();
    for n in 0..10_000 {
        held.push_str(if n % 100 == 0 {
            "super%2Dsecret%2Dvalue"
        } else {
            "%41+"
        });
        search.run(&redactor, &held, false);
        if held.len() > 2 * REACH {
            let end = held.len() - REACH;
            held.drain(..end);
            search.forget(end);
        }
        for view in search.decoded.iter().flatten() {
            assert!(view.stretches.len() < 4 * REACH, "{}", view.stretches.len());
        }
    }
    held.push_str("super%2dsecret%2dvalue");
    search.run(&redactor, &held, true);
    let last = search.spans().last().unwrap();
    assert_eq!(&held[last.clone()], "super%2dsecret%2dvalue");
}
