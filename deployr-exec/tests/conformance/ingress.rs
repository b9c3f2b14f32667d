use std::sync::Arc;

use deployr_core::testing::ingress::{IngressHarness, conformance};

#[cfg(feature = "builtin-ingress")]
#[tokio::test(flavor = "multi_thread")]
async fn the_builtin_ingress_conforms() {
    use deployr_exec::ingress::BuiltinIngress;

    conformance(async || {
        let ingress = BuiltinIngress::bind(([127, 0, 0, 1], 0).into()).await;
        let ingress = Arc::new(ingress.unwrap());
        let address = ingress.local_addr();
        IngressHarness::listening(ingress, address, "localhost")
    })
    .await;
}

/// A server of deployr's own in a Caddy on a Unix socket, and one that others use too in a
/// Caddy on a port.
#[cfg(feature = "caddy-ingress")]
#[test]
fn the_caddy_ingress_conforms() {
    use std::sync::Mutex;

    use deployr_exec::ingress::CaddyIngress;
    use deployr_testkit::caddy::Caddy;

    crate::network::of_its_own("ingress::the_caddy_ingress_conforms", async || {
        for is_shared in [false, true] {
            // The last one ends with the next.
            let running = Mutex::new(None);
            conformance(async || {
                let caddy = match is_shared {
                    true => Caddy::start_with(
                        r#"{"http":{"servers":{"srv0":{"listen":["LISTEN"],
                        "automatic_https":{"disable":true},"routes":[{"handle":[
                        {"handler":"static_response","status_code":503,"body":"others"}]}]}}}}"#,
                    ),
                    false => Caddy::start(),
                };
                let ingress = CaddyIngress::new(caddy.admin().parse().unwrap())
                    .server(if is_shared { "srv0" } else { "deployr" })
                    .listen(caddy.listen())
                    .without_tls();
                let address = caddy.listen();
                *running.lock().unwrap() = Some(caddy);
                IngressHarness::listening(Arc::new(ingress), address, "localhost").without_cuts()
            })
            .await;
        }
    });
}
