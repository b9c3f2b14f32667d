//! A project goes from an engine.

use deployr_core::executor::Executor;
use deployr_core::value::RelPath;

use crate::support::{Target, get, spec};

#[tokio::test(flavor = "multi_thread")]
async fn containers_and_images_go_and_volumes_when_they_are_purged() {
    let target = Target::new();
    let line = "echo by the app >up/index.html; exec httpd -f -p $PORT -h up";
    let mut app = spec(1, line);
    app.recipe.shared = vec![RelPath::parse("up").unwrap()];
    let artifact = target.files(&[("index.html", "home")]);
    let volumes = || target.docker(&["volume", "ls", "--quiet", "--filter", &target.label()]);
    let at = target.deploy(&app, &artifact, 1).await.unwrap();
    assert_eq!(get(at).await.as_deref(), Ok("by the app\n"));
    assert!(!volumes().trim().is_empty());

    for purge in [false, true, true] {
        let executor = target.restarted();
        executor.remove(&target.slug, purge).await.unwrap();
        assert!(target.containers().is_empty());
        let image = target.docker(&["images", "--quiet", &target.image(1)]);
        assert_eq!(image.trim(), "");
        assert_eq!(volumes().trim().is_empty(), purge);
    }
}
