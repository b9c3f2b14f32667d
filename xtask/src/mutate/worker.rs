//! The worker: how a job that runs is stopped.

use super::{Mutant, Suite};

const WORKER: &str = "deployr-core/src/worker.rs";
const CLAIMING: &str = "deployr-core/src/worker/claiming.rs";
const LEASES: &str = "deployr-core/src/worker/leases.rs";

const AHEAD: &str = "deployr-core/src/worker/ahead.rs";

pub(super) const CLAIMING_AHEAD: Suite = Suite {
    test: &["-p=deployr-core", "--test=claiming_ahead"],
    mutants: &[
        Mutant {
            name: "any job claimed ahead",
            file: CLAIMING,
            find: "ask == Ask::ForSlots || handler.short()",
            replace: "ask == Ask::ForSlots || handler.short() || true",
        },
        Mutant {
            name: "jobs claimed ahead for slots that are taken for long",
            file: CLAIMING,
            find: "self.ahead.room().filter(|_| has_slots_for_short)",
            replace: "self.ahead.room().filter(|_| has_slots_for_short || true)",
        },
        Mutant {
            name: "a job begun whose lease is lost",
            file: AHEAD,
            find: "            if !ctx.lost.is_cancelled() {",
            replace: "if !ctx.lost.is_cancelled() || true {",
        },
        Mutant {
            name: "a drain that keeps what is not begun",
            file: CLAIMING,
            find: "if draining || stale {",
            replace: "if stale {",
        },
        Mutant {
            name: "jobs kept behind one that is not short",
            file: AHEAD,
            find: "(!self.is_empty()).then_some(left)",
            replace: "(!self.is_empty()).then_some(left.max(lease))",
        },
    ],
};

pub(super) const STOPPING: Suite = Suite {
    test: &["-p=deployr-core", "--test=stopping"],
    mutants: &[
        Mutant {
            name: "a worker that drains and takes more",
            file: CLAIMING,
            find: "!self.due || draining || !self.handover",
            replace: "!self.due || !self.handover",
        },
        Mutant {
            name: "a worker that drains without heartbeats",
            file: LEASES,
            find: "() = shared.ended.cancelled() => return,\n            () = tokio::time::sleep(pause)",
            replace: "() = shared.drain.cancelled() => return,\n            () = tokio::time::sleep(pause)",
        },
        Mutant {
            name: "a lease kept after the drain",
            file: WORKER,
            find: "            self.shared.stop_all(StopReason::Shutdown);\n            let _ = work.await;",
            replace: "            work.abort();",
        },
        Mutant {
            name: "a heartbeat that brings no wish to cancel",
            file: LEASES,
            find: "                if cancel {\n",
            replace: "                if cancel && term.is_zero() {\n",
        },
        Mutant {
            name: "a wish to cancel that waits for a heartbeat",
            file: LEASES,
            find: "Hint::Cancel | Hint::Missed) {}",
            replace: "Hint::Missed) {}",
        },
    ],
};
