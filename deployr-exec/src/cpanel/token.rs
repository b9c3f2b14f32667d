//! The token that an account is used with.

use std::fmt;
use std::path::PathBuf;

use deployr_core::error::Fault;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// A token of an account, made in cPanel under *Manage API Tokens*. Never shown.
#[derive(Clone, Deserialize)]
#[serde(from = "PathBuf")]
pub struct Token(Source);

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Value(SecretString),
}

impl Token {
    /// The only line of a file. Read at each call, so that one that was made anew holds
    /// without a restart.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// The token itself.
    pub fn new(token: impl Into<String>) -> Self {
        Self(Source::Value(SecretString::from(token.into())))
    }

    /// What goes into the header, after the user.
    pub(super) fn read(&self) -> Result<SecretString, Fault> {
        let text = match &self.0 {
            Source::Value(token) => token.clone(),
            Source::File(path) => std::fs::read_to_string(path)
                .map(SecretString::from)
                .map_err(|error| Fault::io("read", path.display(), error))?,
        };
        let token = text.expose_secret().trim();
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            let place = match &self.0 {
                Source::File(path) => path.display().to_string(),
                Source::Value(_) => "the token".to_owned(),
            };
            let reason = "it must be one line with a token, as cPanel shows it under \
                          Manage API Tokens";
            return Err(Fault::permanent("use", place, reason));
        }
        Ok(SecretString::from(token.to_owned()))
    }
}

impl From<PathBuf> for Token {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::File(path) => write!(f, "Token({})", path.display()),
            Source::Value(_) => f.write_str("Token(..)"),
        }
    }
}
