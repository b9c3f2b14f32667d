use crate::support::{Target, load, spec};

/// The compose tool takes a second and a half of a processor for each: twenty when there is time.
fn releases() -> i64 {
    match std::env::var_os("DEPLOYR_SOAK") {
        Some(_) => 21,
        None => 7,
    }
}

const FILE: &str = "
services:
  web:
    image: busybox:test
    init: true
    command: httpd -f -p 8000 -h /site
    volumes: ['./:/site:ro']
    ports: [8000]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn releases_under_load_lose_and_mix_no_request() {
    let target = Target::new();
    let live = async |number: i64| {
        let page = number.to_string();
        let checkout = target.checkout(&[("compose.yaml", FILE), ("index.html", &page)]);
        target.deploy(&spec(number), &checkout).await.unwrap()
    };
    load::under_load(&target.executor, &spec(1).slug, releases(), live).await;
    assert_eq!(target.containers().len(), 1);
    assert_eq!(target.networks().len(), 2, "its own, and that of all");
}
