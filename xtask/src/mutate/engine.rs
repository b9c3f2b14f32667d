//! The pipeline: how a deployment is carried out.

use super::{Mutant, Suite};

const ATTEMPT: &str = "deployr-core/src/pipeline/attempt.rs";
const RUN: &str = "deployr-core/src/pipeline/run.rs";
const LIVE: &str = "deployr-core/src/pipeline/live.rs";

/// Every call of every scenario is struck, over the store in memory.
pub(super) const PIPELINE: Suite = Suite {
    test: &["-p=deployr-core", "--test=fault_sweep", "a_fault"],
    mutants: &[
        Mutant {
            name: "the old release retired before the switch",
            file: LIVE,
            find: "        self.switch(&spec, &self.ctx).await?;\n        self.route",
            replace: "        if let Some(before) = &before {\n            self.retire(before).await;\n        }\n        self.switch(&spec, &self.ctx).await?;\n        self.route",
        },
        Mutant {
            name: "the ingress routed before the switch",
            file: LIVE,
            find: "        self.switch(&spec, &self.ctx).await?;\n        self.route(release, endpoint).await?;",
            replace: "        self.route(release, endpoint).await?;\n        self.switch(&spec, &self.ctx).await?;",
        },
        Mutant {
            name: "a switch that was made is made again",
            file: RUN,
            find: "if current == Some(left.number) {",
            replace: "if current == Some(-left.number) {",
        },
        Mutant {
            name: "an earlier attempt may still switch",
            file: RUN,
            find: "            self.close_the_door().await?;\n",
            replace: "",
        },
        Mutant {
            name: "taken back without the lease",
            file: LIVE,
            find: "        self.confirm_the_lease().await?;\n",
            replace: "",
        },
        Mutant {
            name: "a log that begins anew after a takeover",
            file: ATTEMPT,
            find: "        last + 1,\n",
            replace: "        last - last + 1,\n",
        },
        Mutant {
            name: "a deployment over before its log is whole",
            file: ATTEMPT,
            find: "let ended = match sink.close().await {",
            replace: "let late = async { tokio::time::sleep(std::time::Duration::from_millis(50)).await; sink.close().await };\n    tokio::spawn(late);\n    let ended = match Ok::<(), StoreError>(()) {",
        },
    ],
};
