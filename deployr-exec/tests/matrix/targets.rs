//! The targets as the reference server makes them, as far as it tells what they can do.

use std::net::{Ipv4Addr, SocketAddr};

use deployr_core::executor::Executor;
use deployr_exec::LocalExecutor;
use deployr_exec::cpanel::{CpanelExecutor, CpanelTarget, Site, Token};
use deployr_exec::docker::DockerExecutor;
use deployr_exec::docker::compose::ComposeExecutor;
use deployr_exec::docker::swarm::SwarmExecutor;
use deployr_exec::framework::Makes;
use deployr_exec::ssh::{Php, SshExecutor, SshTarget};

pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// What the builder makes that goes with it.
    pub(crate) makes: Makes,
    pub(crate) executor: Box<dyn Executor>,
}

pub(crate) fn targets() -> Vec<Target> {
    let of = |name, makes, executor| Target {
        name,
        makes,
        executor,
    };
    vec![
        of("local", Makes::Files, Box::new(LocalExecutor::new("sites"))),
        of("docker", Makes::Images, Box::new(docker())),
        of(
            "compose",
            Makes::Services,
            Box::new(ComposeExecutor::new(docker())),
        ),
        of(
            "swarm",
            Makes::Images,
            Box::new(SwarmExecutor::new(docker())),
        ),
        of("ssh", Makes::Files, Box::new(ssh())),
        of("cpanel", Makes::Files, Box::new(cpanel())),
    ]
}

fn docker() -> DockerExecutor {
    DockerExecutor::new("sites").base_image("node:22-slim")
}

fn ssh() -> SshExecutor {
    let mut target = SshTarget::new("web1.example.com", "/srv/sites").unwrap();
    target.address = Some(Ipv4Addr::LOCALHOST.into());
    target.web_server = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 80)));
    let executor = SshExecutor::new(target).unwrap();
    executor.php(Php::default()).unwrap()
}

/// With a PHP app, and with Node apps.
fn cpanel() -> CpanelExecutor {
    let token = Token::new("SECRET");
    let mut target = CpanelTarget::new("server42.example.com", "acme", token).unwrap();
    let site = |change: fn(&mut Site)| {
        let mut site = Site {
            domain: Some("acme.example.com".to_owned()),
            ..Site::default()
        };
        change(&mut site);
        site
    };
    let php = site(|site| site.web = Some("public".to_owned()));
    target.sites.insert("laravel".to_owned(), php);
    for node in ["node", "custom", "next-standalone"] {
        let passenger = site(|site| site.passenger = true);
        target.sites.insert(node.to_owned(), passenger);
    }
    CpanelExecutor::new(target).unwrap()
}
