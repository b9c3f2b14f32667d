//! What a deployment would do to an account, in sentences; and what an account cannot do.

use deployr_core::command::PlannedStep;
use deployr_core::error::{Verdict, VerdictCode};
use deployr_core::model::{Recipe, Runtime};
use deployr_core::value::Slug;

use super::target::CpanelTarget;
use crate::{health, workers};

pub(super) fn plan(target: &CpanelTarget, slug: &Slug, recipe: &Recipe) -> Vec<PlannedStep> {
    let site = target.site(slug.as_str());
    let base = format!("{target}:{}/{slug}", target.root);
    let mut steps = Vec::new();
    let mut say = |text: String| steps.push(PlannedStep::new(text));
    if let Some(database) = &site.database {
        say(format!(
            "make the database {} and its user {}, unless they are there",
            database.name, database.user
        ));
    }
    if let Some(git) = &site.git {
        say(format!(
            "let the host pull {} of {} into {base}/repository",
            git.branch, git.repository
        ));
        say("let the host run its .cpanel.yml".to_owned());
    } else {
        say(format!(
            "upload an archive to {base}/incoming, and unpack it there as {base}/releases/<number>-<commit>"
        ));
        for path in recipe.shared.iter().filter(|path| !site.is_env_file(path)) {
            say(format!("link {path} in it to {base}/shared/{path}"));
        }
        steps.push(health::planned(recipe));
        let mut say = |text: String| steps.push(PlannedStep::new(text));
        if let (Some(php), Some(domain)) = (&site.php, &site.domain) {
            say(format!("set PHP {php} for {domain}, unless it has it"));
        }
        say("let the link `current` lead to it: in one step where the host does so, else with a moment in which nothing is served".to_owned());
    }
    let mut say = |text: String| steps.push(PlannedStep::new(text));
    match &site.domain {
        Some(domain) if site.passenger => say(format!("let Passenger start it anew for {domain}")),
        Some(domain) if site.git.is_none() => {
            say(format!(
                "let the document root of {domain} lead to `current`, unless it does"
            ));
        }
        _ => {}
    }
    for cron in &site.cron {
        say(format!("let cron run {} {}", cron.schedule, cron.command));
    }
    if let Some(url) = site.url().filter(|_| site.git.is_none()) {
        say(format!(
            "ask {url} until visitors get it, and go back to the release before where they do not"
        ));
    }
    steps
}

/// What shared hosting cannot do for a project, before anything of it is built.
pub(super) fn accepts(target: &CpanelTarget, slug: &Slug, recipe: &Recipe) -> Result<(), Verdict> {
    let site = target.site(slug.as_str());
    let refuse = |message: String| Err(Verdict::new(VerdictCode::Unsupported, message));
    let on_target = &recipe.on_target;
    match &recipe.runtime {
        Runtime::Static { .. } => {}
        Runtime::Process { .. } if site.passenger && recipe.framework.as_str() == "next" => {
            return refuse(format!(
                "{target} starts Node apps by their app.js, which `next start` has not. Write \
                 output: 'standalone' into next.config.js; that has one"
            ));
        }
        // The web server's PHP runs it, of whichever version the domain has.
        Runtime::Process { .. } if on_target.web_root.is_some() => {}
        Runtime::Process { .. } if site.passenger || site.php.is_some() || site.git.is_some() => {}
        Runtime::Process { start } => {
            return refuse(format!(
                "{target} runs no processes of its own, as shared hosting does not, so `{start}` \
                 cannot be started there. For a PHP app set `php` and `web` of \
                 sites.{slug}; for a Node app with an app.js or a server.js set `passenger`; else \
                 choose a target that runs processes"
            ));
        }
        _ => {
            return refuse(format!(
                "{target} runs no containers, as shared hosting does not; choose a target that \
                 does, or a framework whose output is files"
            ));
        }
    }
    workers::refuse("cPanel", recipe)?;
    if let (Some(root), None, Some(domain), None) =
        (&on_target.web_root, &site.web, &site.domain, &site.git)
    {
        return refuse(format!(
            "all of the release would be given out at {domain}, also what is not meant to be, as \
             .env. Write web = \"{root}\" under sites.{slug} of {target} in deployr-server.toml"
        ));
    }
    let unrun: Vec<_> = on_target.commands().map(|(name, _)| name).collect();
    if !unrun.is_empty() && site.git.is_none() {
        let lines = unrun.iter().map(|name| format!("{name} = \"true\""));
        let lines = lines.collect::<Vec<_>>().join(", ");
        let unrun = unrun.join(", ");
        return refuse(format!(
            "{target} gives no shell, so {unrun} of on_target cannot be run there. Write \
             on_target = {{ {lines} }} at the top of deployr.toml, which leaves them out, and do \
             what they are for in another way: in the build, with cron, or with the host's own \
             git and .cpanel.yml"
        ));
    }
    if recipe.health.command.is_some() {
        return refuse(format!(
            "{target} gives no shell, so the health command cannot be run there; set the health \
             path instead"
        ));
    }
    Ok(())
}
