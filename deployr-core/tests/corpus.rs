//! Every input of the corpus gets the outcome that the corpus expects, as far as a parser
//! decides it. What a path leads to is tried in `deployr-exec`, tests/builder/output.rs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use deployr_core::log::{Line, LineReader, MAX_LINE_BYTES, Redactor, clean};
use deployr_core::value::{
    BranchName, BuildCommand, CustomDomain, EnvName, EnvValue, GitUrl, InvalidValue, OutputDir,
    Port, ProjectName, RelPath, Slug,
};
use serde_json::Value;

/// As it was handed out. Word for word, so that it can be compared with a newer one.
const SHARED: &str = include_str!("data/hostile_inputs.json");
/// More of the same classes.
const OWN: &str = include_str!("data/more_inputs.json");

/// What there is a parser for, how many inputs the shared list has of it, and the fields
/// that its refusals name.
const AREAS: [(&str, usize, &[&str]); 11] = [
    ("branch", 12, &["branch"]),
    ("build_command", 6, &["build_command"]),
    ("domain", 0, &["domain"]),
    ("env_var", 10, &["env_key", "env_value"]),
    ("git_url", 17, &["repo_url"]),
    ("log_line", 8, &[]),
    ("output_dir", 5, &["output_dir"]),
    ("path", 3, &["path"]),
    ("port", 5, &["port"]),
    ("project_name", 6, &["project_name"]),
    ("subdomain", 7, &["subdomain"]),
];

/// Areas of what there is not yet: accounts, the HTTP API, runners, uploads; and compose files,
/// which are tried where they are run (`deployr-exec/tests/compose`).
const NOT_YET: [&str; 11] = [
    "archive",
    "compose",
    "email",
    "header",
    "jwt",
    "label",
    "oauth",
    "pagination",
    "password",
    "upload",
    "webhook",
];

/// The text itself is fine, so for the parser these are accepted.
const DECIDED_LATER: [(&str, &str); 3] = [
    // By what the path leads to, when it is used.
    ("od-004", "rejected:OUTPUT_DIR_ESCAPES"),
    // A host's port cannot be asked for: releases get theirs from the system.
    ("po-006", "rejected:PORT_TAKEN"),
    // By the unique index on slugs, which have one spelling only.
    ("sd-008", "rejected:SUBDOMAIN_TAKEN"),
];

fn entries(list: &str) -> Vec<Value> {
    serde_json::from_str(list).unwrap()
}

#[test]
fn no_input_is_passed_over() {
    let mut count = BTreeMap::new();
    for entry in entries(SHARED) {
        *count
            .entry(entry["area"].as_str().unwrap().to_owned())
            .or_insert(0) += 1;
    }
    for (area, inputs, _) in AREAS {
        assert_eq!(count.remove(area).unwrap_or(0), inputs, "{area}");
    }
    for area in NOT_YET {
        assert!(count.remove(area).is_some(), "{area}");
    }
    assert!(
        count.is_empty(),
        "areas that nobody has thought of: {count:?}"
    );
}

#[test]
fn every_input_gets_its_outcome() {
    let mut wrong = Vec::new();
    let mut run = 0;
    for entry in entries(SHARED).iter().chain(&entries(OWN)) {
        let area = entry["area"].as_str().unwrap();
        if NOT_YET.contains(&area) {
            continue;
        }
        run += 1;
        let outcome = match accept(area, &entry["input"]) {
            Ok(()) => "accepted".to_owned(),
            Err(error) => {
                check_refusal(area, &error);
                format!("rejected:{}", error.code.as_str())
            }
        };
        if !expected(entry).any(|expected| expected == outcome) {
            wrong.push(format!("{} {}: {outcome}", entry["id"], entry["input"]));
        }
    }
    assert_eq!(run, 79 + entries(OWN).len());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn expected(entry: &Value) -> impl Iterator<Item = &str> {
    let id = entry["id"].as_str();
    let also = entry["also_ok"].as_array().into_iter().flatten();
    std::iter::once(&entry["expected"])
        .chain(also)
        .filter_map(Value::as_str)
        .map(move |outcome| {
            let later = DECIDED_LATER
                .iter()
                .any(|(which, what)| Some(*which) == id && *what == outcome);
            if later || outcome == "accepted-and-inert" {
                "accepted"
            } else {
                outcome
            }
        })
}

/// It names the field and the rule, and can be shown and logged as it is.
fn check_refusal(area: &str, error: &InvalidValue) {
    let (_, _, fields) = AREAS.iter().find(|(name, ..)| *name == area).unwrap();
    assert!(fields.contains(&error.field), "{area}: {error}");
    let rule = error.rule;
    assert!(
        rule.starts_with("must ") || rule.starts_with("all variables"),
        "{error}"
    );
    let said = error.to_string();
    assert!(said.contains(error.field) && said.contains(rule), "{error}");
    assert_eq!(clean(&said), said);
    assert!(said.len() < 400, "{said}");
}

/// Parses the input, and looks at what was accepted.
fn accept(area: &str, input: &Value) -> Result<(), InvalidValue> {
    match area {
        "git_url" => GitUrl::parse(text(input)).map(|url| inert(&url)),
        "branch" => BranchName::parse(text(input)).map(|branch| inert(&branch)),
        "project_name" => ProjectName::parse(text(input)).map(|name| inert(&name)),
        "output_dir" => OutputDir::parse(text(input)).map(|path| inert(&path)),
        "path" => RelPath::parse(text(input)).map(|path| inert(&path)),
        "domain" => CustomDomain::parse(text(input)).map(|domain| inert(&domain)),
        "subdomain" => Slug::parse(text(input)).map(|slug| inert(&slug)),
        "port" => port(input).map(|port| inert(&port)),
        "build_command" => BuildCommand::parse(text(input)).map(|command| {
            assert!(!command.as_str().starts_with('-') && !command.as_str().contains('\0'));
            assert_eq!(BuildCommand::parse(&command), Ok(command));
        }),
        "env_var" => {
            let name = EnvName::parse(text(&input["key"]))?;
            inert(&name);
            let value = text(&input["value"]);
            // A legal value survives to the byte.
            EnvValue::parse(&value).map(|parsed| assert_eq!(parsed.expose(), value))
        }
        "log_line" => {
            log_line(&text(input));
            Ok(())
        }
        _ => panic!("nobody has thought of the area {area}"),
    }
}

/// As an argument of a program, in a line of a file, on a page.
fn inert<T: Display + FromStr<Err = InvalidValue> + PartialEq + std::fmt::Debug>(value: &T) {
    let text = value.to_string();
    assert!(
        !text.starts_with('-') && !text.contains(char::is_control),
        "{text:?}"
    );
    assert_eq!(text.parse().as_ref(), Ok(value), "{text:?} reads as it was");
}

fn port(input: &Value) -> Result<Port, InvalidValue> {
    let parsed = match (input.as_i64(), input.as_f64()) {
        (Some(number), _) => Port::try_from(number),
        (None, Some(number)) => Port::try_from(number),
        (None, None) => Port::parse(text(input)),
    };
    assert_eq!(
        serde_json::from_value::<Port>(input.clone()).is_ok(),
        parsed.is_ok()
    );
    parsed
}

/// What comes out of a log is plain text and colours, in lines of bounded length, and
/// nothing that could be read was lost.
fn log_line(input: &str) {
    let secret = "super-secret-value";
    let mut whole: Option<Vec<Line>> = None;
    for size in [1, 7, 4096, input.len().max(1)] {
        let mut reader = LineReader::new(Arc::new(Redactor::new([secret])));
        let mut lines = Vec::new();
        for chunk in input.as_bytes().chunks(size) {
            lines.extend(reader.push(chunk));
        }
        lines.extend(reader.finish());
        for line in &lines {
            assert!(line.text.len() <= MAX_LINE_BYTES);
            assert_eq!(clean(&line.text), line.text, "{input:?}");
            let uncolored = deployr_core::log::strip_colors(&line.text);
            let bad =
                |c: char| c.is_control() && c != '\t' || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!uncolored.contains(bad), "{input:?}: {uncolored:?}");
            for form in [secret, "c3VwZXItc2VjcmV0LXZhbHVl", "super%2Dsecret%2Dvalue"] {
                assert!(!uncolored.contains(form), "{input:?}: {uncolored:?}");
            }
        }
        assert_eq!(
            whole.get_or_insert_with(|| lines.clone()),
            &lines,
            "{input:?} by {size}"
        );
    }
    let plain = |text: &str| text.bytes().filter(u8::is_ascii_alphanumeric).count();
    let shown: usize = whole.iter().flatten().map(|line| plain(&line.text)).sum();
    assert!(
        plain(input) == 0 || shown > 0 || input.starts_with('\u{1b}'),
        "{input:?}"
    );
}

/// A string, or the corpus's short form of a long one.
fn text(input: &Value) -> String {
    let repeat = &input["$repeat"];
    match (input.as_str(), repeat["s"].as_str(), repeat["n"].as_u64()) {
        (Some(text), ..) => text.to_owned(),
        (None, Some(piece), Some(times)) => piece.repeat(times as usize),
        _ => panic!("no text: {input}"),
    }
}
