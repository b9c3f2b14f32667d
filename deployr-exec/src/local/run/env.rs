//! What a release's process finds in its environment: what programs cannot do without,
//! then the project's own, then what the engine alone decides. Of the engine's there is
//! no more than `PATH` and the language.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use deployr_core::value::EnvSet;

/// Marks every process of a release, however far it has gone from its parents.
pub(super) const MARK: &str = "DEPLOYR_RUN";

/// Where a release's processes are.
pub(super) struct Place<'a> {
    pub(super) number: i64,
    pub(super) port: Option<u16>,
    /// What marks its processes.
    pub(super) mark: &'a Path,
    /// Where it finds programs.
    pub(super) path: String,
    /// Its own folder for what is of no use later.
    pub(super) scratch: &'a Path,
}

/// The variables, complete: the process is given these and no others.
pub(super) fn variables(project: &EnvSet, place: Place<'_>) -> BTreeMap<OsString, OsString> {
    let lang = std::env::var_os("LANG").unwrap_or_else(|| "C.UTF-8".into());
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::from([
        ("PATH".into(), place.path.into()),
        ("HOME".into(), place.scratch.into()),
        ("TMPDIR".into(), place.scratch.into()),
        ("LANG".into(), lang),
        ("HOST".into(), "127.0.0.1".into()),
        ("NODE_ENV".into(), "production".into()),
    ]);
    for (name, value) in project {
        variables.insert(name.as_str().into(), value.expose().into());
    }
    if let Some(port) = place.port {
        variables.insert("PORT".into(), port.to_string().into());
    }
    variables.insert("DEPLOYR_RELEASE".into(), place.number.to_string().into());
    variables.insert(MARK.into(), place.mark.into());
    variables
}

#[cfg(test)]
mod tests {
    use deployr_core::value::{EnvName, EnvValue};

    use super::*;

    #[test]
    fn the_project_wins_over_defaults_and_the_engine_over_the_project() {
        let mut env = EnvSet::new();
        for (name, value) in [
            ("NODE_ENV", "test"),
            ("PORT", "1"),
            ("A", " $x `y` \"z\"\n"),
        ] {
            env.insert(
                EnvName::parse(name).unwrap(),
                EnvValue::parse(value).unwrap(),
            )
            .unwrap();
        }
        let place = Place {
            number: 7,
            port: Some(20_000),
            mark: Path::new("/r"),
            path: "/bin".to_owned(),
            scratch: Path::new("/tmp/7"),
        };
        let made = variables(&env, place);
        let get = |name: &str| made[&OsString::from(name)].to_str().unwrap().to_owned();
        assert_eq!(get("NODE_ENV"), "test");
        assert_eq!(get("PORT"), "20000");
        assert_eq!(get("A"), " $x `y` \"z\"\n");
        assert_eq!(get("DEPLOYR_RELEASE"), "7");
        assert_eq!(get("HOST"), "127.0.0.1");
        assert_eq!(
            (get("HOME"), get("TMPDIR")),
            ("/tmp/7".into(), "/tmp/7".into())
        );
    }
}
