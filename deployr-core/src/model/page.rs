use serde::{Deserialize, Serialize};

/// Which part of a list to give: up to `limit` rows after the row `after`, in the
/// list's order. By key and not by offset, so that page 1,000 costs what page 1 does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<Key> {
    /// The last row that was seen; none for the first page.
    pub after: Option<Key>,
    limit: u32,
}

impl<Key> Page<Key> {
    /// The most rows that one page may have.
    pub const MAX: u32 = 1_000;

    /// The first `limit` rows; held within 1..=[`MAX`](Self::MAX).
    #[must_use]
    pub fn first(limit: u32) -> Self {
        Self {
            after: None,
            limit: limit.clamp(1, Self::MAX),
        }
    }

    /// The rows that come after `key`.
    #[must_use]
    pub fn after(self, key: Key) -> Self {
        Self {
            after: Some(key),
            ..self
        }
    }

    /// How many rows at most.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }
}
