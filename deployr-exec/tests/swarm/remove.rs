//! A project goes from a swarm.

use std::time::{Duration, Instant};

use deployr_core::executor::Executor;

use crate::support::{SERVER, Target, deploy, set, spec};

#[tokio::test(flavor = "multi_thread")]
async fn services_secrets_and_the_network_go() {
    let target = Target::new();
    let mut app = spec(1, SERVER);
    set(&mut app, "TOKEN", "t0k3n");
    set(&mut app, "TOKEN_FILE", "/run/secrets/TOKEN");
    let files = target.files(&[("index.html", "home")]);
    deploy(&target.executor, &app, &files, 1).await.unwrap();
    let networks = || target.docker(&["network", "ls", "--format", "{{.Name}}"]);
    let network = format!("deployr-{}-{}", target.instance(), target.slug);
    assert!(networks().contains(&network));
    assert_eq!(target.secrets().len(), 1);
    for _ in 0..2 {
        let executor = target.restarted();
        executor.remove(&target.slug, true).await.unwrap();
        assert!(target.services().is_empty());
        assert!(target.secrets().is_empty());
        assert!(target.containers().is_empty());
        // Swarm's managers agree first, and each engine's own list follows.
        let deadline = Instant::now() + Duration::from_secs(20);
        while networks().contains(&network) {
            assert!(Instant::now() < deadline, "{}", networks());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
