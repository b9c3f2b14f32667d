//! Whether visitors get the present release. PHP keeps what it has once read of a path, and
//! a link that is replaced does not change a path: so it is told to forget, from the web
//! side, and asked until a file of the same name in each release says the new one's.

use std::time::Duration;

use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::model::HealthCheck;
use reqwest::Client as Http;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Account;
use super::connection::{chain, http};
use super::lock::random;
use super::place::{Placed, number_of};
use super::site::Site;
use crate::health;

/// In so many answers one after the other, as each comes from another of the host's
/// processes.
const IN_A_ROW: u32 = 3;
/// Between two questions, at first.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two times that PHP is told to forget.
const AGAIN: Duration = Duration::from_secs(2);

/// The file's name and what is in it. It tells nothing but which release it is of.
pub(super) fn marker_file(spec: &ReleaseSpec, php: bool) -> (&'static str, String) {
    match php {
        false => ("deployr-release.txt", spec.release.to_string()),
        true => (
            "deployr-release.php",
            format!(
                "<?php header('Cache-Control: no-store'); header('Content-Type: text/plain'); echo '{}';\n",
                spec.release
            ),
        ),
    }
}

/// Removes itself before it does anything: whoever learns its name learns it too late.
fn reset_script(word: &str) -> String {
    format!(
        "<?php @unlink(__FILE__); header('Cache-Control: no-store'); clearstatcache(true);\n\
         $done = !function_exists('opcache_reset') || @opcache_reset() || !@opcache_get_status(false);\n\
         echo '{word}', $done ? ' done' : ' refused';\n"
    )
}

impl Account {
    fn web(&self, site: &Site) -> StepResult<Option<(Http, String)>> {
        let (Some(url), Some(domain)) = (site.url(), site.domain.as_deref()) else {
            return Ok(None);
        };
        let certificate = self.client.target().certificate.as_deref();
        let http = http(certificate, |builder| {
            // Each question over a connection of its own.
            let builder = builder.pool_max_idle_per_host(0);
            match site.web_server {
                Some(address) => builder.resolve(domain, address),
                None => builder,
            }
        })?;
        Ok(Some((http, url)))
    }

    /// Waits until visitors get the release, and until it is healthy for them.
    pub(super) async fn prove(
        &self,
        spec: &ReleaseSpec,
        placed: &Placed,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let site = self.client.target().site(spec.slug.as_str());
        let Some((http, url)) = self.web(site)? else {
            return Ok(());
        };
        let visit = async {
            if let Some(file) = placed.marker.get("probe").and_then(Value::as_str) {
                let wanted = spec.release.to_string();
                self.until_served(&http, &url, file, &wanted, spec).await?;
            }
            let check = &spec.recipe.health;
            let healthy = health::wait(check, || ask(&http, &url, check)).await;
            healthy.map_err(|unhealthy| {
                let message = format!(
                    "release {} is {unhealthy}, asked at {url}{}; see the error log in cPanel \
                     under Errors",
                    spec.number, check.path
                );
                StepError::verdict(VerdictCode::Unhealthy, message)
            })
        };
        tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Err(StepError::Stopped),
            healthy = visit => {
                ctx.log.say(format!("{url} serves release {}: {}", spec.number, healthy?)).await;
                Ok(())
            }
        }
    }

    async fn until_served(
        &self,
        http: &Http,
        url: &str,
        file: &str,
        wanted: &str,
        spec: &ReleaseSpec,
    ) -> StepResult<()> {
        let is_php = file.ends_with(".php");
        let (start, deadline) = (Instant::now(), spec.recipe.health.deadline());
        let (mut in_a_row, mut pause) = (0, PAUSE);
        let mut forgot: Option<Instant> = None;
        let mut trouble = None;
        loop {
            // With a question of its own, that no cache on the way has an answer to.
            let said = get(http, &format!("{url}/{file}?{}", random())).await;
            match &said {
                Ok((200, text)) if text.trim() == wanted => in_a_row += 1,
                _ => in_a_row = 0,
            }
            if in_a_row == IN_A_ROW {
                return Ok(());
            }
            if in_a_row > 0 {
                continue;
            }
            if start.elapsed() >= deadline {
                return Err(not_served(url, file, &said, trouble.as_deref(), spec));
            }
            if is_php && forgot.is_none_or(|at| at.elapsed() >= AGAIN) {
                trouble = self.forget(http, url, spec).await?;
                forgot = Some(Instant::now());
                continue;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// The same for a release that is gone back to, without waiting.
    pub(super) async fn forget_old_code(
        &self,
        spec: &ReleaseSpec,
        placed: &Placed,
    ) -> StepResult<()> {
        let site = self.client.target().site(spec.slug.as_str());
        let probe = placed.marker.get("probe").and_then(Value::as_str);
        match (self.web(site)?, probe) {
            (Some((http, url)), Some(file)) if file.ends_with(".php") => {
                self.forget(&http, &url, spec).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Lets PHP forget, by a script of which nobody knows the name. Gives what was in the
    /// way.
    async fn forget(
        &self,
        http: &Http,
        url: &str,
        spec: &ReleaseSpec,
    ) -> StepResult<Option<String>> {
        let (name, word) = (format!("deployr-{}.php", random()), random());
        let places = self.put_script(&name, &reset_script(&word), spec).await?;
        let said = get(http, &format!("{url}/{name}")).await;
        // One of them has done so itself.
        for path in &places {
            self.client.remove_file(path).await?;
        }
        Ok(match said {
            Ok((200, text)) if text.trim() == format!("{word} done") => None,
            Ok((200, text)) if text.trim() == format!("{word} refused") => {
                Some("the host does not let PHP forget (opcache_reset is refused)".to_owned())
            }
            Ok((status, _)) => Some(format!(
                "the script that lets PHP forget was answered with {status} and something else"
            )),
            Err(error) => Some(error),
        })
    }

    /// Into each release: PHP also keeps where the folders of a path have led, so that one
    /// of its processes may look for it in any that was present before.
    async fn put_script(
        &self,
        name: &str,
        text: &str,
        spec: &ReleaseSpec,
    ) -> StepResult<Vec<String>> {
        let site = self.client.target().site(spec.slug.as_str());
        let releases = format!("{}/releases", self.base(&spec.slug));
        let mut places = Vec::new();
        for entry in self.client.list(&releases).await?.entries {
            if number_of(&entry.name).is_none() {
                continue;
            }
            let folder = site.web_of(&format!("{releases}/{}", entry.name));
            let path = format!("{folder}/{name}");
            match self.client.write_file(&path, text).await {
                Ok(()) => places.push(path),
                // One that has no such folder was never given out.
                Err(_) if !self.client.is_there(&folder).await? => {}
                Err(error) => return Err(error),
            }
        }
        Ok(places)
    }
}

fn not_served(
    url: &str,
    file: &str,
    said: &Result<(u16, String), String>,
    trouble: Option<&str>,
    spec: &ReleaseSpec,
) -> StepError {
    let found = match said {
        Ok((200, text)) if text.trim().starts_with("rel_") => {
            "it still gives another release".to_owned()
        }
        Ok((200, _)) => "it gives something else".to_owned(),
        Ok((status, _)) => format!("it answers {status}"),
        Err(error) => error.clone(),
    };
    let trouble = trouble.map_or_else(String::new, |trouble| format!("; {trouble}"));
    let reason = format!(
        "{url}/{file} is not release {}'s: {found}{trouble}. See whether the domain leads to this \
         account and its document root to the project's `current`; where PHP keeps old code, ask \
         the host to enable opcache.validate_timestamps and opcache.revalidate_path",
        spec.number
    );
    StepError::verdict(VerdictCode::Unhealthy, reason)
}

async fn get(http: &Http, url: &str) -> Result<(u16, String), String> {
    let limit = Duration::from_secs(10);
    let failed = |error: reqwest::Error| format!("no answer: {}", chain(&error.without_url()));
    let response = http.get(url).timeout(limit).send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let mut response = response;
    let mut text = Vec::new();
    // What is looked for is short.
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        text.extend_from_slice(&chunk);
        if text.len() > 64 << 10 {
            break;
        }
    }
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

async fn ask(http: &Http, url: &str, check: &HealthCheck) -> health::Answer {
    let (status, _) = get(http, &format!("{url}{}", check.path)).await?;
    let status = hyper::StatusCode::from_u16(status).map_err(|error| error.to_string())?;
    health::judge(status, check)
}
