//! The worker: how a job that runs is stopped.

use super::{Mutant, Suite};

const WORKER: &str = "deployr-core/src/worker.rs";
const LEASES: &str = "deployr-core/src/worker/leases.rs";

pub(super) const STOPPING: Suite = Suite {
    test: &["-p=deployr-core", "--test=stopping"],
    mutants: &[
        Mutant {
            name: "a worker that drains and takes more",
            file: WORKER,
            find: "            true => 0,\n",
            replace: "            true => 1,\n",
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
