use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::script::{Script, lock};
use crate::error::StepResult;
use crate::resolver::Resolver;

/// A name server in memory. A clone has the same records.
#[derive(Debug, Clone, Default)]
pub struct ScriptedResolver {
    script: Script,
    records: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl ScriptedResolver {
    /// What was asked, and how it shall fail. Calls: `txt`.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Sets all TXT records of a name.
    pub fn set(&self, name: &str, records: &[&str]) {
        let records = records.iter().map(|&text| text.to_owned()).collect();
        lock(&self.records).insert(name.to_owned(), records);
    }
}

#[async_trait]
impl Resolver for ScriptedResolver {
    async fn txt(&self, name: &str) -> StepResult<Vec<String>> {
        self.script.called("txt", name)?;
        Ok(lock(&self.records).get(name).cloned().unwrap_or_default())
    }
}
