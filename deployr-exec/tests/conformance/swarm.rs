use std::sync::Arc;

use deployr_exec::docker::swarm::SwarmExecutor;
use deployr_testkit::docker::Docker;

use crate::containers::{self, Kind};
use crate::docker::serve_files;

#[tokio::test(flavor = "multi_thread")]
async fn the_swarm_executor_conforms() {
    let swarm = Kind {
        over: |docker| Arc::new(SwarmExecutor::new(docker)),
        serves: serve_files,
    };
    containers::conform(Docker::shared().swarm(), swarm).await;
}
