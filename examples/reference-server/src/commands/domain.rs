//! `deployr domain`

use deployr_core::engine::DomainCheck;
use deployr_core::model::Domain;
use deployr_core::value::CustomDomain;
use serde_json::{Value, json};

use crate::config::Settings;
use crate::exit::{Error, Exit, Result};
use crate::host::Host;
use crate::ui::Ui;
use crate::view::moment;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr domain add site www.example.com
  deployr domain check site www.example.com
  deployr domain list site
  deployr domain remove site www.example.com

`add` says which TXT record shows that the domain is yours; once it is there, `check` finds it,
and the domain is served. Let its A, AAAA or CNAME record lead to this server too.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Ask for a domain, and learn which record shows that it is yours
    Add(Of),
    /// Look whether the record is there, and serve the domain if it is
    Check(Of),
    /// List the domains of a project
    List {
        /// The project's name or id
        project: String,
    },
    /// Serve a domain no longer
    Remove(Of),
}

#[derive(Debug, clap::Args)]
struct Of {
    /// The project's name or id
    project: String,
    /// As www.example.com
    #[arg(value_name = "DOMAIN")]
    name: CustomDomain,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let host = Host::client(settings).await?;
    let (engine, actor) = (&host.engine, &host.actor);
    match &args.action {
        Action::Add(Of {
            project,
            name: domain,
        }) => {
            let project = host.project(project).await?;
            let added = engine.add_domain(actor, project.id, domain).await?;
            ui.emit(&shown(&added));
            match added.verified_at {
                Some(_) => ui.say(format_args!("{domain} is verified")),
                None => tell(ui, &added, project.slug.as_str()),
            }
        }
        Action::Check(Of {
            project,
            name: domain,
        }) => {
            let project = host.project(project).await?;
            let check = engine.check_domain(actor, project.id, domain).await?;
            let mut line = shown(&check.domain);
            line["found"] = json!(check.found);
            ui.emit(&line);
            return outcome(ui, &check, project.slug.as_str());
        }
        Action::List { project } => {
            let project = host.project(project).await?;
            for one in engine.domains(actor, project.id).await? {
                ui.emit(&shown(&one));
                match one.verified_at {
                    Some(at) => ui.say(format_args!("{}  verified {}", one.domain, moment(at))),
                    None => ui.say(format_args!("{}  not verified", one.domain)),
                }
            }
        }
        Action::Remove(Of {
            project,
            name: domain,
        }) => {
            let project = host.project(project).await?;
            engine.remove_domain(actor, project.id, domain).await?;
            ui.emit(&json!({"event": "domain_removed", "domain": domain}));
            ui.say(format_args!("{domain} is removed from {}", project.name));
        }
    }
    Ok(Exit::Ok)
}

fn outcome(ui: &Ui, check: &DomainCheck, project: &str) -> Result<Exit> {
    let domain = &check.domain.domain;
    if check.domain.verified_at.is_some() {
        ui.say(format_args!(
            "{domain} is verified; `deployr serve` serves {project} there"
        ));
        if !check.is_shown() {
            ui.warn("its record is gone: whoever shows that the domain is theirs gets it");
        }
        return Ok(Exit::Ok);
    }
    let found = match check.found.as_slice() {
        [] => "has no TXT record yet".to_owned(),
        found => format!("says {found:?}"),
    };
    let told = format!("{domain} is not verified: {} {found}", domain.challenge());
    Err(Error::verdict(told).hint(format!(
        "a TXT record there must say {}; a new one can take its time to be seen everywhere",
        check.domain.token
    )))
}

fn tell(ui: &Ui, domain: &Domain, project: &str) {
    let name = &domain.domain;
    ui.say("make this record where the domain's DNS is kept:");
    ui.say(format_args!(
        "  {}  TXT  {}",
        name.challenge(),
        domain.token
    ));
    ui.say(format_args!("then: deployr domain check {project} {name}"));
}

fn shown(one: &Domain) -> Value {
    json!({
        "event": "domain",
        "domain": one.domain,
        "project": one.project,
        "verified_at": one.verified_at,
        "record": {"name": one.domain.challenge(), "type": "TXT", "value": one.token},
    })
}
