//! An archive on its way to the account.

use deployr_core::error::{Fault, StepError, StepResult};
use futures::stream;
use reqwest::Body;
use serde_json::Value;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::call::{Call, is_one, items};
use super::client::{Client, Failed, TRIES};
use super::lock::random;
use super::pack::Packed;

const CHUNK: usize = 64 << 10;

impl Client {
    /// Sends it as `<dir>/<name>`, again where the connection is lost.
    pub(super) async fn send_archive(
        &self,
        packed: &Packed,
        dir: &str,
        name: &str,
        cancel: &CancellationToken,
    ) -> StepResult<()> {
        let call = Call::uapi("Fileman", "upload_files");
        let mut lost = None;
        for _ in 0..TRIES {
            let sent = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(StepError::Stopped),
                sent = self.send_once(&call, packed, dir, name) => sent,
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(Failed::Lost(fault) | Failed::Silent(fault)) => lost = Some(fault),
                Err(failed) => return Err(self.explain(&call, failed)),
            }
        }
        let fault = lost.unwrap_or_else(|| Fault::retryable("upload", self.target(), "no try"));
        Err(fault.into())
    }

    async fn send_once(
        &self,
        call: &Call,
        packed: &Packed,
        dir: &str,
        name: &str,
    ) -> Result<(), Failed> {
        let boundary = format!("deployr-{}", random());
        let mut head = String::new();
        for (field, value) in [("dir", dir), ("overwrite", "1"), ("permissions", "0600")] {
            head.push_str(&format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
            ));
        }
        head.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file-1\"; filename=\"{name}\"\r\n\
             Content-Type: application/gzip\r\n\r\n"
        ));
        let tail = format!("\r\n--{boundary}--\r\n");
        let length = head.len() as u64 + packed.bytes + tail.len() as u64;
        let path = packed.file.path();
        let file = File::open(path)
            .await
            .map_err(|error| Failed::For(Fault::io("read", path.display(), error).into()))?;
        let body = Body::wrap_stream(parts(head, file, tail));
        let kind = format!("multipart/form-data; boundary={boundary}");
        let answer = self.upload(call, &kind, length, body).await?;
        refused(&answer.data).map_or(Ok(()), |said| Err(Failed::Refused(said)))
    }
}

/// What one file's upload was refused for, where the call as a whole was not.
fn refused(data: &Value) -> Option<String> {
    let uploads = data.get("uploads").map(items).unwrap_or_default();
    let failed = |item: &&Value| item.get("status").is_some_and(|status| !is_one(status));
    let refused = uploads.into_iter().find(failed)?;
    let reason = refused.get("reason").and_then(Value::as_str);
    Some(reason.unwrap_or("the upload was not taken").to_owned())
}

enum Part {
    Head(String),
    File,
    End,
}

fn parts(
    head: String,
    file: File,
    tail: String,
) -> impl futures::Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static {
    stream::try_unfold(
        (Part::Head(head), file, tail),
        |(part, mut file, mut tail)| async move {
            match part {
                Part::Head(head) => Ok(Some((head.into_bytes(), (Part::File, file, tail)))),
                Part::File => {
                    let mut chunk = vec![0; CHUNK];
                    let read = file.read(&mut chunk).await?;
                    if read == 0 {
                        let tail = std::mem::take(&mut tail).into_bytes();
                        return Ok(Some((tail, (Part::End, file, String::new()))));
                    }
                    chunk.truncate(read);
                    Ok(Some((chunk, (Part::File, file, tail))))
                }
                Part::End => Ok(None),
            }
        },
    )
}
