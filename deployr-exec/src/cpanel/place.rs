//! From the built folder to a release on the account.

use std::path::PathBuf;

use deployr_core::builder::Artifact;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::{RelPath, Slug};
use serde_json::Value;

use super::Account;
use super::files::Listing;
use super::lock::random;
use super::pack::{self, MARKER, Pack, Packed};
use super::probe;
use crate::remote::{self, folder_of, marker};

/// What Passenger starts.
pub(super) const APP: &str = "app.js";

/// A release that is there whole.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    /// Below the home.
    pub(super) folder: String,
    pub(super) marker: Value,
}

impl Placed {
    fn is(&self, spec: &ReleaseSpec) -> bool {
        self.marker.get("release") == Some(&serde_json::json!(spec.release))
    }
}

impl Account {
    /// The project's folder, below the home.
    pub(super) fn base(&self, slug: &Slug) -> String {
        format!("{}/{slug}", self.client.target().root)
    }

    pub(super) async fn placed(&self, slug: &Slug, number: i64) -> StepResult<Option<Placed>> {
        let releases = format!("{}/releases", self.base(slug));
        let there = self.client.list(&releases).await?;
        self.placed_in(&there, &releases, number).await
    }

    async fn placed_in(
        &self,
        there: &Listing,
        releases: &str,
        number: i64,
    ) -> StepResult<Option<Placed>> {
        let names = there.entries.iter().map(|entry| entry.name.as_str());
        let Some(name) = names
            .into_iter()
            .find(|name| number_of(name) == Some(number))
        else {
            return Ok(None);
        };
        let folder = format!("{releases}/{name}");
        let marker = self.marker(&folder).await?.unwrap_or_default();
        Ok(Some(Placed { folder, marker }))
    }

    /// What the folder says that it is.
    pub(super) async fn marker(&self, folder: &str) -> StepResult<Option<Value>> {
        let text = self.client.read_file(&format!("{folder}/{MARKER}")).await?;
        Ok(text.map(|text| serde_json::from_str(&text).unwrap_or_default()))
    }

    /// The release, or that it is gone.
    pub(super) async fn expect_placed(&self, spec: &ReleaseSpec) -> StepResult<Placed> {
        match self.placed(&spec.slug, spec.number).await? {
            Some(placed) if placed.is(spec) => Ok(placed),
            _ => {
                let message = format!(
                    "release {} is not in {}/releases of {}; deploy commit {} instead",
                    spec.number,
                    self.base(&spec.slug),
                    self.client.target(),
                    spec.commit.short()
                );
                Err(StepError::verdict(VerdictCode::ReleaseGone, message))
            }
        }
    }

    pub(super) async fn place(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let base = self.base(&spec.slug);
        let (releases, incoming) = (format!("{base}/releases"), format!("{base}/incoming"));
        let there = self.client.list(&releases).await?;
        if let Some(placed) = self.placed_in(&there, &releases, spec.number).await? {
            if placed.is(spec) {
                return self.provide(spec, ctx).await;
            }
            self.discard(&spec.slug, spec.number).await?;
        }
        self.check_document_root(spec).await?;
        self.provide(spec, ctx).await?;
        let packed = self.pack(spec, artifact).await?;
        let room = self.client.room().await?;
        self.client.check_room(room, &packed)?;
        for folder in [&releases, &incoming] {
            self.client.make_dirs(folder).await?;
        }
        let name = format!("{}.{}.{}", spec.number, ctx.attempt, random());
        ctx.log
            .say(format!(
                "sending {} KiB to {}",
                packed.bytes.div_ceil(1024),
                self.client.target()
            ))
            .await;
        let archive = format!("{name}.tar.gz");
        self.client
            .send_archive(&packed, &incoming, &archive, &ctx.cancel)
            .await?;
        go_on(ctx)?;
        let unpacked = format!("{incoming}/{name}");
        self.client.make_dir_again(&unpacked).await?;
        self.client
            .extract(&format!("{incoming}/{archive}"), &unpacked)
            .await?;
        self.client.remove(&format!("{incoming}/{archive}")).await?;
        self.finish(spec, &unpacked, &releases).await
    }

    /// Gives what was unpacked the release's name, once it is whole.
    async fn finish(&self, spec: &ReleaseSpec, unpacked: &str, releases: &str) -> StepResult<()> {
        let base = self.base(&spec.slug);
        let folder = format!("{unpacked}/release");
        let marker = self.marker(&folder).await?;
        let whole = |marker: Value| {
            Placed {
                folder: folder.clone(),
                marker,
            }
            .is(spec)
        };
        if !marker.is_some_and(whole) {
            let reason = "the host has not unpacked all of the archive, and did not say why; see \
                          whether the account has room, then deploy again";
            return Err(Fault::retryable("unpack", self.client.target(), reason).into());
        }
        for (number, path) in self.shared(spec)?.into_iter().enumerate() {
            let to = format!("{base}/shared/{path}");
            if !self.client.is_there(&to).await? {
                self.client.make_dirs(super::files::split(&to).0).await?;
                self.client
                    .rename(&format!("{unpacked}/shared/{number}"), &to)
                    .await?;
            }
        }
        let name = format!("{releases}/{}-{}", spec.number, spec.commit);
        self.client.rename(&folder, &name).await?;
        self.expect_placed(spec).await?;
        self.client.remove(unpacked).await
    }

    /// What all releases share, but for the file that is written into each.
    fn shared<'s>(&self, spec: &'s ReleaseSpec) -> StepResult<Vec<&'s RelPath>> {
        let site = self.client.target().site(spec.slug.as_str());
        let mut paths = remote::shared(spec)?;
        paths.retain(|path| !site.is_env_file(path));
        Ok(paths)
    }

    async fn pack(&self, spec: &ReleaseSpec, artifact: &Artifact) -> StepResult<Packed> {
        let from = folder_of("cpanel", artifact)?.to_owned();
        let site = self.client.target().site(spec.slug.as_str());
        let mut marker = marker(spec, artifact);
        let mut ours: Vec<(PathBuf, Vec<u8>, u32)> = Vec::new();
        if let Some(path) = &site.env_file {
            let text = pack::env_file(&spec.env).into_bytes();
            ours.push((path.as_path().to_owned(), text, 0o600));
        }
        if site.passenger && !from.join(APP).exists() && from.join("server.js").is_file() {
            // As Next.js has it. Of either kind of module.
            ours.push((APP.into(), b"import('./server.js');\n".to_vec(), 0o644));
        }
        let web = PathBuf::from(site.web.as_deref().unwrap_or_default());
        if site.domain.is_some() && !site.passenger {
            let has_php = from.join(&web).join("index.php").is_file();
            let (name, text) = probe::marker_file(spec, has_php);
            marker["probe"] = name.into();
            ours.push((web.join(name), text.into_bytes(), 0o644));
        }
        ours.push((MARKER.into(), marker.to_string().into_bytes(), 0o644));
        let pack = Pack {
            from,
            shared: self.shared(spec)?.into_iter().cloned().collect(),
            writable: spec.recipe.writable.clone(),
            ours,
        };
        let packed = tokio::task::spawn_blocking(move || pack.write()).await;
        packed.map_err(|error| StepError::from(Fault::retryable("pack", &spec.slug, error)))?
    }
}

/// The number of a release by its folder's name.
pub(super) fn number_of(name: &str) -> Option<i64> {
    let (number, commit) = name.split_once('-')?;
    let is_commit = !commit.is_empty() && commit.bytes().all(|b| b.is_ascii_hexdigit());
    number.parse().ok().filter(|_| is_commit)
}

pub(super) fn go_on(ctx: &StepContext) -> StepResult<()> {
    match ctx.cancel.is_cancelled() {
        true => Err(StepError::Stopped),
        false => Ok(()),
    }
}
