//! When leases that ran out may be ended: the rule that all stores share.

use std::time::Duration;

use crate::system::{Timestamp, later};

/// Leases that ran out at the same time are left alone for now where there are more of them
/// than this, and than half of all.
const FEW: u64 = 5;

/// What a store remembers from one sweep to the next, by its own clock. For those who write
/// a store.
///
/// A lease that ran out says that its worker is gone; or that the *store* was away, so that
/// nobody could renew any; or that something is wrong with all workers at once. In the last
/// two cases those that live get one term to say so, before the others lose their jobs.
///
/// ```
/// use std::time::Duration;
/// use deployr_core::store::Watch;
/// use deployr_core::system::{Clock, SystemClock, later};
///
/// let (mut watch, term, start) = (Watch::default(), Duration::from_secs(60), SystemClock.now());
/// let at = |seconds| later(start, Duration::from_secs(seconds));
/// assert!(watch.may_end(at(0), term, 20, 1));
/// assert!(watch.may_end(at(1), term, 20, 1));
/// // Nobody has swept for longer than leases hold: the store was away.
/// assert!(!watch.may_end(at(100), term, 20, 1));
/// assert!(!watch.may_end(at(130), term, 20, 1));
/// assert!(watch.may_end(at(160), term, 20, 1));
/// // More than half at a time: that is no matter of some worker.
/// assert!(watch.may_end(at(161), term, 20, 10));
/// # for second in 162..220 { watch.may_end(at(second), term, 20, 0); }
/// assert!(!watch.may_end(at(221), term, 20, 11));
/// # for second in 222..281 { assert!(!watch.may_end(at(second), term, 20, 11)); }
/// assert!(watch.may_end(at(281), term, 20, 11));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watch {
    /// When the queue was last swept while jobs ran, to an eighth of a term.
    pub swept_at: Option<Timestamp>,
    /// Since when no lease is ended, for one term.
    pub held_since: Option<Timestamp>,
}

impl Watch {
    /// For how long after a lease of `term` has run out its job is left alone: a sweep must
    /// not be quicker than a heartbeat that is on its way.
    #[must_use]
    pub fn grace(term: Duration) -> Duration {
        term / 10
    }

    /// Whether the leases that ran out may be ended now: `expired` of those of all `running`
    /// jobs, of which there is at least one. Where it has changed, it is to be stored.
    pub fn may_end(&mut self, now: Timestamp, term: Duration, running: u64, expired: u64) -> bool {
        let past = |since: Timestamp, wait: Duration| later(since, wait) <= now;
        // By then the lease of a worker that lives may have run out.
        let store_was_away = self.swept_at.is_some_and(|at| past(at, term * 3 / 4));
        if self
            .swept_at
            .is_none_or(|at| past(at, term / 8) || at > now)
        {
            self.swept_at = Some(now);
        }
        let at_once = expired > FEW.max(running / 2);
        // Who has not said a word since the last time does not live.
        let again = self
            .held_since
            .is_none_or(|since| past(since, term * 2) || since > now);
        if store_was_away || (at_once && again) {
            self.held_since = Some(now);
        }
        self.held_since
            .is_none_or(|since| past(since, term) || since > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::{Clock, SystemClock};

    const TERM: Duration = Duration::from_secs(60);

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up_for_longer_than_a_term() {
        let now = SystemClock.now();
        let hour = Duration::from_secs(3_600);
        let mut watch = Watch {
            swept_at: Some(later(now, hour)),
            held_since: Some(later(now, hour)),
        };
        assert!(watch.may_end(now, TERM, 20, 1));
        assert_eq!(watch.swept_at, Some(now));
    }

    #[test]
    fn leases_of_no_length_are_ended_at_once() {
        let mut watch = Watch::default();
        for n in 0..5 {
            let now = later(SystemClock.now(), TERM * n);
            assert!(watch.may_end(now, Duration::ZERO, 20, 20));
        }
    }

    #[test]
    fn nothing_is_to_be_stored_most_of_the_time() {
        let mut watch = Watch::default();
        let (start, mut changes) = (SystemClock.now(), 0);
        for second in 0..60 {
            let before = watch;
            assert!(watch.may_end(later(start, Duration::from_secs(second)), TERM, 20, 5));
            changes += usize::from(watch != before);
        }
        assert_eq!(changes, 8);
    }

    #[test]
    fn few_leases_are_ended_though_they_are_all() {
        let mut watch = Watch::default();
        let now = SystemClock.now();
        assert!(watch.may_end(now, TERM, 5, 5));
        assert!(!watch.may_end(now, TERM, 6, 6));
    }
}
