//! Visitors while releases change.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deployr_core::executor::{Endpoint, Executor};
use deployr_core::ingress::{Ingress, Route};
use deployr_core::model::Turn;
use deployr_core::testing::ingress::http_get;
use deployr_exec::ingress::BuiltinIngress;

use crate::support::Target;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_releases_under_load_lose_and_mix_no_request() {
    let target = Target::new();
    let ingress = BuiltinIngress::bind(([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let at = ingress.local_addr();
    let route = |number: i64, address: SocketAddr| {
        let route = Route {
            slug: target.slug.clone(),
            release: number,
            endpoint: Endpoint::Http { address },
            domains: Vec::new(),
            turn: Turn::new(number, 1),
        };
        ingress.route(route)
    };
    let (_, address) = target.live(1, "1").await;
    route(1, address).await.unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let present = Arc::new(AtomicUsize::new(1));
    let visitors: Vec<_> = (0..3)
        .map(|_| {
            let (done, answered, present) = (done.clone(), answered.clone(), present.clone());
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let before = present.load(Ordering::SeqCst);
                    let said = http_get(at, "shop.localhost").unwrap();
                    let said: usize = said.parse().unwrap();
                    let after = present.load(Ordering::SeqCst) + 1;
                    assert!(
                        (before..=after).contains(&said),
                        "{said}, not {before} to {after}"
                    );
                    answered.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
        })
        .collect();
    for number in 2..=21 {
        let (_, address) = target.live(number, &number.to_string()).await;
        route(number, address).await.unwrap();
        present.store(number as usize, Ordering::SeqCst);
        ingress
            .drain(&target.slug, Duration::from_secs(5))
            .await
            .unwrap();
        let executor = &target.executor;
        executor
            .retire(&target.slug, number - 1, Duration::from_secs(5))
            .await
            .unwrap();
        executor
            .prune(&target.slug, &[number - 1, number])
            .await
            .unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.join().unwrap();
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > 100, "{answered} requests are no load");
    assert_eq!(target.services(), [target.service(21)]);
}
