//! When leases that ran out may be ended: the rule that all stores share.

use std::time::Duration;

use crate::system::{Timestamp, later};

/// Leases that ran out at about the same time are left alone for now where there are more of
/// them than this, and than half of all.
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
    /// When the present count began, which goes on for one term; none where both are 0.
    pub counted_since: Option<Timestamp>,
    /// How many leases were ended since then.
    pub ended: u64,
    /// How many in the term before.
    pub ended_before: u64,
}

impl Watch {
    /// For how long after a lease of `term` has run out its job is left alone: a sweep must
    /// not be quicker than a heartbeat that is on its way.
    #[must_use]
    pub fn grace(term: Duration) -> Duration {
        term / 10
    }

    /// Leases of `term` that ran out longer ago than this were judged already, and were to be
    /// ended since: those that are left cannot be, and say nothing of the present.
    #[must_use]
    pub fn stale(term: Duration) -> Duration {
        term * 2 + Self::grace(term)
    }

    /// Whether the leases that ran out may be ended now: `expired` of those of all `running`
    /// jobs, neither counted with the [stale](Self::stale) ones. Not asked where no job runs.
    /// Where it has changed, it is to be stored.
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
        self.forget(now, term);
        // They run out within some seconds, and sweeps come every second: those that were
        // ended lately count.
        let ended = self.ended + self.ended_before;
        let at_once = expired > 0 && expired + ended > FEW.max((running + ended) / 2);
        // Who has not said a word since the last time does not live.
        let again = self
            .held_since
            .is_none_or(|since| past(since, term * 2) || since > now);
        if store_was_away || (at_once && again) {
            self.held_since = Some(now);
            (self.ended, self.ended_before) = (0, 0);
        }
        self.held_since
            .is_none_or(|since| past(since, term) || since > now)
    }

    /// Notes that so many leases were ended after [`may_end`](Self::may_end) let it be. Where
    /// it has changed, it is to be stored.
    pub fn note_ended(&mut self, now: Timestamp, term: Duration, leases: u64) {
        let judged = |since| since <= now && now < later(since, term * 2);
        if leases > 0 && !self.held_since.is_some_and(judged) {
            self.counted_since.get_or_insert(now);
            self.ended += leases;
        }
    }

    /// Forgets what was ended longer ago than a term, or two at most.
    fn forget(&mut self, now: Timestamp, term: Duration) {
        let Some(since) = self.counted_since else {
            return;
        };
        let next = later(since, term);
        if next <= now {
            (self.ended_before, self.ended) = (self.ended, 0);
            self.counted_since = Some(next);
        }
        if later(next, term) <= now || since > now {
            self.ended_before = 0;
        }
        if since > now || (self.ended, self.ended_before) == (0, 0) {
            (self.counted_since, self.ended) = (None, 0);
        }
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
            counted_since: Some(later(now, hour)),
            ended: 30,
            ended_before: 30,
        };
        assert!(watch.may_end(now, TERM, 20, 1));
        let fresh = Watch {
            swept_at: Some(now),
            held_since: watch.held_since,
            ..Watch::default()
        };
        assert_eq!(watch, fresh);
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

    /// Sweeps each second, of which each finds so many leases that ran out, and ends them;
    /// in which second they were held back, if ever.
    fn held_at(running: u64, found: &[u64]) -> Option<usize> {
        let (mut watch, start) = (Watch::default(), SystemClock.now());
        found.iter().enumerate().position(|(second, expired)| {
            let now = later(start, Duration::from_secs(second as u64));
            let may = watch.may_end(now, TERM, running, *expired);
            watch.note_ended(now, TERM, if may { *expired } else { 0 });
            !may
        })
    }

    #[test]
    fn leases_that_run_out_within_a_term_are_counted_together() {
        // Those whose lease was ended are in other hands: of 20 + 19 leases 20 ran out.
        assert_eq!(held_at(20, &[1; 60]), Some(19));
        assert_eq!(held_at(1_000, &[1; 60]), None);
        // Whenever in the term the count began.
        let mut found = [0; 120];
        (found[3], found[50], found[65]) = (1, 12, 12);
        assert_eq!(held_at(37, &found), None);
        found[66] = 7;
        assert_eq!(held_at(37, &found), Some(66));
    }

    #[test]
    fn leases_that_ran_out_long_ago_are_forgotten() {
        let mut found = [0; 600];
        for second in (0..600).step_by(150) {
            found[second] = 5;
        }
        assert_eq!(held_at(6, &found), None);
        // What ended yesterday is none of today's.
        let mut watch = Watch {
            counted_since: Some(SystemClock.now()),
            ended: 50,
            ..Watch::default()
        };
        assert!(watch.may_end(later(SystemClock.now(), TERM * 99), TERM, 9, 5));
        assert_eq!((watch.counted_since, watch.ended_before), (None, 0));
    }

    #[test]
    fn what_ends_after_it_was_held_back_is_not_counted_again() {
        let (mut watch, start) = (Watch::default(), SystemClock.now());
        assert!(!watch.may_end(start, TERM, 40, 30));
        for second in 1..150 {
            let now = later(start, Duration::from_secs(second));
            let (running, expired) = if second <= 60 { (40, 30) } else { (10, 1) };
            let may = watch.may_end(now, TERM, running, expired);
            assert_eq!(may, second >= 60, "{second}");
            let ended = if second == 60 { 30 } else { 0 };
            watch.note_ended(now, TERM, ended);
        }
    }

    #[test]
    fn few_leases_are_ended_though_they_are_all() {
        let mut watch = Watch::default();
        let now = SystemClock.now();
        assert!(watch.may_end(now, TERM, 5, 5));
        assert!(!watch.may_end(now, TERM, 6, 6));
    }
}
