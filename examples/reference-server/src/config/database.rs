//! Where the state of many machines is kept.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// The URL of a Postgres. Shown without its user and password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Database(String);

impl Database {
    /// With the password, for the driver.
    #[cfg(feature = "postgres")]
    pub(crate) fn url(&self) -> &str {
        &self.0
    }
}

impl FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The value is not repeated: it may have a password.
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self(text.to_owned()));
        }
        Err("must be postgres://USER@HOST/DATABASE; leave it out for a file of this machine".into())
    }
}

impl TryFrom<String> for Database {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let place = place.split_once('?').map_or(place, |(place, _)| place);
        write!(f, "postgres://{place}")
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for url in [
            "postgres://ada:s3cret@db.example/app?sslmode=require&password=s3cret",
            "postgresql://ada:s3cret@ss@db.example/app",
        ] {
            let database: Database = url.parse().unwrap();
            assert_eq!(
                format!("{database} {database:?}").matches("s3cret").count(),
                0
            );
            assert_eq!(database.to_string(), "postgres://db.example/app");
        }
        let refused = Database::from_str("mysql://ada:s3cret@db/app").unwrap_err();
        assert!(!refused.contains("s3cret"));
    }
}
