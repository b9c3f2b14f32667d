//! A real Next.js on a host, as processes behind deployr's own ingress.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deployr_core::executor::{Endpoint, Executor, ReleaseSpec};
use deployr_core::ingress::{Ingress, Route};
use deployr_core::model::Turn;
use deployr_core::testing::ingress::http_get;
use deployr_exec::ingress::BuiltinIngress;
use tempfile::TempDir;

use crate::apps::{self, Built, next};
use crate::support::*;

fn release(built: &Built, number: i64) -> ReleaseSpec {
    let mut spec = ReleaseSpec {
        recipe: built.recipe.clone(),
        ..site(number)
    };
    apps::set(&mut spec.env, "APP_NAME", "the shop");
    spec
}

/// Which version answers.
fn ask(at: SocketAddr) -> Result<usize, String> {
    let page = http_get(at, "shop.localhost")?;
    let said = page
        .split_once("<p>version-")
        .and_then(|(_, rest)| rest.split_once(" of the shop<"));
    said.and_then(|(number, _)| number.parse().ok()).ok_or(page)
}

/// The path of a script that the page asks for.
fn own_script(at: SocketAddr) -> String {
    let page = http_get(at, "shop.localhost").unwrap();
    let (_, rest) = page.split_once("src=\"/_next/static/").unwrap();
    format!("/_next/static/{}", rest.split('"').next().unwrap())
}

fn status(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn releases_of_next_under_load_lose_no_request() {
    let (lab, work, built) = (Lab::new(), TempDir::new().unwrap(), next().await);
    assert_eq!(built.recipe.framework.as_str(), "next-standalone");
    let ingress = BuiltinIngress::bind(([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let at = ingress.local_addr();
    let page = ".next/server/pages/index.js";
    let artifact = built.with(work.path(), page, "version-1", "version-1");
    let page = folder(&artifact).join(page);
    let code = std::fs::read_to_string(&page).unwrap();
    let live = async |number: i64| {
        let spec = release(built, number);
        let version = format!("version-{number}");
        std::fs::write(&page, code.replace("version-1", &version)).unwrap();
        let endpoint = lab.deploy(&spec, &artifact).await.unwrap();
        let route = Route {
            slug: spec.slug.clone(),
            release: number,
            endpoint: endpoint.clone(),
            domains: Vec::new(),
            turn: Turn::new(number, 1),
        };
        ingress.route(route).await.unwrap();
        endpoint
    };
    let endpoint = live(1).await;
    // What Next leaves to others to serve came along.
    let Endpoint::Http { address } = endpoint else {
        panic!("{endpoint:?}")
    };
    for file in ["/file.txt", &own_script(address)] {
        assert_eq!(status(address, file), "200", "{file}");
    }

    let (done, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let present = Arc::new(AtomicUsize::new(1));
    let visitors = [(); 2].map(|()| {
        let (done, answered, present) = (done.clone(), answered.clone(), present.clone());
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let before = present.load(Ordering::SeqCst);
                let said = ask(at).unwrap();
                let after = present.load(Ordering::SeqCst) + 1;
                assert!(
                    (before..=after).contains(&said),
                    "{said}, not {before} to {after}"
                );
                answered.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    });
    let slug = site(1).slug;
    // Each takes seconds, so that a test run has a few; by hand there were twenty.
    let soak = std::env::var_os("DEPLOYR_SOAK").is_some();
    for number in 2..=if soak { 21 } else { 5 } {
        live(number).await;
        present.store(number as usize, Ordering::SeqCst);
        ingress.drain(&slug, Duration::from_secs(5)).await.unwrap();
        lab.executor
            .retire(&slug, number - 1, Duration::from_secs(5))
            .await
            .unwrap();
        lab.executor.prune(&slug, &[number]).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.join().unwrap();
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > 20, "{answered} requests are no load");
}
