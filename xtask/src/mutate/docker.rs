//! What keeps releases and builds in Docker from harm, and others from theirs.

use super::{Mutant, Suite};

const CONTAINER: &str = "deployr-exec/src/docker/container.rs";
const RUN: &str = "deployr-exec/src/docker/run.rs";

/// On a real engine.
pub(super) const DOCKER: Suite = Suite {
    test: &["-p=deployr-exec", "--test=docker"],
    mutants: &[
        Mutant {
            name: "a release stays down after the engine was killed",
            file: CONTAINER,
            find: "true => RestartPolicyNameEnum::ALWAYS",
            replace: "true => RestartPolicyNameEnum::UNLESS_STOPPED",
        },
        Mutant {
            name: "a retired release comes back with the engine",
            file: RUN,
            find: "        self.restart_by_itself(name, false).await?;\n",
            replace: "",
        },
        Mutant {
            name: "a container keeps Docker's usual capabilities",
            file: CONTAINER,
            find: "            cap_drop: Some(vec![\"ALL\".to_owned()]),\n",
            replace: "",
        },
        Mutant {
            name: "releases reach each other",
            file: "deployr-exec/src/docker/network.rs",
            find: "\"false\".to_owned()",
            replace: "\"true\".to_owned()",
        },
        Mutant {
            name: "a build in Docker goes on after its end",
            file: "deployr-exec/src/docker/build/mod.rs",
            find: "room.clear().await.and(ended)",
            replace: "ended",
        },
    ],
};
