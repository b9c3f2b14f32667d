//! A private Docker engine: a real `dockerd` in namespaces of its own, so that it meets
//! neither the host's engine nor another test's. Its bridges, firewall rules, mounts and
//! containers are seen by nobody else, and go with it, however it ends. Its containers
//! can be reached from this host by their addresses, as those of the host's engine can.

mod client;
mod images;
mod net;
mod registry;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::keeper::Keeper;
use net::Net;

pub use registry::Registry;

/// What starts the engine: kills it with all its containers when it is asked to end, and
/// removes what the kernel keeps of them.
const OUTER: &str = r#"
folder=$0
unshare --net --mount --propagation slave --pid --fork --kill-child=KILL --mount-proc \
    sh -c "$1" "$folder" "$2" &
child=$!
echo $child >"$folder/unshare.pid"
trap 'kill -s KILL $(cat /proc/$child/task/$child/children)' TERM
wait $child
wait $child
for try in 1 2 3 4 5 6 7 8 9 10; do
    left=$(find /sys/fs/cgroup -depth -type d -path "*/$(basename "$folder")*" 2>/dev/null)
    [ -z "$left" ] && break
    rmdir $left 2>/dev/null || sleep 0.1
done
"#;

/// The first process in there. The engine may be stopped and started under it, as a
/// service: it stays away for as long as there is a file `down`. Registries other than a
/// test's own are behind a proxy that is not there, so that asking them fails at once.
const INNER: &str = r#"
folder=$0; net=$1
ip link set lo up
until ip link show inside >/dev/null 2>&1; do sleep 0.01; done
ip address add "$net.255.2/30" dev inside
ip link set inside up
ip route add default via "$net.255.1"
iptables -N DOCKER-USER
iptables -A DOCKER-USER -i inside -j ACCEPT
export HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY=10.0.0.0/8
while :; do
    dockerd --data-root "$folder/data" --exec-root "$folder/exec" \
        --pidfile "$folder/docker.pid" --host "unix://$folder/docker.sock" \
        --cgroup-parent "/$(basename "$folder")" --bip "$net.192.1/24" \
        --default-address-pool "base=$net.0.0/17,size=24"
    while [ -e "$folder/down" ]; do sleep 0.01; done
done
"#;

/// A running engine. Dropping it ends it and all of its containers.
#[derive(Debug)]
pub struct Docker {
    folder: PathBuf,
    /// The parent of the first process in the namespaces.
    unshare: u32,
    /// Its own, as its containers and this host know it.
    address: String,
    /// Held while something is made that is made once.
    making: Mutex<()>,
    in_swarm: AtomicBool,
    _keeper: Keeper,
}

impl Docker {
    /// The one that all tests of this process share. It ends with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Docker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A new engine, with [`busybox`](Self::busybox) for an image.
    ///
    /// # Panics
    ///
    /// When this is not root, when Docker is not installed, or does not start within 30 s.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("deployr-docker-")
            .tempdir()
            .expect("a temporary folder can be made")
            .keep();
        for program in [
            "dockerd", "docker", "ip", "iptables", "unshare", "nsenter", "busybox",
        ] {
            assert!(
                succeeds(Command::new("sh").args(["-c", "command -v \"$0\"", program])),
                "`{program}` is needed, and Docker's tests have to run as root (`cargo xtask \
                 setup` installs it; by hand on Debian: apt-get install docker.io iproute2 \
                 iptables util-linux busybox-static)"
            );
        }
        let net = Net::take();
        let text = folder.to_str().expect("a path in UTF-8");
        let keeper = Keeper::start(
            &folder,
            "TERM",
            None,
            &["sh", "-c", OUTER, text, INNER, &net.prefix],
        );
        let pid = folder.join("unshare.pid");
        let unshare = wait(&folder, "its namespaces", || {
            std::fs::read_to_string(&pid).ok()?.trim().parse().ok()
        });
        let docker = Self {
            folder,
            unshare,
            address: format!("{}.255.2", net.prefix),
            making: Mutex::default(),
            in_swarm: AtomicBool::new(false),
            _keeper: keeper,
        };
        net.lay(docker.first());
        docker.wait_until_ready();
        docker.import(images::BUSYBOX, &docker.busybox_root("busybox"));
        docker
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// Makes it the only node of a swarm, when it is first asked to. Its networks are away from
    /// those of this host.
    pub fn swarm(&self) -> &Self {
        let _one_at_a_time = self.making.lock();
        if !self.in_swarm.load(Ordering::Relaxed) {
            let (pool, _) = self.address.rsplit_once(".255.").expect("four numbers");
            self.run(&[
                "swarm",
                "init",
                "--advertise-addr",
                &self.address,
                "--default-addr-pool",
                &format!("{pool}.128.0/18"),
                "--default-addr-pool-mask-length",
                "26",
            ]);
            self.in_swarm.store(true, Ordering::Relaxed);
        }
        self
    }

    /// Ends the engine with a signal: `TERM` stops its containers first, after `KILL` they go
    /// on until it is back. It stays away until [`up`](Self::up), and then starts those that
    /// want to be restarted.
    pub fn down(&self, signal: &str) {
        std::fs::write(self.folder.join("down"), "").expect("the folder can be written to");
        let pid = std::fs::read_to_string(self.folder.join("docker.pid")).expect("its pid");
        let first = self.first().to_string();
        let enter = |command: &[&str]| {
            let mut nsenter = Command::new("nsenter");
            nsenter
                .args(["--target", &first, "--pid", "--mount"])
                .args(command);
            succeeds(nsenter.stderr(Stdio::null()))
        };
        assert!(
            enter(&["kill", "-s", signal, pid.trim()]),
            "it could not be signalled"
        );
        wait(&self.folder, "its end", || {
            (!enter(&["kill", "-s", "0", pid.trim()])).then_some(())
        });
    }

    /// Brings it back.
    ///
    /// # Panics
    ///
    /// When it is not ready within 30 s.
    pub fn up(&self) {
        std::fs::remove_file(self.folder.join("down")).expect("it was down");
        self.wait_until_ready();
    }

    /// The first process in the namespaces, by the number that it has outside.
    fn first(&self) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.unshare);
        wait(&self.folder, "its first process", || {
            std::fs::read_to_string(&children).ok()?.trim().parse().ok()
        })
    }

    fn wait_until_ready(&self) {
        wait(&self.folder, "the engine", || {
            let mut version = self.client();
            version
                .arg("version")
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            succeeds(&mut version).then_some(())
        });
    }
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn wait<T>(folder: &Path, what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited for {what} in vain:\n{}",
            Keeper::log(folder)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_comes_back_and_nothing_outlives_the_test() {
        let docker = Docker::start();
        let run = ["run", "--detach", "--init", "--restart", "always"];
        let id = docker.run(&[&run[..], &[docker.busybox(), "sleep", "600"]].concat());
        for signal in ["KILL", "TERM"] {
            docker.down(signal);
            docker.up();
            let state = docker.run(&["inspect", "--format", "{{.State.Running}}", &id]);
            assert_eq!(state, "true", "after {signal}");
        }

        let (folder, first) = (docker.folder.clone(), docker.first());
        drop(docker);
        assert!(!folder.exists());
        assert!(!Path::new(&format!("/proc/{first}")).exists());
        let name = folder.file_name().unwrap().to_str().unwrap();
        let groups = Command::new("find")
            .args(["/sys/fs/cgroup", "-name", name])
            .output();
        assert_eq!(groups.unwrap().stdout, b"");
    }
}
