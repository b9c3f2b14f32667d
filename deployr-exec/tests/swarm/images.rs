//! Releases that are images already, as a Dockerfile makes them.

use deployr_core::builder::ArtifactContent;
use deployr_core::model::Runtime;

use crate::support::{Target, artifact, deploy, get, spec};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_runs_with_its_own_command_at_its_own_port() {
    let target = Target::new();
    let made = target.docker(&["create", "busybox:test", "true"]);
    let serve = "CMD [\"sh\", \"-c\", \"id -u >index.html; exec httpd -f -p 3000\"]";
    let own = ["--change", "WORKDIR /srv/own", "--change", "EXPOSE 3000"];
    let commit = [&["commit", "--change", serve], &own[..], &[made.as_str()]].concat();
    let id = target.docker(&commit);
    target.docker(&["rm", &made]);
    let mut app = spec(1, "unused");
    app.recipe.runtime = Runtime::Image;
    let image = artifact(ArtifactContent::Image(id));
    let at = deploy(&target.executor, &app, &image, 1).await.unwrap();
    assert_eq!(get(at).await.as_deref(), Ok("0\n"), "as the image says");
}
