//! `deployr demo`

mod folder;
mod sample;
mod visit;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use deployr_core::engine::{DeployRequest, ProjectRequest};
use deployr_core::model::{Deployment, DeploymentStatus, Project, Stage};
use deployr_core::value::GitUrl;
use serde_json::json;

use crate::config::Settings;
use crate::data::DataDir;
use crate::exit::{Error, Exit, Result};
use crate::signals::Signals;
use crate::ui::Ui;
use crate::work::{Mode, Work};
use crate::{commands::rollback, follow, table, view};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr demo
  deployr demo --once

Makes a small git repository in a folder of its own, deploys it, changes it, and deploys it
again while visitors ask for the page without a pause. Needs no git, no node and no network.
--data is not used. What a demo that was killed has left goes with the next one.")]
pub(crate) struct Args {
    /// End when it was shown; exit 0 only if all went as it should
    #[arg(long)]
    once: bool,
    /// Leave the folder with the repository and the data for a look
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(args: &Args, mut settings: Settings, ui: &Ui) -> Result<Exit> {
    let folder = folder::make(args.keep)?;
    if args.keep {
        ui.say(format_args!(
            "everything is kept in {}",
            folder.path().display()
        ));
    }
    settings.data = folder.path().join("data");
    settings.allow_local = true;
    let data = DataDir::open(&settings.data)?;
    let lock = data.lock("demo")?.or_refuse()?;
    let signals = Signals::listen()?;
    let mode = match settings.listen_chosen {
        true => Mode::Serve(settings.listen),
        false => Mode::Show(settings.listen),
    };
    let work = Work::start(lock, &settings, &data, mode, ui).await?;
    let demo = Demo {
        work: &work,
        ui,
        repository: &folder.path().join("hello"),
        domain: settings.domain.as_str(),
    };
    match demo.show(signals).await {
        Ok(signals) if !args.once => {
            ui.say("serving until Ctrl-C");
            work.until_stopped(signals, ui).await
        }
        shown => {
            work.stop().await?;
            shown.map(|_| Exit::Ok)
        }
    }
}

struct Demo<'a> {
    work: &'a Work,
    ui: &'a Ui,
    repository: &'a Path,
    domain: &'a str,
}

impl Demo<'_> {
    /// All of it; gives the signals back for what comes after.
    async fn show(&self, mut signals: Signals) -> Result<Signals> {
        let host = &self.work.host;
        let address = self
            .work
            .address()
            .ok_or_else(|| Error::fault("there is no ingress"))?;
        sample::create(self.repository)?;
        let request = ProjectRequest::new("hello", GitUrl::local(self.repository)?)?;
        let project = host.engine.create_project(&host.actor, request).await?;
        let name = format!("{}.{}", project.slug, self.domain);

        self.ui.say("deploying version 1 of a sample site");
        let first = self.deploy(&project, &mut signals).await?;
        self.expect(address, &name, 1).await?;

        sample::commit(self.repository, 2)?;
        self.ui.say(
            "\ncommitted version 2; deploying it while visitors ask for the page without a pause",
        );
        let visitors = visit::Visitors::start(address, &name);
        let second = self.deploy(&project, &mut signals).await?;
        self.expect(address, &name, 2).await?;

        let back = self.roll_to(&project, 1, &mut signals).await?;
        self.expect(address, &name, 1).await?;
        self.roll_to(&project, 2, &mut signals).await?;
        self.expect(address, &name, 2).await?;
        let visits = visitors.stop().await;

        self.tell(&project, &[&first, &second], &visits, back)
            .await?;
        match visits.failed.first() {
            None => Ok(signals),
            Some(why) => Err(Error::fault(format!(
                "{} requests failed, the first with: {why}",
                visits.failed.len()
            ))),
        }
    }

    async fn deploy(&self, project: &Project, signals: &mut Signals) -> Result<Deployment> {
        let host = &self.work.host;
        let asked = host
            .engine
            .deploy(&host.actor, project.id, DeployRequest::latest())
            .await?;
        let ended = follow::to_the_end(host, &asked, signals, self.ui).await?;
        follow::tell(host, project, &ended, self.ui).await?;
        succeeded(ended)
    }

    /// Makes an earlier or later release live, and says how long that took.
    async fn roll_to(
        &self,
        project: &Project,
        number: i64,
        signals: &mut Signals,
    ) -> Result<Duration> {
        let host = &self.work.host;
        let release = rollback::release(host, project, number).await?;
        let asked = host
            .engine
            .rollback(&host.actor, project.id, Some(release))
            .await?;
        let quiet = Ui::silent();
        let ended = succeeded(follow::to_the_end(host, &asked, signals, &quiet).await?)?;
        Ok(view::work_time(&ended).unwrap_or_default())
    }

    /// The page must be there, and of this version.
    async fn expect(&self, address: SocketAddr, name: &str, version: u32) -> Result<()> {
        let page = visit::page(address, name)
            .await
            .map_err(|why| Error::fault(format!("http://{name}: {why}")))?;
        match page.contains(&format!("Hello from version {version}")) {
            true => Ok(()),
            false => Err(Error::fault(format!(
                "http://{name} is not version {version}, but: {page}"
            ))),
        }
    }

    async fn tell(
        &self,
        project: &Project,
        deployments: &[&Deployment],
        visits: &visit::Visits,
        back: Duration,
    ) -> Result<()> {
        let host = &self.work.host;
        let mut times = Vec::new();
        for deployment in deployments {
            times.push(view::stage_times(
                &host.engine.stages(&host.actor, deployment.id).await?,
            ));
        }
        let url = host.url(project);
        let in_ms = |times: &Vec<(Stage, Duration)>| {
            times
                .iter()
                .map(|(stage, time)| (stage.to_string(), json!(time.as_millis() as u64)))
                .collect()
        };
        self.ui.emit(&json!({
            "event": "demo",
            "url": url,
            "stages_ms": times.iter().map(in_ms).collect::<Vec<serde_json::Map<_, _>>>(),
            "requests": visits.made,
            "failed_requests": visits.failed.len(),
            "rollback_ms": back.as_millis() as u64,
        }));
        let time = |times: &[(Stage, Duration)], stage| {
            times
                .iter()
                .find(|(other, _)| *other == stage)
                .map_or("-".into(), |(_, time)| view::time(*time))
        };
        let rows: Vec<Vec<String>> = times
            .first()
            .into_iter()
            .flatten()
            .map(|(stage, _)| {
                let cells = times.iter().map(|times| time(times, *stage));
                std::iter::once(stage.to_string()).chain(cells).collect()
            })
            .collect();
        self.ui.say("");
        table::show(self.ui, &["STAGE", "VERSION 1", "VERSION 2"], &rows);
        self.ui.say("");
        let (made, failed) = (visits.made, visits.failed.len());
        self.ui.say(format_args!(
            "went back to version 1 in {}, and forward again",
            view::time(back)
        ));
        self.ui
            .say(format_args!("{made} requests meanwhile, {failed} failed"));
        self.ui
            .say(self.ui.strong(&format!("{}/", url.unwrap_or_default())));
        Ok(())
    }
}

fn succeeded(deployment: Deployment) -> Result<Deployment> {
    match deployment.status {
        DeploymentStatus::Success => Ok(deployment),
        status => Err(Error::fault(format!(
            "the deployment of the sample ended {status}"
        ))),
    }
}
