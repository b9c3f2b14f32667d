//! The peer: Capistrano as Debian has it, with its own way of git, and no tasks beside.

use std::fs;
use std::process::Command;

use deployr_testkit::ssh::Sshd;
use tempfile::TempDir;

use super::repository::Repository;
use crate::Error;

pub(crate) struct Capistrano {
    folder: TempDir,
}

/// Whether it is there, before anything is measured.
pub(crate) fn check() -> Result<(), Error> {
    match Command::new("cap").arg("--version").output() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "`cap`, which this bench compares with, cannot be run ({error}); on Debian: \
             apt-get install capistrano"
        )
        .into()),
    }
}

impl Capistrano {
    pub(crate) fn new(sshd: &Sshd, repository: &Repository) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let stages = folder.path().join("config/deploy");
        fs::create_dir_all(&stages)?;
        let capfile = "require 'capistrano/setup'\nrequire 'capistrano/deploy'\n\
                       require 'capistrano/scm/git'\ninstall_plugin Capistrano::SCM::Git\n";
        fs::write(folder.path().join("Capfile"), capfile)?;
        let deploy = format!(
            "set :application, 'site'\nset :repo_url, '{}'\nset :branch, 'main'\n\
             set :deploy_to, '{}/cap'\nset :tmp_dir, '{}'\nset :format, :simpletext\n\
             set :keep_releases, 5\n",
            repository.path().display(),
            sshd.home().display(),
            sshd.home().display(),
        );
        fs::write(folder.path().join("config/deploy.rb"), deploy)?;
        let stage = format!(
            "server '127.0.0.1', user: '{}', port: {}, roles: %w[app web], ssh_options: \
             {{ keys: ['{}'], keys_only: true, auth_methods: ['publickey'], \
             verify_host_key: :never, config: false }}\n",
            Sshd::user(),
            sshd.port(),
            sshd.key().display(),
        );
        fs::write(stages.join("production.rb"), stage)?;
        Ok(Self { folder })
    }

    pub(crate) fn deploy(&self) -> Result<(), Error> {
        let mut cap = Command::new("cap");
        cap.args(["production", "deploy"])
            .current_dir(self.folder.path());
        let output = cap.output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(format!("cap: {}", String::from_utf8_lossy(&said)).into())
    }
}
