//! A project goes from an engine, with what was kept beside its generations.

use deployr_core::executor::Executor;

use crate::support::{Target, spec};

const FILE: &str = "
services:
  web:
    image: busybox:test
    init: true
    command: httpd -f -p 8000 -h /bin
    ports: ['8000']
    healthcheck: {test: 'true', interval: 1s}
  data:
    image: busybox:test
    init: true
    command: httpd -f -p 6000 -h /data
    volumes: ['data:/data']
volumes: {data: {}}
";

#[tokio::test(flavor = "multi_thread")]
async fn generations_and_what_is_kept_go_and_volumes_when_they_are_purged() {
    let target = Target::new();
    let mut release = spec(1);
    release.recipe.health.path = deployr_core::value::HealthPath::parse("/busybox").unwrap();
    let checkout = target.checkout(&[("compose.yaml", FILE)]);
    target.deploy(&release, &checkout).await.unwrap();
    assert_eq!(target.containers().len(), 2);
    let label = target.label();
    let volumes = || target.docker(&["volume", "ls", "--quiet", "--filter", &label]);
    assert!(!volumes().trim().is_empty());
    let (_, instance) = label.rsplit_once('=').unwrap();
    let of_project = format!("deployr-{instance}-");
    let networks = target.docker(&["network", "ls", "--format", "{{.Name}}"]);
    assert!(networks.contains(&of_project), "{networks}");
    for purge in [false, true, true] {
        target.executor.remove(&release.slug, purge).await.unwrap();
        assert!(target.containers().is_empty());
        // Also the one that only has the compose tool's own labels.
        let left = target.docker(&["network", "ls", "--format", "{{.Name}}"]);
        assert!(!left.contains(&of_project), "{left}");
        assert_eq!(volumes().trim().is_empty(), purge);
    }
}
