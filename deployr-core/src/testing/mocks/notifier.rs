use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::script::{Script, lock};
use crate::error::{Fault, StepError};
use crate::notifier::{Notice, Notifier};

/// Keeps every notice. A clone keeps the same ones.
#[derive(Debug, Clone, Default)]
pub struct RecordingNotifier {
    script: Script,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl RecordingNotifier {
    /// What was asked, and how it shall fail. Calls: `notify`; only a
    /// [`StepError::Fault`] is given back as it is.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// All that was told, in order.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        lock(&self.notices).clone()
    }
}

#[async_trait]
impl Notifier for RecordingNotifier {
    fn name(&self) -> &str {
        "recording"
    }

    async fn notify(&self, notice: &Notice) -> Result<(), Fault> {
        let id = notice.deployment.id;
        match self.script.called("notify", &id.to_string()) {
            Ok(()) => lock(&self.notices).push(notice.clone()),
            Err(StepError::Fault(fault)) => return Err(fault),
            Err(other) => return Err(Fault::permanent("notify", id, other)),
        }
        Ok(())
    }
}
