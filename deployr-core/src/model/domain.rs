use serde::{Deserialize, Serialize};

use super::ProjectId;
use crate::system::Timestamp;
use crate::value::{CustomDomain, TenantId};

/// A domain at which a project wishes to be reached. It is served only once it is verified:
/// once a TXT record at [`challenge`](CustomDomain::challenge) has had the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its name.
    pub domain: CustomDomain,
    /// Whose project.
    pub tenant: TenantId,
    /// The project.
    pub project: ProjectId,
    /// What the record must say. Another one for each tenant; no secret.
    pub token: String,
    /// Since when it is the project's; none as long as nobody has shown that.
    pub verified_at: Option<Timestamp>,
    /// When it was wished for.
    pub created_at: Timestamp,
}
