//! Visitors while generations change.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use deployr_core::executor::{Endpoint, Executor};
use deployr_core::ingress::{Ingress, Route};
use deployr_core::model::Turn;
use deployr_core::testing::ingress::http_get;
use deployr_exec::ingress::BuiltinIngress;

use crate::support::{Target, spec};

/// The compose tool takes seconds for each.
const RELEASES: i64 = 6;

const FILE: &str = "
services:
  web:
    image: busybox:test
    command: httpd -f -p 8000 -h /site
    volumes: ['./:/site:ro']
    ports: [8000]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn releases_under_load_lose_and_mix_no_request() {
    let target = Target::new();
    let ingress = BuiltinIngress::bind(([127, 0, 0, 1], 0).into()).await;
    let ingress = ingress.unwrap();
    let at = ingress.local_addr();
    let slug = spec(1).slug;
    let live = async |number: i64| -> SocketAddr {
        let page = number.to_string();
        let files = [("compose.yaml", FILE), ("index.html", &page)];
        let checkout = target.checkout(&files);
        let address = target.deploy(&spec(number), &checkout).await.unwrap();
        let route = Route {
            slug: slug.clone(),
            release: number,
            endpoint: Endpoint::Http { address },
            domains: Vec::new(),
            turn: Turn::new(number, 1),
        };
        ingress.route(route).await.unwrap();
        address
    };
    live(1).await;

    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let present = Arc::new(AtomicI64::new(1));
    let visitors: Vec<_> = (0..3)
        .map(|_| {
            let (done, answered, present) = (done.clone(), answered.clone(), present.clone());
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let before = present.load(Ordering::SeqCst);
                    let said: i64 = http_get(at, "shop.localhost").unwrap().parse().unwrap();
                    let after = present.load(Ordering::SeqCst) + 1;
                    let may_say = before..=after;
                    assert!(may_say.contains(&said), "{said}, not {may_say:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
        })
        .collect();
    for number in 2..=RELEASES {
        live(number).await;
        present.store(number, Ordering::SeqCst);
        let grace = Duration::from_secs(5);
        ingress.drain(&slug, grace).await.unwrap();
        let executor = &target.executor;
        executor.retire(&slug, number - 1, grace).await.unwrap();
        executor.prune(&slug, &[number - 1, number]).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.join().unwrap();
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > 100, "{answered} requests are no load");
    assert_eq!(target.containers().len(), 1);
    assert_eq!(target.networks().len(), 2, "its own, and that of all");
}
