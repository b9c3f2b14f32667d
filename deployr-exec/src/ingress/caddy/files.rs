//! How Caddy serves the files of a release.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use deployr_core::error::Fault;
use deployr_core::value::Slug;
use serde_json::{Value, json};

use super::config::page;

/// The routes that answer with files, in their order. Reads the folder.
pub(super) fn routes(
    slug: &Slug,
    release: i64,
    folder: &Path,
    single_page: bool,
) -> Result<Vec<Value>, Fault> {
    let hidden = hidden(folder).map_err(|error| Fault::io("route", folder.display(), error))?;
    let hide: Option<Vec<&str>> = hidden.iter().map(|path| text(path)).collect();
    let (Some(root), Some(hide)) = (text(folder), hide) else {
        return Err(Fault::permanent(
            "route",
            slug,
            "Caddy cannot be told of a path with braces or bytes that are no text, and a link \
             of that name leads out of the release, or the release lies there; rename it",
        ));
    };
    let mut only_read = page("405", "Files can only be read.");
    only_read["headers"]["Allow"] = json!(["GET, HEAD"]);
    let mut routes = vec![
        json!({"match": [{"not": [{"method": ["GET", "HEAD"]}]}], "handle": [only_read]}),
        // As a browser asks each time, a switch shows at once. Dates would mix releases, and
        // so would Caddy's tags, which are made of a date and a size: the release's number
        // goes in front of them.
        json!({"handle": [{
            "handler": "headers",
            "request": {
                "delete": ["If-Modified-Since", "If-Unmodified-Since"],
                "replace": {
                    "If-None-Match": [{"search": format!("\"{release}-"), "replace": "\""}],
                    "If-Range": [{"search": format!("\"{release}-"), "replace": "\""}],
                },
            },
            "response": {
                "deferred": true,
                "set": {"Cache-Control": ["no-cache"]},
                "delete": ["Last-Modified"],
                "replace": {"Etag": [
                    {"search_regexp": "^\"", "replace": format!("\"{release}-")},
                ]},
            },
        }]}),
        // Names that begin with a dot are not for visitors; `/.well-known/` is made for them.
        json!({
            "match": [{
                "path_regexp": {"pattern": r"(^|/)\."},
                "not": [{"path_regexp": {"pattern": r"^/\.well-known(/([^./][^/]*)?)*$"}}],
            }],
            "handle": [page("404", "There is no such page.")],
        }),
    ];
    if single_page {
        let there = [
            "{http.request.uri.path}",
            "{http.request.uri.path}/index.html",
        ];
        routes.push(json!({
            "match": [{"not": [{"file": {"root": root, "try_files": there}}]}],
            "handle": [{"handler": "rewrite", "uri": "/"}],
        }));
    }
    routes.push(json!({"handle": [{
        "handler": "file_server",
        "root": root,
        "hide": hide,
        "index_names": ["index.html"],
    }]}));
    Ok(routes)
}

/// What may not be served although no name on the way to it is hidden: links that lead out
/// of the release (to one place they may: `shared` beside the folder of releases) or to a
/// hidden name. Caddy follows links wherever they lead.
fn hidden(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let own = fs::canonicalize(folder)?;
    let shared = own.parent().and_then(Path::parent);
    let shared = shared.and_then(|project| fs::canonicalize(project.join("shared")).ok());
    let mut bounds = vec![own];
    bounds.extend(shared);
    let mut hidden = Vec::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(folder) = ahead.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                ahead.push(path);
            } else if kind.is_symlink()
                && !fs::canonicalize(&path).is_ok_and(|to| may_be_seen(&bounds, &to))
            {
                hidden.push(path);
            }
        }
    }
    Ok(hidden)
}

fn may_be_seen(bounds: &[PathBuf], to: &Path) -> bool {
    let mut inside = bounds
        .iter()
        .filter_map(|bound| to.strip_prefix(bound).ok());
    inside.any(|path| {
        let mut names = path
            .components()
            .map(|name| name.as_os_str().as_encoded_bytes());
        names.all(|name| !name.starts_with(b"."))
    })
}

/// A path as Caddy reads it in its configuration, where braces are variables.
fn text(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| !text.contains(['{', '}']))
}
