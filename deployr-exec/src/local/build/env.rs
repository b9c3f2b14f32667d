use std::path::Path;

use deployr_core::value::EnvSet;

/// The variable by which all processes of a build are found again. The project
/// cannot set it, for its prefix is reserved.
pub(super) const MARKER: &str = "DEPLOYR_BUILD";

/// Everything that a build's processes get; of the engine's own environment only `PATH`.
pub(super) fn environment(
    marker: &str,
    path: String,
    workspace: &Path,
    cache: &Path,
    project: &EnvSet,
) -> Vec<(String, String)> {
    let of = |dir: &Path, name: &str| dir.join(name).to_string_lossy().into_owned();
    let base = [
        ("PATH", path),
        ("HOME", of(workspace, "home")),
        ("TMPDIR", of(workspace, "tmp")),
        ("LANG", "C.UTF-8".to_owned()),
        ("CI", "1".to_owned()),
        ("DEPLOYR", "1".to_owned()),
        ("XDG_CACHE_HOME", of(cache, "xdg")),
        ("npm_config_cache", of(cache, "npm")),
        ("PNPM_HOME", of(cache, "pnpm")),
        ("npm_config_update_notifier", "false".to_owned()),
        // Most projects set NODE_ENV=production, and most builds need what npm then
        // leaves out.
        ("npm_config_include", "dev".to_owned()),
        ("YARN_CACHE_FOLDER", of(cache, "yarn")),
        ("COMPOSER_CACHE_DIR", of(cache, "composer")),
        ("COMPOSER_ALLOW_SUPERUSER", "1".to_owned()),
        ("CARGO_HOME", of(cache, "cargo")),
        ("GOMODCACHE", of(cache, "go")),
    ];
    let base = base
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let project = project
        .iter()
        .map(|(name, value)| (name.to_string(), value.expose().to_owned()));
    // Later ones win.
    base.chain(project)
        .chain([(MARKER.to_owned(), marker.to_owned())])
        .collect()
}
