//! The paths of the hostile corpus.

use deployr_core::value::RelPath;
use serde_json::Value;

const LISTS: [&str; 2] = [
    include_str!("../../../deployr-core/tests/data/hostile_inputs.json"),
    include_str!("../../../deployr-core/tests/data/more_inputs.json"),
];

/// Every text of the areas `path` and `output_dir`, save those without end.
pub(crate) fn paths() -> Vec<String> {
    let lists = LISTS.map(|list| serde_json::from_str::<Vec<Value>>(list).unwrap());
    let of_paths = |entry: &Value| entry["area"] == "path" || entry["area"] == "output_dir";
    let entries = lists.into_iter().flatten().filter(of_paths);
    let texts = entries.filter_map(|entry| entry["input"].as_str().map(str::to_owned));
    let mut paths: Vec<String> = texts.collect();
    paths.sort();
    paths.dedup();
    assert!(paths.len() > 50, "{paths:?}");
    paths
}

/// Those that are accepted, and lead somewhere below their root.
pub(crate) fn accepted() -> Vec<RelPath> {
    let paths = paths();
    let accepted = paths.iter().filter_map(|path| RelPath::parse(path).ok());
    let mut accepted: Vec<RelPath> = accepted.filter(|path| path.as_str() != ".").collect();
    accepted.sort();
    accepted.dedup();
    assert!(accepted.len() > 15, "{accepted:?}");
    accepted
}

/// Names that a file can have: each path as it is where that is one, else without what
/// leads elsewhere, else with its separators seen as a part of the name.
pub(crate) fn file_names() -> Vec<String> {
    let mut names: Vec<String> = paths()
        .into_iter()
        .map(|path| path.replace('\0', "").replace('/', "\u{2215}"))
        .filter(|name| !matches!(name.as_str(), "" | "." | ".." | ".git") && name.len() < 255)
        .collect();
    names.sort();
    names.dedup();
    names
}
