//! The steps of a deployment on one host.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use deployr_core::builder::Artifact;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepResult, Verdict, VerdictCode};
use deployr_core::executor::{Endpoint, ReleaseSpec};
use deployr_core::model::{Runtime, Turn};
use deployr_core::value::{BuildCommand, Slug};

use super::env;
use super::quote::Line;
use super::script::{self, Script};
use super::session::Session;
use super::target::{Role, SshTarget};
use super::upload::Upload;
use crate::remote::{self, folder_of, shared};

#[derive(Debug)]
pub(super) struct Host {
    pub(super) session: Session,
}

impl Host {
    /// Runs a script for a project. No word may be a secret; what comes over `stdin` may.
    pub(super) async fn ask(
        &self,
        slug: &str,
        script: Script,
        words: &[&str],
        stdin: Option<&[u8]>,
    ) -> StepResult<String> {
        self.ask_within(self.session.patience(), slug, script, words, stdin)
            .await
    }

    pub(super) async fn ask_within(
        &self,
        limit: Duration,
        slug: &str,
        script: Script,
        words: &[&str],
        stdin: Option<&[u8]>,
    ) -> StepResult<String> {
        let line = Line::new(script, &self.session.target().root, slug);
        let line = words.iter().fold(line, |line, word| line.word(word));
        self.session.run(script, &line, stdin, limit).await
    }

    pub(super) async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let from = folder_of("ssh", artifact)?;
        let shared = shared(spec)?;
        let (slug, number) = (spec.slug.as_str(), spec.number.to_string());
        let (commit, release) = (spec.commit.to_string(), spec.release.to_string());
        let attempt = ctx.attempt.to_string();
        let words = [number.as_str(), &commit, &release, &attempt];
        let found = self.ask(slug, script::SURVEY, &words, None).await?;
        let mut found = found.lines();
        match found.next() {
            Some("placed") => return Ok(()),
            Some("stale") => self.discard(&spec.slug, spec.number).await?,
            _ => {}
        }
        let (base, like) = (found.next().unwrap_or_default(), found.next());

        let random = RandomState::new().hash_one(&attempt);
        let static_files = matches!(spec.recipe.runtime, Runtime::Static { .. });
        let upload = Upload {
            slug,
            from,
            name: format!(".{number}.{attempt}.{random:016x}"),
            base: base.to_owned(),
            like: like.map(str::to_owned),
            may_link: static_files && spec.recipe.writable.is_empty(),
        };
        let name = upload.send(&self.session, &ctx.cancel).await?;
        let mut words = vec![name.as_str(), &number, &commit, &release];
        for path in &shared {
            words.extend(["shared", path.as_str()]);
        }
        for path in &spec.recipe.writable {
            words.extend(["writable", path.as_str()]);
        }
        let marker = remote::marker(spec, artifact).to_string();
        let placed = self.ask(slug, script::PLACE, &words, Some(marker.as_bytes()));
        placed.await.map(drop)
    }

    /// Brings a release up; of one whose PHP the web server runs, or on a host that answers
    /// no requests, only says where it is.
    pub(super) async fn start(
        &self,
        spec: &ReleaseSpec,
        php: bool,
        ctx: &StepContext,
    ) -> StepResult<Endpoint> {
        let (slug, target) = (spec.slug.as_str(), self.session.target());
        let (number, release) = (spec.number.to_string(), spec.release.to_string());
        let start = match &spec.recipe.runtime {
            runtime
                if php
                    || matches!(runtime, Runtime::Static { .. })
                    || !target.is_for(Role::Web) =>
            {
                let words = [number.as_str(), &release];
                let folder = self.ask(slug, script::PLACED, &words, None).await?;
                return Ok(Endpoint::Served {
                    path: PathBuf::from(folder.trim_end_matches('\n')),
                    address: target.web_server,
                });
            }
            Runtime::Process { start } => start,
            _ => return Err(no_containers().into()),
        };
        let address = address(target)?;
        let text = address.to_string();
        let words = [
            number.as_str(),
            &release,
            &text,
            start.as_str(),
            script::SUPERVISE.text,
            &target.root,
            slug,
        ];
        let env = env::text(&spec.env);
        let port = self
            .ask(slug, script::START, &words, Some(env.as_bytes()))
            .await?;
        let port: u16 = port.trim().parse().map_err(|_| {
            let reason = format!("it told {:?} as the port", port.trim());
            Fault::retryable("start", target, reason)
        })?;
        let address = SocketAddr::new(address, port);
        ctx.log
            .say(format!("release {number} runs on {address}"))
            .await;
        Ok(Endpoint::Http { address })
    }

    /// How the process of a release is, and the last that it said.
    pub(super) async fn state(&self, spec: &ReleaseSpec) -> StepResult<(String, String)> {
        let number = spec.number.to_string();
        let words = [number.as_str()];
        let text = self
            .ask(spec.slug.as_str(), script::STATE, &words, None)
            .await?;
        let (state, output) = text.split_once('\n').unwrap_or((&text, ""));
        Ok((state.to_owned(), output.to_owned()))
    }

    /// Whether a web server would find something there for a path.
    pub(super) async fn look(
        &self,
        spec: &ReleaseSpec,
        path: &str,
        single_page: bool,
    ) -> StepResult<bool> {
        let number = spec.number.to_string();
        let single_page = if single_page { "yes" } else { "no" };
        let words = [number.as_str(), path, single_page];
        let found = self
            .ask(spec.slug.as_str(), script::LOOK, &words, None)
            .await?;
        Ok(found.trim() == "found")
    }

    /// Runs the recipe's own check and gives its exit code.
    pub(super) async fn check(
        &self,
        spec: &ReleaseSpec,
        line: &BuildCommand,
    ) -> StepResult<String> {
        let limit = spec.recipe.health.timeout();
        let seconds = limit.as_secs().max(1).to_string();
        let address = self.session.target().address;
        let address = address.map_or_else(|| "127.0.0.1".to_owned(), |address| address.to_string());
        let number = spec.number.to_string();
        let words = [number.as_str(), &seconds, &address, line.as_str()];
        let env = env::text(&spec.env);
        let limit = limit + self.session.patience();
        let slug = spec.slug.as_str();
        let code = self.ask_within(limit, slug, script::CHECK, &words, Some(env.as_bytes()));
        Ok(code.await?.trim().to_owned())
    }

    /// Whether it may be switched to; gives what is present.
    pub(super) async fn ready(&self, spec: &ReleaseSpec, turn: Turn) -> StepResult<Option<i64>> {
        let release = spec.release.to_string();
        self.turned(script::READY, &spec.slug, spec.number, &release, turn)
            .await
    }

    pub(super) async fn switch(&self, spec: &ReleaseSpec, turn: Turn) -> StepResult<Option<i64>> {
        let release = spec.release.to_string();
        self.turned(script::SWITCH, &spec.slug, spec.number, &release, turn)
            .await
    }

    /// Takes a switch of this turn to `number` back.
    pub(super) async fn switch_back(
        &self,
        slug: &Slug,
        number: i64,
        before: Option<i64>,
        turn: Turn,
    ) -> StepResult<()> {
        if let Some(before) = before {
            let back = self.turned(script::SWITCH, slug, before, "any", turn);
            return back.await.map(drop);
        }
        let words = [number, turn.deployment, turn.attempt].map(|number| number.to_string());
        let words = words.each_ref().map(String::as_str);
        self.ask(slug.as_str(), script::UNSWITCH, &words, None)
            .await
            .map(drop)
    }

    async fn turned(
        &self,
        script: Script,
        slug: &Slug,
        number: i64,
        release: &str,
        turn: Turn,
    ) -> StepResult<Option<i64>> {
        let words = [number, turn.deployment, turn.attempt].map(|number| number.to_string());
        let words = [words[0].as_str(), release, &words[1], &words[2]];
        let present = self.ask(slug.as_str(), script, &words, None).await?;
        Ok(present.trim().parse().ok())
    }

    pub(super) async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        let present = self.ask(slug.as_str(), script::CURRENT, &[], None).await?;
        Ok(present.trim().parse().ok())
    }
}

/// Where the processes of a host are reached.
pub(super) fn address(target: &SshTarget) -> Result<IpAddr, Verdict> {
    target.address.ok_or_else(|| {
        let message = format!(
            "the target {target} runs no processes, since its `address` is not set; set it \
             to the host's address that the ingress reaches"
        );
        Verdict::new(VerdictCode::Unsupported, message)
    })
}

pub(super) fn no_containers() -> Verdict {
    let message = "the ssh executor runs no containers; choose a target that does";
    Verdict::new(VerdictCode::Unsupported, message)
}
