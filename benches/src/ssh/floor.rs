//! What nobody can do without: over connections that are there already, a call of each host and
//! the same files as a tar, all at the same time, by the programs that people have.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, thread};

use deployr_testkit::ssh::Sshd;
use tempfile::TempDir;

use crate::Error;

pub(crate) struct Floor {
    folder: TempDir,
    hosts: usize,
}

impl Floor {
    pub(crate) fn connect(hosts: &[Sshd]) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().display();
        let mut config = format!(
            "User {}\nHostName 127.0.0.1\nUserKnownHostsFile {at}/known_hosts\nBatchMode yes\n\
             IdentitiesOnly yes\nLogLevel ERROR\nControlMaster auto\nControlPersist 60\n\
             ControlPath {at}/%n\n",
            Sshd::user()
        );
        let mut known = String::new();
        for (number, sshd) in hosts.iter().enumerate() {
            let (port, key) = (sshd.port(), sshd.key());
            let key = key.display();
            config.push_str(&format!(
                "Host host-{number}\nPort {port}\nIdentityFile {key}\n"
            ));
            known.push_str(&format!("[127.0.0.1]:{port} {}\n", sshd.host_key()));
        }
        fs::write(folder.path().join("config"), config)?;
        fs::write(folder.path().join("known_hosts"), known)?;
        let floor = Self {
            folder,
            hosts: hosts.len(),
        };
        for number in 0..floor.hosts {
            check("ssh", floor.ssh(number, "true"))?;
        }
        Ok(floor)
    }

    /// Sends the files of a folder to all hosts.
    pub(crate) fn send(&self, files: &Path) -> Result<(), Error> {
        thread::scope(|scope| {
            let one = |number| scope.spawn(move || self.send_one(number, files));
            let all: Vec<_> = (0..self.hosts).map(one).collect();
            let mut ended = all.into_iter().map(|one| match one.join() {
                Ok(sent) => sent,
                Err(_) => Err("an upload panicked".into()),
            });
            ended.try_for_each(|sent| sent)
        })
    }

    fn send_one(&self, number: usize, files: &Path) -> Result<(), Error> {
        check("ssh", self.ssh(number, "true"))?;
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(files);
        tar.args(["--exclude=.git", "-cf", "-", "."]);
        let mut tar = tar.stdout(Stdio::piped()).spawn()?;
        let stream = tar.stdout.take().ok_or("no pipe")?;
        let line = "mkdir -p floor && tar -xof - -C floor";
        check("tar over ssh", self.ssh(number, line).stdin(stream))?;
        match tar.wait()?.success() {
            true => Ok(()),
            false => Err("tar failed".into()),
        }
    }

    fn ssh(&self, number: usize, line: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.folder.path().join("config"));
        ssh.arg(format!("host-{number}")).arg(line);
        ssh.stdin(Stdio::null()).stdout(Stdio::null());
        ssh
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        for number in 0..self.hosts {
            let mut ssh = self.ssh(number, "");
            let _ = ssh.args(["-O", "exit"]).stderr(Stdio::null()).status();
        }
    }
}

fn check(what: &str, command: impl std::borrow::BorrowMut<Command>) -> Result<(), Error> {
    let mut command = command;
    match command.borrow_mut().status()?.success() {
        true => Ok(()),
        false => Err(format!("{what} failed").into()),
    }
}
