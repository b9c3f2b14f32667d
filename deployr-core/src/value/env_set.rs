use std::collections::{BTreeMap, btree_map};

use super::{EnvName, EnvValue, InputCode, InvalidValue};

const MAX_TOTAL_BYTES: usize = 1024 * 1024;

/// Environment variables, sorted by name, at most 1 MiB together.
///
/// The cap is what a process can be started with, less a good margin.
///
/// ```
/// use deployr_core::value::{EnvName, EnvSet, EnvValue};
///
/// let mut env = EnvSet::new();
/// env.insert(EnvName::parse("MODE")?, EnvValue::parse("test")?)?;
/// assert_eq!(env.get("MODE").map(EnvValue::expose), Some("test"));
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvSet {
    vars: BTreeMap<EnvName, EnvValue>,
    bytes: usize,
}

impl EnvSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable and returns the value it had. Nothing changes when the
    /// set would grow too large.
    pub fn insert(
        &mut self,
        name: EnvName,
        value: EnvValue,
    ) -> Result<Option<EnvValue>, InvalidValue> {
        let freed = self.vars.get(&name).map_or(0, |old| size(&name, old));
        let bytes = self.bytes - freed + size(&name, &value);
        if bytes > MAX_TOTAL_BYTES {
            let rule = "all variables together must not be larger than 1 MiB";
            return Err(InvalidValue::hidden(
                "env",
                InputCode::EnvValueTooLarge,
                rule,
                bytes,
            ));
        }
        self.bytes = bytes;
        Ok(self.vars.insert(name, value))
    }

    /// Sets all variables of `other`, which win over those of the same name.
    /// Nothing changes when the set would grow too large.
    pub fn merge(&mut self, other: &Self) -> Result<(), InvalidValue> {
        let mut merged = self.clone();
        for (name, value) in other {
            merged.insert(name.clone(), value.clone())?;
        }
        *self = merged;
        Ok(())
    }

    /// Removes a variable and returns the value it had.
    pub fn remove(&mut self, name: &str) -> Option<EnvValue> {
        let (name, value) = self.vars.remove_entry(name)?;
        self.bytes -= size(&name, &value);
        Some(value)
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&EnvValue> {
        self.vars.get(name)
    }

    /// All variables, sorted by name.
    pub fn iter(&self) -> btree_map::Iter<'_, EnvName, EnvValue> {
        self.vars.iter()
    }

    /// How many variables there are.
    pub fn len(&self) -> usize {
        self.vars.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.vars.is_empty()
    }
}

/// What a variable takes in a process: `NAME=value` and a NUL.
fn size(name: &EnvName, value: &EnvValue) -> usize {
    name.as_str().len() + value.expose().len() + 2
}

impl<'a> IntoIterator for &'a EnvSet {
    type Item = (&'a EnvName, &'a EnvValue);
    type IntoIter = btree_map::Iter<'a, EnvName, EnvValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
