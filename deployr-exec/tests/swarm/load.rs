use crate::support::{Target, load};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_releases_under_load_lose_and_mix_no_request() {
    let target = Target::new();
    let live = async |number: i64| target.live(number, &number.to_string()).await.1;
    load::under_load(&target.executor, &target.slug, 21, live).await;
    assert_eq!(target.services(), [target.service(21)]);
}
