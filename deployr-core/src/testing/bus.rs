//! What every event bus must do: the rules of [`bus`](crate::bus), as checks.
//!
//! ```
//! use std::sync::Arc;
//! use deployr_core::bus::{EventBus, LocalBus};
//! use deployr_core::testing::bus::conformance;
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! // The nodes of one bus. This one reaches a single process, so they are clones.
//! conformance(async |nodes| {
//!     let bus = LocalBus::default();
//!     let node = |_| Arc::new(bus.clone()) as Arc<dyn EventBus>;
//!     (0..nodes).map(node).collect()
//! })
//! .await;
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::HashSet;
use std::sync::Arc;

use futures::FutureExt;

use super::suite;
use super::suite::{check_list, in_time};
use crate::bus::{EventBus, Hint, Hints};
use crate::model::DeploymentId;
use crate::system::{Clock, SystemClock, SystemEntropy};

/// Of each bus that is checked.
const NODES: usize = 2;
/// More than any bus keeps for a receiver that does not read.
const FLOOD: usize = 100_000;

type Nodes = Arc<Vec<Arc<dyn EventBus>>>;

check_list! { Nodes;
    a_hint_reaches_every_subscriber_on_every_node,
    every_kind_of_hint_arrives,
    publishing_to_nobody_is_fine,
    a_slow_subscriber_misses_and_holds_up_nobody,
    a_wait_that_is_given_up_loses_nothing,
    hints_from_many_tasks_all_arrive,
}

/// Runs every check, each on a bus of its own: `make` is told how many nodes it shall
/// have, and gives those. Wants a runtime of several threads.
///
/// # Panics
///
/// When a check fails; all that failed are named.
pub async fn conformance<F, Fut>(make: F)
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Vec<Arc<dyn EventBus>>>,
{
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        let nodes = Arc::new(make(NODES).await);
        assert_eq!(nodes.len(), NODES, "as many nodes as were asked for");
        if let Err(reason) = suite::outcome(check(nodes)).await {
            failed.push(format!("{name}: {reason}"));
        }
    }
    suite::tell(&failed);
}

fn deployment() -> DeploymentId {
    DeploymentId::new(SystemClock.now(), &SystemEntropy)
}

/// Reads until all of `wanted` were there, in any order. Hints may come twice, and
/// others may come too; `Missed` stands for all.
async fn assert_reached(hints: &mut Hints, wanted: &[Hint]) {
    let mut missing = wanted.to_vec();
    let read = async {
        while !missing.is_empty() {
            match hints.next().await {
                Hint::Missed => missing.clear(),
                hint => missing.retain(|wanted| *wanted != hint),
            }
        }
    };
    in_time("hints that were published", read).await;
}

async fn a_hint_reaches_every_subscriber_on_every_node(nodes: Nodes) {
    let subscribe = |node: &Arc<dyn EventBus>| [node.subscribe(), node.subscribe()];
    let mut all: Vec<Hints> = nodes.iter().flat_map(subscribe).collect();
    for node in nodes.iter() {
        let hint = Hint::Deployment(deployment());
        node.publish(hint);
        for hints in &mut all {
            assert_reached(hints, &[hint]).await;
        }
    }
}

async fn every_kind_of_hint_arrives(nodes: Nodes) {
    let mut hints = nodes[1].subscribe();
    let kinds = [Hint::Jobs, Hint::Cancel, Hint::Deployment(deployment())];
    for hint in kinds {
        nodes[0].publish(hint);
    }
    assert_reached(&mut hints, &kinds).await;
}

async fn publishing_to_nobody_is_fine(nodes: Nodes) {
    nodes[0].publish(Hint::Jobs);
    drop(nodes[0].subscribe());
    nodes[0].publish(Hint::Jobs);
    let mut hints = nodes[0].subscribe();
    let later = Hint::Deployment(deployment());
    nodes[1].publish(later);
    assert_reached(&mut hints, &[later]).await;
}

async fn a_slow_subscriber_misses_and_holds_up_nobody(nodes: Nodes) {
    let mut slow = nodes[0].subscribe();
    let ids: Vec<DeploymentId> = (0..FLOOD).map(|_| deployment()).collect();
    let (publisher, flood) = (Arc::clone(&nodes), ids.clone());
    let publish = tokio::task::spawn_blocking(move || {
        let publish = |id| publisher[0].publish(Hint::Deployment(id));
        flood.into_iter().for_each(publish);
    });
    in_time("publishing to one who does not read", publish)
        .await
        .unwrap();
    // Either it gets every one of them, or it is told that it did not.
    let mut missing: HashSet<DeploymentId> = ids.into_iter().collect();
    let read = async {
        while !missing.is_empty() {
            match slow.next().await {
                Hint::Missed => break,
                Hint::Deployment(id) => drop(missing.remove(&id)),
                _ => {}
            }
        }
    };
    in_time("`Missed`, or all of what was published", read).await;
    // And it goes on.
    let later = Hint::Deployment(deployment());
    nodes[0].publish(later);
    assert_reached(&mut slow, &[later]).await;
}

async fn a_wait_that_is_given_up_loses_nothing(nodes: Nodes) {
    let mut hints = nodes[0].subscribe();
    for _ in 0..100 {
        let _ = hints.next().now_or_never();
        let hint = Hint::Deployment(deployment());
        nodes[1].publish(hint);
        assert_reached(&mut hints, &[hint]).await;
    }
}

async fn hints_from_many_tasks_all_arrive(nodes: Nodes) {
    let mut hints = nodes[1].subscribe();
    let ids: Vec<Hint> = (0..200).map(|_| Hint::Deployment(deployment())).collect();
    for (n, hint) in ids.iter().copied().enumerate() {
        let nodes = Arc::clone(&nodes);
        tokio::spawn(async move { nodes[n % NODES].publish(hint) });
    }
    assert_reached(&mut hints, &ids).await;
}
