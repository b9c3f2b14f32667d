//! Visitors of a project while its releases change.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use deployr_core::executor::{Endpoint, Executor};
use deployr_core::ingress::{Ingress, Route};
use deployr_core::model::Turn;
use deployr_core::testing::ingress::http_get;
use deployr_core::value::Slug;
use deployr_exec::ingress::BuiltinIngress;

/// One after the other, each time from `live`, whose page is its number: no request fails, and
/// none is answered by a release that was not the present one while it was made.
#[allow(clippy::print_stderr, reason = "the figures of a test that passes")]
pub(crate) async fn under_load(
    executor: &dyn Executor,
    slug: &Slug,
    releases: i64,
    live: impl AsyncFn(i64) -> SocketAddr,
) {
    let ingress = BuiltinIngress::bind(([127, 0, 0, 1], 0).into()).await;
    let ingress = ingress.unwrap();
    let at = ingress.local_addr();
    let route = |number: i64, address: SocketAddr| {
        ingress.route(Route {
            slug: slug.clone(),
            release: number,
            endpoint: Endpoint::Http { address },
            domains: Vec::new(),
            turn: Turn::new(number, 1),
        })
    };
    route(1, live(1).await).await.unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let present = Arc::new(AtomicI64::new(1));
    let host = format!("{slug}.localhost");
    let began = Instant::now();
    let visitors: Vec<_> = (0..3)
        .map(|_| {
            let (done, answered, present) = (done.clone(), answered.clone(), present.clone());
            let host = host.clone();
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let before = present.load(Ordering::SeqCst);
                    let page = http_get(at, &host).unwrap();
                    let said: i64 = page.parse().unwrap_or_else(|_| panic!("it said `{page}`"));
                    let after = present.load(Ordering::SeqCst) + 1;
                    let may_say = before..=after;
                    assert!(may_say.contains(&said), "{said}, not {may_say:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
        })
        .collect();
    let grace = Duration::from_secs(5);
    for number in 2..=releases {
        route(number, live(number).await).await.unwrap();
        present.store(number, Ordering::SeqCst);
        ingress.drain(slug, grace).await.unwrap();
        executor.retire(slug, number - 1, grace).await.unwrap();
        executor.prune(slug, &[number - 1, number]).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.join().unwrap();
    }
    let answered = answered.load(Ordering::Relaxed);
    let rate = answered as f64 / began.elapsed().as_secs_f64();
    let said = format!("{answered} requests, {rate:.0} a second, over {releases} releases");
    eprintln!("{said}");
    assert!(answered > 100, "{said}, are no load");
}
