//! What follows a `101 Switching Protocols`: bytes both ways, as with WebSocket.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::backend::Pass;

/// Carries bytes until either side is done or the release is cut off.
pub(super) async fn tunnel(client: OnUpgrade, app: OnUpgrade, pass: Pass) {
    let carry = async {
        let (client, app) = tokio::try_join!(client, app)?;
        let (mut client, mut app) = (TokioIo::new(client), TokioIo::new(app));
        // An end without a farewell is the usual end of a WebSocket, not a failure.
        let _ = copy_bidirectional(&mut client, &mut app).await;
        Ok::<_, hyper::Error>(())
    };
    tokio::select! {
        end = carry => if let Err(error) = end {
            tracing::debug!(%error, release = pass.release, "a protocol switch did not come about");
        },
        () = pass.cut_off() => {}
    }
}
