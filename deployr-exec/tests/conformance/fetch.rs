//! What a visitor of a release would see.

use std::fs;

use deployr_core::executor::Endpoint;
use deployr_core::testing::ingress::http_get;

pub(crate) async fn page(endpoint: Endpoint) -> Result<String, String> {
    match endpoint {
        Endpoint::Folder { path, .. } | Endpoint::Served { path, .. } => {
            fs::read_to_string(path.join("index.html")).map_err(|error| error.to_string())
        }
        Endpoint::Http { address } => {
            // Can be given up, which a blocking call cannot: what is gone may not even refuse.
            let there = tokio::net::TcpStream::connect(address).await;
            there.map_err(|error| error.to_string())?;
            let get = move || http_get(address, &address.to_string());
            tokio::task::spawn_blocking(get).await.unwrap()
        }
        other => Err(format!("not to be asked: {other:?}")),
    }
}
