//! What both databases know of what is to go.

use deployr_core::system::Timestamp;
use uuid::Uuid;

/// How many deployments one call removes lines of.
pub(crate) const DEPLOYMENTS: u32 = 20;

/// How many jobs are looked at at a time: those of deployments stay, and may be any number.
pub(crate) const JOBS: u32 = 1_000;

/// The lowest id that a thing of that time may have. Ids sort by age, so that old rows are
/// found by their keys; that they are over since long is asked of the rows.
pub(crate) fn first_id(at: Timestamp) -> Uuid {
    let millis = u128::try_from(at.timestamp_millis()).unwrap_or_default();
    Uuid::from_u128(millis << 80)
}
