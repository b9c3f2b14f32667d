//! How a worker keeps its leases, and when those of others are ended.

use super::{Mutant, Suite};

const HANDOVER: &str = "deployr-core/src/worker/handover.rs";
const LEASES: &str = "deployr-core/src/worker/leases.rs";
const UNHEARD: &str = "deployr-core/src/worker/unheard.rs";
const WATCH: &str = "deployr-core/src/store/watch.rs";

pub(super) const KEPT: Suite = Suite {
    test: &["-p=deployr-core", "--test=worker", "--test=leases"],
    mutants: &[
        Mutant {
            name: "a claim that was not answered, and is not asked for",
            file: HANDOVER,
            find: "self.unheard.note(sent);",
            replace: "let _ = sent;",
        },
        Mutant {
            name: "a claim that is asked for once only",
            file: UNHEARD,
            find: "self.asks = [soon, sent + SETTLED].into();",
            replace: "self.asks = [soon, sent + SETTLED * 1_000].into();",
        },
        Mutant {
            name: "a job in hand taken for one that nobody knows of",
            file: UNHEARD,
            find: "jobs.retain(|job| !known.contains(&shared.claim_of(job)));",
            replace: "jobs.retain(|job| known.len() < 100 || !known.contains(&shared.claim_of(job)));",
        },
        Mutant {
            name: "a claim that nobody knows of, left by a worker that ends",
            file: HANDOVER,
            find: "self.unheard.ask(shared, 0).await;",
            replace: "let _ = shared;",
        },
        Mutant {
            name: "a job that was stopped, and is not given back",
            file: LEASES,
            find: "StoreError::LeaseLost { .. } => Then::GiveBack,",
            replace: "StoreError::Full { .. } => Then::GiveBack,",
        },
    ],
};

pub(super) const ENDED: Suite = Suite {
    test: &["-p=deployr-core", "--test=memory_store", "conforms"],
    mutants: &[
        Mutant {
            name: "leases ended though the store was away",
            file: WATCH,
            find: "if store_was_away || (at_once && again) {",
            replace: "if store_was_away && at_once && again {",
        },
        Mutant {
            name: "all leases ended at once",
            file: WATCH,
            find: "if store_was_away || (at_once && again) {",
            replace: "if store_was_away {",
        },
        Mutant {
            name: "leases that are never ended",
            file: WATCH,
            find: ".is_none_or(|since| past(since, term * 2) || since > now);",
            replace: ".is_none_or(|since| past(since, term) || since > now);",
        },
        Mutant {
            name: "leases ended one after the other",
            file: WATCH,
            find: "expired + ended > FEW",
            replace: "expired > FEW",
        },
        Mutant {
            name: "leases that cannot be ended counted for ever",
            file: WATCH,
            find: "term * 2 + Self::grace(term)",
            replace: "term * 2_000 + Self::grace(term)",
        },
        Mutant {
            name: "a sweep that is quicker than a heartbeat",
            file: WATCH,
            find: "term / 10",
            replace: "term / 10_000",
        },
    ],
};
