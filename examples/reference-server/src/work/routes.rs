//! Routes that outlive Caddy.

use std::time::Duration;

use deployr_core::engine::Engine;
use deployr_core::ingress::Ingress;
use deployr_exec::ingress::CaddyIngress;

/// How often to look whether Caddy still has its routes.
const LOOK_AT_CADDY: Duration = Duration::from_secs(5);

/// Brings the routes back where Caddy was started again and has lost them.
pub(super) async fn keep(caddy: CaddyIngress, engine: Engine) {
    loop {
        tokio::time::sleep(LOOK_AT_CADDY).await;
        match caddy.routes().await {
            // Nothing is live, or nothing of it is routed.
            Ok(routes) if routes.is_empty() => match engine.restore().await {
                Ok(restored) if restored.serving > 0 => {
                    let serving = restored.serving;
                    tracing::warn!(serving, "Caddy had lost its routes, and has them again");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "Caddy's routes cannot be brought back"),
            },
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "Caddy cannot be asked"),
        }
    }
}
