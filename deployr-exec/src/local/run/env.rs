//! What a release's process finds in its environment: nothing of the engine's but
//! what programs cannot do without, then the project's own, then what the engine
//! alone decides.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use deployr_core::value::EnvSet;

/// Marks every process of a release, however far it has gone from its parents.
pub(super) const MARK: &str = "DEPLOYR_RUN";

/// The variables, complete: the process is given these and no others.
pub(super) fn variables(
    project: &EnvSet,
    number: i64,
    port: Option<u16>,
    mark: &Path,
) -> BTreeMap<OsString, OsString> {
    let inherited = |name: &str, otherwise: &str| {
        (
            name.into(),
            std::env::var_os(name).unwrap_or_else(|| otherwise.into()),
        )
    };
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::from([
        inherited(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        inherited("HOME", "/"),
        inherited("LANG", "C.UTF-8"),
        ("HOST".into(), "127.0.0.1".into()),
        ("NODE_ENV".into(), "production".into()),
    ]);
    for (name, value) in project {
        variables.insert(name.as_str().into(), value.expose().into());
    }
    if let Some(port) = port {
        variables.insert("PORT".into(), port.to_string().into());
    }
    variables.insert("DEPLOYR_RELEASE".into(), number.to_string().into());
    variables.insert(MARK.into(), mark.into());
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
        let made = variables(&env, 7, Some(20_000), Path::new("/r"));
        let get = |name: &str| made[&OsString::from(name)].to_str().unwrap().to_owned();
        assert_eq!(get("NODE_ENV"), "test");
        assert_eq!(get("PORT"), "20000");
        assert_eq!(get("A"), " $x `y` \"z\"\n");
        assert_eq!(get("DEPLOYR_RELEASE"), "7");
        assert_eq!(get("HOST"), "127.0.0.1");
    }
}
