use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose turn it is to switch: orders all attempts at all deployments of a project. A
/// target and an ingress refuse a turn below the highest that they have seen, so that a
/// worker which has lost its lease cannot undo what came after it, be that a newer
/// deployment or another worker's attempt at the same one.
///
/// ```
/// use deployr_core::model::Turn;
///
/// assert!(Turn::new(7, 2) > Turn::new(7, 1));
/// assert!(Turn::new(8, 1) > Turn::new(7, 2));
/// assert!(Turn::after(7) > Turn::new(7, 2) && Turn::after(7) < Turn::new(8, 1));
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Turn {
    /// The number of the deployment.
    pub deployment: i64,
    /// The fence of the attempt's claim.
    pub attempt: i64,
}

impl Turn {
    /// The turn of one attempt at a deployment.
    #[must_use]
    pub fn new(deployment: i64, attempt: i64) -> Self {
        Self {
            deployment,
            attempt,
        }
    }

    /// The turn that follows all attempts at a deployment.
    #[must_use]
    pub fn after(deployment: i64) -> Self {
        Self::new(deployment, i64::MAX)
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attempt {
            i64::MAX => write!(f, "deployment {}", self.deployment),
            attempt => write!(f, "deployment {}, attempt {attempt}", self.deployment),
        }
    }
}
