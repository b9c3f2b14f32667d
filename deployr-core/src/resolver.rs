//! What asks DNS whose a domain is.

use async_trait::async_trait;

use crate::error::StepResult;

/// Asks DNS. Calls may come at the same time.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use async_trait::async_trait;
/// use deployr_core::error::StepResult;
/// use deployr_core::resolver::Resolver;
///
/// /// The records of a zone of one's own.
/// struct Zone(BTreeMap<String, Vec<String>>);
///
/// #[async_trait]
/// impl Resolver for Zone {
///     async fn txt(&self, name: &str) -> StepResult<Vec<String>> {
///         Ok(self.0.get(name).cloned().unwrap_or_default())
///     }
/// }
/// ```
#[async_trait]
pub trait Resolver: Send + Sync {
    /// What the TXT records of a name (without a dot at its end) say at present, each with
    /// its parts put together; none where it has no such record, or does not exist.
    ///
    /// # Errors
    ///
    /// A fault when nobody answers, which says nothing of the name.
    async fn txt(&self, name: &str) -> StepResult<Vec<String>>;
}
