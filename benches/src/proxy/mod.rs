//! Requests through the built-in ingress, beside a server with nothing in it, and while
//! releases are being replaced.

mod load;
mod redeploy;

use std::fs;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use deployr_core::executor::Endpoint;
use deployr_core::ingress::{Ingress, Route};
use deployr_core::model::Turn;
use deployr_core::value::Slug;
use deployr_exec::ingress::BuiltinIngress;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower_http::services::ServeDir;

use crate::report::{Goal, Row};
use crate::side_by_side::Case;
use crate::{Error, Rows};
use load::Page;

const BENCH: &str = "proxy";
const SITE: &str = "site";

pub(crate) fn run() -> Rows {
    let runtime = Runtime::new()?;
    let mut rows = files(&runtime)?;
    rows.push(process(&runtime)?);
    rows.push(redeploy::files(&runtime)?);
    rows.push(redeploy::processes(&runtime)?);
    Ok(rows)
}

/// Files, beside axum with `ServeDir` over the same folder.
fn files(runtime: &Runtime) -> Rows {
    const FILES: [(&str, &str, usize); 2] = [
        ("static", "/1k.html", 1 << 10),
        ("static-100k", "/100k.html", 100 << 10),
    ];
    let folder = tempfile::tempdir()?;
    for (_, path, length) in FILES {
        fs::write(folder.path().join(&path[1..]), "x".repeat(length))?;
    }
    let path = folder.path().to_owned();
    let endpoint = Endpoint::Folder {
        path,
        single_page: false,
    };
    let ingress = runtime.block_on(ingress(endpoint))?;
    let bare = Router::new().fallback_service(ServeDir::new(folder.path()));
    let bare = runtime.block_on(serve(bare))?;
    FILES
        .into_iter()
        .map(|(case, path, length)| {
            let case = Case {
                bench: BENCH,
                case: case.to_owned(),
                unit: "requests/s",
                goal: Goal::RatioAtLeast(0.7),
            };
            let (ours, theirs) = (page(ingress.local_addr(), path), page(bare, path));
            case.measure(|| ours.rate(length), || theirs.rate(length))
        })
        .collect()
}

/// A process that answers from memory, beside the same one asked directly. The cores do
/// both its work and the ingress's, so half of it would be perfect.
fn process(runtime: &Runtime) -> Result<Row, Error> {
    const LENGTH: usize = 1 << 10;
    let app = Router::new().route("/", get(|| async { "x".repeat(LENGTH) }));
    let address = runtime.block_on(serve(app))?;
    let ingress = runtime.block_on(ingress(Endpoint::Http { address }))?;
    let case = Case {
        bench: BENCH,
        case: "process".to_owned(),
        unit: "requests/s",
        goal: Goal::RatioAtLeast(0.35),
    };
    let (ours, theirs) = (page(ingress.local_addr(), "/"), page(address, "/"));
    case.measure(|| ours.rate(LENGTH), || theirs.rate(LENGTH))
}

/// An ingress whose one site is at `endpoint`.
async fn ingress(endpoint: Endpoint) -> Result<BuiltinIngress, Error> {
    let address = "127.0.0.1:0".parse()?;
    let ingress = BuiltinIngress::bind(address).await?;
    let route = route(1, endpoint)?;
    ingress.route(route).await?;
    Ok(ingress)
}

fn route(release: i64, endpoint: Endpoint) -> Result<Route, Error> {
    Ok(Route {
        slug: Slug::parse(SITE)?,
        release,
        endpoint,
        domains: Vec::new(),
        turn: Turn::new(release, 1),
    })
}

fn page(server: SocketAddr, path: &'static str) -> Page {
    Page {
        server,
        host: format!("{SITE}.localhost"),
        path,
    }
}

/// Serves until the runtime ends.
async fn serve(app: Router) -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let listener = listener.tap_io(|stream| {
        // Where it cannot be set the figures show it.
        let _ = stream.set_nodelay(true);
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}
