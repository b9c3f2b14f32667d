//! A private Docker engine: a real `dockerd` in namespaces of its own, so that it meets
//! neither the host's engine nor another test's. Its bridges, firewall rules, mounts and
//! containers are seen by nobody else, and go with it, however it ends. Its containers
//! can be reached from this host by their addresses, as those of the host's engine can.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::keeper::Keeper;

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
/// service: it stays away for as long as there is a file `down`.
const INNER: &str = r#"
folder=$0; net=$1
ip link set lo up
until ip link show inside >/dev/null 2>&1; do sleep 0.01; done
ip address add "$net.255.2/30" dev inside
ip link set inside up
ip route add default via "$net.255.1"
iptables -N DOCKER-USER
iptables -A DOCKER-USER -i inside -j ACCEPT
while :; do
    dockerd --data-root "$folder/data" --exec-root "$folder/exec" \
        --pidfile "$folder/docker.pid" --host "unix://$folder/docker.sock" \
        --cgroup-parent "/$(basename "$folder")" --bridge none \
        --default-address-pool "base=$net.0.0/17,size=24"
    while [ -e "$folder/down" ]; do sleep 0.01; done
done
"#;

/// The image that [`Docker`] has from the start.
const BUSYBOX: &str = "busybox:test";

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
        docker.import(BUSYBOX, &docker.busybox_root("busybox"));
        docker
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// The name of a small image with a shell and the usual tools, `httpd` among them.
    pub fn busybox(&self) -> &'static str {
        BUSYBOX
    }

    /// An image with this host's Node.js, made when it is first asked for.
    ///
    /// # Panics
    ///
    /// When there is no `node` on this host.
    pub fn node(&self) -> &'static str {
        const NODE: &str = "node:test";
        let _one_at_a_time = self.making.lock();
        if self.run(&["images", "--quiet", NODE]).is_empty() {
            let root = self.busybox_root("node");
            let script = r#"set -e
                node=$(readlink -f "$(command -v node)")
                mkdir -p "$0/usr/bin"
                cp "$node" "$0/usr/bin/node"
                for library in $(ldd "$node" | grep -o '/[^ ]*'); do
                    mkdir -p "$0$(dirname "$library")"
                    cp -L "$library" "$0$library"
                done"#;
            let made = succeeds(Command::new("sh").args(["-c", script]).arg(&root));
            assert!(made, "the root of an image with `node` could not be made");
            self.import(NODE, &root);
        }
        NODE
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

    /// An image with this host's PHP, its extensions and Debian's PHP libraries, made when it
    /// is first asked for.
    ///
    /// # Panics
    ///
    /// When there is no `php` on this host.
    pub fn php(&self) -> &'static str {
        const PHP: &str = "php:test";
        let _one_at_a_time = self.making.lock();
        if self.run(&["images", "--quiet", PHP]).is_empty() {
            let root = self.busybox_root("php");
            let script = r#"set -e
                php=$(readlink -f "$(command -v php)")
                extensions=$(php -r 'echo ini_get("extension_dir");')
                mkdir -p "$0/usr/bin" "$0$extensions" "$0/usr/share" "$0/etc"
                cp "$php" "$0/usr/bin/php"
                cp "$extensions"/*.so "$0$extensions"
                cp -R /usr/share/php /usr/share/zoneinfo "$0/usr/share"
                cp -RL /etc/php "$0/etc"
                for library in $(ldd "$php" "$extensions"/*.so | grep -o '/[^ ]*\.so[^ :]*' | sort -u); do
                    mkdir -p "$0$(dirname "$library")"
                    cp -L "$library" "$0$library"
                done"#;
            let made = succeeds(Command::new("sh").args(["-c", script]).arg(&root));
            assert!(made, "the root of an image with `php` could not be made");
            self.import(PHP, &root);
        }
        PHP
    }

    /// Makes an image of a folder, without anything that a registry would have to give.
    pub fn import(&self, name: &str, root: &Path) {
        let mut tar = Command::new("tar")
            .arg("-C")
            .arg(root)
            .args(["--owner=0", "--group=0", "-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .expect("`tar` can be run");
        let archive = tar.stdout.take().expect("it is piped");
        let mut import = self.client();
        import.args(["import", "-", name]).stdin(archive);
        assert!(succeeds(&mut import), "`docker import` of {name} failed");
        assert!(tar.wait().is_ok_and(|end| end.success()), "`tar` failed");
    }

    /// What a command of the client prints.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self
            .client()
            .args(args)
            .output()
            .expect("`docker` can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Removes all services, secrets, containers, networks and volumes that bear a label, as
    /// `name=value`. Networks of a swarm, which lets go of them in its own time, go with it.
    ///
    /// # Panics
    ///
    /// When one cannot be removed.
    pub fn remove_all_with(&self, label: &str) {
        let filter = format!("label={label}");
        let list = |what: &[&str]| {
            let all = self.run(&[what, &["--quiet", "--filter", &filter]].concat());
            all.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let in_swarm = self.in_swarm.load(Ordering::Relaxed);
        // Not by `prune`, of which an engine does one at a time and refuses others.
        for (of_swarm, list_of, remove) in [
            (true, &["service", "ls"][..], &["service", "rm"][..]),
            (true, &["secret", "ls"], &["secret", "rm"]),
            (false, &["ps", "--all"], &["rm", "--force", "--volumes"]),
            (
                false,
                &["network", "ls", "--filter", "scope=local"],
                &["network", "rm"],
            ),
            (false, &["volume", "ls"], &["volume", "rm"]),
        ] {
            if of_swarm && !in_swarm {
                continue;
            }
            let left = list(list_of);
            let left: Vec<&str> = left.iter().map(String::as_str).collect();
            if !left.is_empty() {
                self.run(&[remove, &left[..]].concat());
            }
        }
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

    fn client(&self) -> Command {
        let mut docker = Command::new("docker");
        docker
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .env_remove("DOCKER_CONTEXT")
            .env("DOCKER_CONFIG", &self.folder);
        docker
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

    fn busybox_root(&self, name: &str) -> PathBuf {
        let root = self.folder.join(name);
        let script = r#"set -e
            busybox=$(command -v busybox)
            for name in bin tmp etc proc sys dev root; do mkdir -p "$0/$name"; done
            chmod 1777 "$0/tmp"
            cp "$busybox" "$0/bin/busybox"
            for name in $("$busybox" --list); do
                [ "$name" = busybox ] || ln -s busybox "$0/bin/$name"
            done
            echo root:x:0:0:root:/root:/bin/sh >"$0/etc/passwd""#;
        assert!(
            succeeds(Command::new("sh").args(["-c", script]).arg(&root)),
            "the root of an image could not be made"
        );
        root
    }
}

/// A pair of interfaces, one on each side, and the addresses behind it.
struct Net {
    /// The first two parts of all addresses.
    prefix: String,
    outside: String,
}

impl Net {
    /// One that nobody on this host uses.
    fn take() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        let pid = std::process::id();
        for _ in 0..64 {
            let number = (pid + 7 * NEXT.fetch_add(1, Ordering::Relaxed)) % 100 + 100;
            // In the table a network stands as a number in hexadecimal, its last byte first.
            if !routes.contains(&format!("\t0000{number:02X}0A\t")) {
                return Self {
                    prefix: format!("10.{number}"),
                    outside: format!("dpl{:x}", pid * 100 + number),
                };
            }
        }
        panic!("all networks from 10.100 to 10.199 are in use");
    }

    fn lay(&self, inside: u32) {
        let Self { prefix, outside } = self;
        let script = r#"set -e
            ip link add "$1" type veth peer name inside netns "$2"
            ip address add "$0.255.1/30" dev "$1"
            ip link set "$1" up
            ip route add "$0.0.0/17" via "$0.255.2""#;
        let mut lay = Command::new("sh");
        lay.args(["-c", script, prefix, outside, &inside.to_string()]);
        assert!(succeeds(&mut lay), "no network could be laid to the engine");
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
