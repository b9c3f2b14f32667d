//! More than one task of a release.

use std::path::Path;
use std::time::{Duration, Instant};

use deployr_core::error::StepError;
use deployr_core::executor::Executor;
use deployr_core::testing::RecordedStep;

use crate::support::{SERVER, Target, deploy, get, spec};

/// Where the kernel can be a routing mesh, requests reach all replicas; where it cannot, that is
/// said before anything is started.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_all_reached_or_refused() {
    let target = Target::new();
    let (_, live) = target.live(1, "old").await;
    let three = target.executor.clone().replicas(3);
    let app = spec(2, &format!("hostname >/tmp/index.html; cd /tmp; {SERVER}"));
    let files = target.files(&[("a", "")]);
    if !Path::new("/proc/net/ip_vs").exists() {
        let step = RecordedStep::new();
        for refused in [
            three.prepare(&app, &files, &step.ctx).await,
            three.check_swarm().await.map(drop),
        ] {
            match refused {
                Err(StepError::Fault(fault)) => {
                    assert!(!fault.retryable);
                    assert!(fault.to_string().contains("ip_vs"), "{fault}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(get(live).await.as_deref(), Ok("old"));
        assert_eq!(target.services(), [target.service(1)]);
        return;
    }
    let at = deploy(&three, &app, &files, 2).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut said = std::collections::BTreeSet::new();
    while said.len() < 3 {
        said.insert(get(at).await.unwrap());
        assert!(Instant::now() < deadline, "{said:?}");
    }
    // Fewer of them: those that stay go on.
    let two = target.restarted().replicas(2);
    let step = RecordedStep::new();
    two.start(&app, &step.ctx).await.unwrap();
    while target.containers().len() > 3 {
        assert!(Instant::now() < deadline, "{:?}", target.containers());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
