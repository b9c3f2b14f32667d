//! A private `sshd`: a host of its own on a free port of the loopback, with keys that
//! it makes, a home folder of its own, and all that runs on it gone when it is dropped.

use std::collections::HashMap;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::free_port;
use crate::keeper::Keeper;

/// In the environment of all that was ever started over a host's connections.
const MARK: &str = "DEPLOYR_TESTKIT_HOST";

/// A running host. Dropping it stops it, kills what it runs and removes its files.
#[derive(Debug)]
pub struct Sshd {
    folder: PathBuf,
    port: u16,
    keeper: Option<Keeper>,
}

impl Sshd {
    /// A host with the programs of this machine.
    ///
    /// # Panics
    ///
    /// When `sshd` is not installed, or does not answer within 30 s.
    pub fn start() -> Self {
        Self::start_with(&std::env::var("PATH").expect("a PATH"), &[])
    }

    /// A host that has not these programs.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_without(programs: &[&str]) -> Self {
        Self::start_with("", programs)
    }

    fn start_with(path: &str, without: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("deployr-sshd-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let mut sshd = Self {
            folder,
            port: free_port(),
            keeper: None,
        };
        let at = sshd.folder.display();
        for name in ["home", "bin"] {
            fs::create_dir(sshd.folder.join(name)).expect("a folder");
        }
        let path = if path.is_empty() {
            link_programs(&sshd.folder.join("bin"), without);
            format!("{at}/bin")
        } else {
            path.to_owned()
        };
        for name in ["host", "key"] {
            sshd.new_key(name);
        }
        let authorized = sshd.folder.join("authorized_keys");
        fs::copy(sshd.folder.join("key.pub"), &authorized).expect("a copy");
        fs::set_permissions(&authorized, fs::Permissions::from_mode(0o600)).expect("a mode");
        let config = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile {at}/pid\n\
             AuthorizedKeysFile {at}/authorized_keys\nStrictModes no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nPrintMotd no\n\
             PrintLastLog no\nSubsystem sftp internal-sftp\nLogLevel VERBOSE\n\
             MaxStartups 100\nSetEnv PATH={path} HOME={at}/home {MARK}={at}\n",
            sshd.port
        );
        fs::write(sshd.folder.join("config"), config).expect("a file");
        sshd.up();
        sshd
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whom it lets in.
    pub fn user() -> String {
        let output = Command::new("id").arg("-un").output();
        let name = output.expect("`id` can be run").stdout;
        String::from_utf8_lossy(&name).trim().to_owned()
    }

    /// The private key that it lets in.
    pub fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// The public key by which it is known, as `ssh-ed25519 AAAA…`.
    pub fn host_key(&self) -> String {
        let text = fs::read_to_string(self.folder.join("host.pub")).expect("a key");
        text.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Home of whoever logs in: nobody else's files are there.
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// What the server has said.
    pub fn log(&self) -> String {
        Keeper::log(&self.folder)
    }

    /// Gives it another host key, as a machine has that was set up anew. Counts from the
    /// next [`up`](Self::up).
    pub fn change_host_key(&self) {
        for name in ["host", "host.pub"] {
            fs::remove_file(self.folder.join(name)).expect("the old key");
        }
        self.new_key("host");
    }

    /// Cuts all connections; what runs on the host does not notice.
    pub fn cut(&self) {
        let listener = self.listener();
        let of = self.servers().into_iter().filter(|pid| *pid != listener);
        signal("KILL", &of.collect::<Vec<_>>());
    }

    /// Kills the server and all connections. [`up`](Self::up) brings it back.
    pub fn kill(&mut self) {
        signal("KILL", &self.servers());
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        // It would remove the folder.
        if let Some(keeper) = self.keeper.take() {
            std::mem::forget(keeper);
        }
    }

    /// From now on it answers nothing: neither the server nor what its connections run.
    pub fn pause(&self) {
        signal("STOP", &self.tree());
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&self) {
        signal("CONT", &self.tree());
    }

    /// Starts the server, on the port that it had.
    ///
    /// # Panics
    ///
    /// When it does not answer within 30 s.
    pub fn up(&mut self) {
        let program = program();
        // Without it root's sshd ends at once; others need no such folder.
        let _ = fs::create_dir_all("/run/sshd");
        let config = self.folder.join("config").to_string_lossy().into_owned();
        let program = program.to_string_lossy();
        let command = [&*program, "-D", "-e", "-f", &*config];
        let _ = fs::remove_file(self.folder.join("pid"));
        self.keeper = Some(Keeper::start(&self.folder, "TERM", None, &command));
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.folder.join("pid").exists()
            || TcpStream::connect(("127.0.0.1", self.port)).is_err()
        {
            let log = Keeper::log(&self.folder);
            assert!(Instant::now() < deadline, "sshd does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The processes that run on this host, by the variable that they all have.
    pub fn processes(&self) -> Vec<u32> {
        let mark = format!("{MARK}={}", self.folder.display());
        let marked = |pid: &u32| {
            let of = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            of.split(|byte| *byte == 0)
                .any(|entry| entry == mark.as_bytes())
        };
        all_processes().into_keys().filter(marked).collect()
    }

    fn new_key(&self, name: &str) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(self.folder.join(name))
            .status();
        assert!(made.is_ok_and(|status| status.success()), "no key was made");
    }

    fn listener(&self) -> u32 {
        let text = fs::read_to_string(self.folder.join("pid")).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }

    /// The server's own processes.
    fn servers(&self) -> Vec<u32> {
        let is_server = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sshd\n")
        };
        self.tree().into_iter().filter(is_server).collect()
    }

    /// The server and all below it.
    fn tree(&self) -> Vec<u32> {
        let listener = self.listener();
        if listener == 0 {
            return Vec::new();
        }
        let parents = all_processes();
        let below = |pid: &u32| {
            let line = std::iter::successors(Some(*pid), |pid| parents.get(pid).copied());
            line.take(100).any(|pid| pid == listener)
        };
        parents.keys().copied().filter(below).collect()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.resume();
        signal("KILL", &self.servers());
        loop {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            signal("KILL", &left);
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.keeper.take().is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// All processes, and their parents.
fn all_processes() -> HashMap<u32, u32> {
    let names = fs::read_dir("/proc").expect("Linux has a /proc");
    let pids = names.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut after_name = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
        Some((pid, after_name.next()?.parse().ok()?))
    });
    pids.collect()
}

/// One that has ended meanwhile is fine.
fn signal(name: &str, pids: &[u32]) {
    if !pids.is_empty() {
        let mut kill = Command::new("kill");
        let _ = kill
            .args(["-s", name])
            .args(pids.iter().map(u32::to_string))
            .stderr(std::process::Stdio::null())
            .status();
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join("sshd"))
        .find(|program| program.is_file())
        .expect("sshd is installed (`cargo xtask setup` does it; by hand on Debian: apt-get install openssh-server)")
}

/// Links to all programs of this machine but some.
fn link_programs(folder: &Path, without: &[&str]) {
    let path = std::env::var_os("PATH").expect("a PATH");
    for entry in std::env::split_paths(&path)
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten())
    {
        let name = entry.file_name();
        if !without.iter().any(|without| *without == name) {
            // The first of a name counts.
            let _ = symlink(entry.path(), folder.join(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(sshd: &Sshd, line: &str) -> Result<String, String> {
        let known = sshd.folder.join("known_hosts");
        let text = format!("[127.0.0.1]:{} {}\n", sshd.port(), sshd.host_key());
        fs::write(&known, text).unwrap();
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
        ])
        .args(["-o", "ConnectTimeout=1", "-o", "StrictHostKeyChecking=yes"])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known.display()))
        .arg("-i")
        .arg(sshd.key())
        .args(["-p", &sshd.port().to_string(), "-l", &Sshd::user()])
        .args(["127.0.0.1", line]);
        let output = ssh.output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    #[test]
    fn a_host_is_paused_killed_and_brought_back_and_leaves_nothing_behind() {
        let mut sshd = Sshd::start_without(&["rsync"]);
        assert_eq!(
            ask(&sshd, "echo \"$HOME\"; command -v rsync || echo none").unwrap(),
            format!("{}\nnone\n", sshd.home().display())
        );
        sshd.pause();
        assert!(ask(&sshd, "echo no").is_err());
        sshd.resume();
        sshd.kill();
        assert!(ask(&sshd, "echo no").is_err());
        sshd.up();
        let detached = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!";
        assert!(ask(&sshd, detached).is_ok());
        assert_eq!(sshd.processes().len(), 1);
        sshd.cut();
        assert_eq!(ask(&sshd, "echo yes").unwrap(), "yes\n");
        let (folder, left) = (sshd.folder.clone(), sshd.processes()[0]);
        drop(sshd);
        assert!(!folder.exists());
        let left = fs::read(format!("/proc/{left}/environ")).unwrap_or_default();
        assert!(left.is_empty(), "what it ran lives on");
    }
}
