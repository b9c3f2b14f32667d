//! What an account has room for, and what it is.

use deployr_core::error::{Fault, StepResult};
use serde_json::Value;

use super::call::{Call, number};
use super::client::{Client, Failed};
use super::pack::Packed;

/// How much room there is; `None` where there is no limit, or none is told.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) bytes: Option<u64>,
    pub(super) files: Option<u64>,
    /// Of one upload.
    pub(super) upload: Option<u64>,
}

impl Client {
    /// Where the account's home is; asked once.
    pub(super) async fn home(&self) -> StepResult<String> {
        let home = self.home_cell().get_or_try_init(|| self.ask_home());
        home.await.cloned()
    }

    pub(super) async fn ask_home(&self) -> StepResult<String> {
        let call = Call::uapi("Variables", "get_user_information").with("name", "home");
        let data = self.call(&call).await?;
        match data.get("home").and_then(Value::as_str) {
            Some(home) if home.starts_with('/') => Ok(home.trim_end_matches('/').to_owned()),
            _ => {
                let reason = "the host does not say where the account's home is; try again";
                Err(Fault::retryable("read", self.target(), reason).into())
            }
        }
    }

    /// What the host does not tell is no limit: it refuses by itself then.
    pub(super) async fn room(&self) -> StepResult<Room> {
        let quota = Call::uapi("Quota", "get_local_quota_info");
        let server = Call::uapi("Variables", "get_server_information")
            .with("name", "file_upload_maximum_bytes");
        let (quota, server) = (self.asked(&quota).await?, self.asked(&server).await?);
        let left = |limit: &str, used: &str| {
            let limit = quota
                .get(limit)
                .and_then(number)
                .filter(|limit| *limit > 0)?;
            let used = quota.get(used).and_then(number).unwrap_or(0);
            Some(limit.saturating_sub(used))
        };
        let upload = server.get("file_upload_maximum_bytes").and_then(number);
        Ok(Room {
            bytes: left("byte_limit", "bytes_used"),
            files: left("inode_limit", "inodes_used"),
            upload: upload.filter(|limit| *limit > 0),
        })
    }

    /// What a function says that not every host has; nothing where it refuses.
    pub(super) async fn asked(&self, call: &Call) -> StepResult<Value> {
        match self.ask(call).await {
            Ok(answer) => Ok(answer.data),
            Err(Failed::Refused(_)) => Ok(Value::Null),
            Err(failed) => Err(self.explain(call, failed)),
        }
    }

    /// Refuses what the account has no room for, before anything is sent.
    pub(super) fn check_room(&self, room: Room, packed: &Packed) -> StepResult<()> {
        let refuse = |reason: String| Err(Fault::permanent("upload", self.target(), reason).into());
        let needed = packed.bytes + packed.unpacked;
        if let Some(limit) = room.upload.filter(|limit| packed.bytes > *limit) {
            return refuse(format!(
                "the release's archive has {} bytes, and the host takes uploads of {limit} at \
                 most; make the release smaller, or have the limit raised",
                packed.bytes
            ));
        }
        if let Some(left) = room.bytes.filter(|left| needed > *left) {
            return refuse(format!(
                "the release needs {needed} bytes, its archive included, and the account's disk \
                 quota leaves {left}; free some, or have it raised, and deploy again"
            ));
        }
        if let Some(left) = room.files.filter(|left| packed.entries + 2 > *left) {
            return refuse(format!(
                "the release has {} files and folders, and the account's inode limit leaves \
                 {left}; remove some, such as old releases, or have it raised, and deploy again",
                packed.entries
            ));
        }
        Ok(())
    }
}
