use std::fmt;

use serde::{Deserialize, Serialize};

use crate::value::TenantId;

/// Who asks: the tenant whose rows may be touched, and the name that the audit
/// log shows. The embedding app makes it from its own session; the engine
/// believes it.
///
/// ```
/// use deployr_core::model::Actor;
/// use deployr_core::value::TenantId;
///
/// let me = Actor::new(TenantId::parse("acme")?, "ada@acme.example");
/// assert_eq!(me.to_string(), "ada@acme.example (acme)");
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Owner of everything that this actor may see.
    pub tenant: TenantId,
    /// A person or a system, in the words of the embedding app.
    pub name: String,
}

impl Actor {
    /// An actor of `tenant`, shown as `name`.
    pub fn new(tenant: TenantId, name: impl Into<String>) -> Self {
        Self {
            tenant,
            name: name.into(),
        }
    }

    /// The engine itself acting for `tenant`: rescue, time-outs, clean-up.
    #[must_use]
    pub fn engine(tenant: TenantId) -> Self {
        Self::new(tenant, "deployr")
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.tenant)
    }
}
