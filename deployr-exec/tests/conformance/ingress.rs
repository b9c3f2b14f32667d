use std::sync::Arc;

use deployr_core::testing::ingress::{IngressHarness, conformance};
use deployr_exec::ingress::BuiltinIngress;

#[tokio::test(flavor = "multi_thread")]
async fn the_builtin_ingress_conforms() {
    conformance(async || {
        let ingress = BuiltinIngress::bind(([127, 0, 0, 1], 0).into()).await;
        let ingress = Arc::new(ingress.unwrap());
        let address = ingress.local_addr();
        IngressHarness::listening(ingress, address, "localhost")
    })
    .await;
}
