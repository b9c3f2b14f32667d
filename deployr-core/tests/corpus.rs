//! Every input of the corpus gets the outcome the corpus expects.

use deployr_core::value::{
    BranchName, BuildCommand, EnvName, EnvValue, GitUrl, InvalidValue, OutputDir, Port,
    ProjectName, RelPath, Slug,
};
use serde_json::Value;

const CORPUS: &str = include_str!("data/hostile_inputs.json");

/// Outcomes that depend on what is on disk or in the store: the text itself is
/// fine, so for parsing they count as accepted.
const DECIDED_LATER: [&str; 3] = [
    "rejected:OUTPUT_DIR_ESCAPES",
    "rejected:PORT_TAKEN",
    "rejected:SUBDOMAIN_TAKEN",
];

#[test]
fn every_input_gets_its_outcome() {
    let corpus: Vec<Value> = serde_json::from_str(CORPUS).unwrap();
    let mut wrong = Vec::new();
    for entry in &corpus {
        let outcome = match parse(entry["area"].as_str().unwrap(), &entry["input"]) {
            Ok(()) => "accepted".to_owned(),
            Err(error) => format!("rejected:{}", error.code.as_str()),
        };
        if !expected(entry).any(|expected| expected == outcome) {
            wrong.push(format!("{} {}: {outcome}", entry["id"], entry["input"]));
        }
    }
    assert!(corpus.len() > 100);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn expected(entry: &Value) -> impl Iterator<Item = &str> {
    let also = entry["also_ok"].as_array().into_iter().flatten();
    std::iter::once(&entry["expected"])
        .chain(also)
        .filter_map(Value::as_str)
        .map(|outcome| {
            if outcome == "accepted-and-inert" || DECIDED_LATER.contains(&outcome) {
                "accepted"
            } else {
                outcome
            }
        })
}

fn parse(area: &str, input: &Value) -> Result<(), InvalidValue> {
    match area {
        "git_url" => GitUrl::parse(text(input)).map(drop),
        "branch" => BranchName::parse(text(input)).map(drop),
        "project_name" => ProjectName::parse(text(input)).map(drop),
        "build_command" => BuildCommand::parse(text(input)).map(drop),
        "output_dir" => OutputDir::parse(text(input)).map(drop),
        "path" => RelPath::parse(text(input)).map(drop),
        "subdomain" => Slug::parse(text(input)).map(drop),
        "port" => port(input).map(drop),
        "env_var" => {
            EnvName::parse(text(&input["key"]))?;
            let value = text(&input["value"]);
            // A legal value survives to the byte.
            EnvValue::parse(&value).map(|parsed| assert_eq!(parsed.expose(), value))
        }
        _ => panic!("unknown area {area}"),
    }
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

/// A string, or the corpus's short form of a long one.
fn text(input: &Value) -> String {
    let repeat = &input["$repeat"];
    match (input.as_str(), repeat["s"].as_str(), repeat["n"].as_u64()) {
        (Some(text), ..) => text.to_owned(),
        (None, Some(piece), Some(times)) => piece.repeat(times as usize),
        _ => panic!("no text: {input}"),
    }
}
