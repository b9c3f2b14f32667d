//! Waits for the requests of former releases, by what Caddy tells of them.

use std::net::SocketAddr;
use std::time::Duration;

use deployr_core::executor::Endpoint;
use deployr_core::value::Slug;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::CaddyIngress;
use super::admin::Failure;
use super::config::Entry;

/// How often Caddy is asked. A request counts only once it is on its way to the app, so
/// nothing is over before two looks in a row find none.
const LOOK: Duration = Duration::from_millis(50);

impl CaddyIngress {
    /// The addresses that count as former once `next` has taken over.
    pub(super) async fn former(
        &self,
        before: &Entry,
        next: &Endpoint,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let is_again = before.route.endpoint == *next;
        let mut former = Vec::new();
        for address in &before.former {
            // Its port may have become another's; who has no request need not be waited for.
            if is_again || self.under_way(&[*address]).await? > 0 {
                former.push(*address);
            }
        }
        former.extend(address(&before.route.endpoint));
        former.sort_unstable();
        former.dedup();
        former.retain(|former| Some(*former) != address(next));
        Ok(former)
    }

    /// How many requests are left at the former addresses of a project after at most `limit`.
    pub(super) async fn wait_for_former(
        &self,
        slug: &Slug,
        limit: Duration,
    ) -> Result<usize, Failure> {
        let deadline = Instant::now() + limit;
        let entry = self.present(slug).await?;
        let former = match entry.and_then(|part| Entry::read(&part.value)) {
            Some(entry) => entry.former,
            None => return Ok(0),
        };
        if former.is_empty() {
            return Ok(0);
        }
        let mut before = 1;
        loop {
            let left = self.under_way(&former).await?;
            if left + before == 0 {
                return Ok(0);
            }
            if Instant::now() >= deadline {
                return Ok(left);
            }
            before = left;
            tokio::select! {
                () = sleep(LOOK) => {}
                () = sleep_until(deadline) => {}
            }
        }
    }

    async fn under_way(&self, addresses: &[SocketAddr]) -> Result<usize, Failure> {
        let told = self.admin.get("/reverse_proxy/upstreams").await?.value;
        let told = told.as_array().into_iter().flatten().filter_map(count);
        let of_these = told.filter(|(address, _)| addresses.contains(address));
        Ok(of_these.map(|(_, count)| count).sum())
    }
}

fn address(endpoint: &Endpoint) -> Option<SocketAddr> {
    match endpoint {
        Endpoint::Http { address } => Some(*address),
        _ => None,
    }
}

fn count(upstream: &Value) -> Option<(SocketAddr, usize)> {
    let address = upstream["address"].as_str()?.parse().ok()?;
    let count = usize::deserialize(&upstream["num_requests"]).ok()?;
    Some((address, count))
}
