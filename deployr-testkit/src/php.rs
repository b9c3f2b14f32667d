//! A private nginx with a private php-fpm behind it, set up as a test says.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::free_port;
use crate::keeper::Keeper;

/// Both servers. Dropping it stops them.
#[derive(Debug)]
pub struct PhpServer {
    fpm: PathBuf,
    address: SocketAddr,
    _keepers: [Keeper; 2],
}

impl PhpServer {
    /// `site` makes what stands in nginx's `http` block, from the address to listen on and the
    /// socket of php-fpm. `pool` are more lines for its pool of four processes, which run as
    /// whoever runs this.
    ///
    /// # Panics
    ///
    /// When one of them is not installed, or does not start within 30 s.
    #[must_use]
    pub fn start(site: impl FnOnce(SocketAddr, &Path) -> String, pool: &str) -> Self {
        let (fpm, nginx) = (folder("fpm"), folder("nginx"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let socket = fpm.join("socket");
        let is_root =
            fs::metadata(&fpm).is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
        let users = if is_root {
            "user = root\ngroup = root\n"
        } else {
            ""
        };
        let at = fpm.display();
        let config = format!(
            "[global]\nerror_log = {at}/log\npid = {at}/pid\ndaemonize = no\n[www]\n{users}\
             listen = {at}/socket\npm = static\npm.max_children = 4\ncatch_workers_output = yes\n{pool}\n"
        );
        fs::write(fpm.join("config"), config).expect("a file");
        let mut command = vec![program("php-fpm"), "-F".to_owned(), "-y".to_owned()];
        command.push(format!("{at}/config"));
        if is_root {
            command.push("-R".to_owned());
        }
        let first = start(&fpm, "QUIT", &command, || {
            UnixStream::connect(&socket).is_ok()
        });

        let (at, site) = (nginx.display(), site(address, &socket));
        let user = if is_root { "user root;\n" } else { "" };
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temp: String = temp
            .iter()
            .map(|of| format!("{of}_temp_path {at}/{of};\n"))
            .collect();
        let config = format!(
            "{user}daemon off;\nworker_processes 2;\npid {at}/pid;\nerror_log {at}/error.log;\n\
             events {{ worker_connections 256; }}\nhttp {{\naccess_log off;\n{temp}{site}\n}}\n"
        );
        fs::write(nginx.join("config"), config).expect("a file");
        for name in ["fastcgi_params", "mime.types"] {
            let from = Path::new("/etc/nginx").join(name);
            fs::copy(from, nginx.join(name)).expect("nginx is installed with its files");
        }
        let command = [program("nginx"), "-e".into(), "stderr".into(), "-c".into()];
        let command = [&command[..], &[format!("{at}/config")]].concat();
        let second = start(&nginx, "QUIT", &command, || {
            TcpStream::connect(address).is_ok()
        });
        Self {
            fpm,
            address,
            _keepers: [second, first],
        }
    }

    /// Where nginx answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What php-fpm has written its process id into, for those who let it reload.
    #[must_use]
    pub fn fpm_pid(&self) -> PathBuf {
        self.fpm.join("pid")
    }
}

fn folder(of: &str) -> PathBuf {
    let folder = tempfile::Builder::new()
        .prefix(&format!("deployr-{of}-"))
        .tempdir();
    folder.expect("a temporary folder can be made").keep()
}

fn start(folder: &Path, signal: &str, command: &[String], ready: impl Fn() -> bool) -> Keeper {
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let keeper = Keeper::start(folder, signal, None, &command);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ready() {
        let more = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
        let log = Keeper::log(folder) + &more;
        assert!(
            Instant::now() < deadline,
            "{command:?} does not answer:\n{log}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    keeper
}

/// Debian has the version of PHP in the name, and both where others do not look.
fn program(name: &str) -> String {
    let script = "PATH=$PATH:/usr/sbin; for at in $(echo $PATH | tr : ' '); do \
                  ls $at/$0 $at/$0[0-9]* 2>/dev/null; done | head -n 1";
    let output = Command::new("sh").args(["-c", script, name]).output();
    let found = output.expect("`sh` can be run").stdout;
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    assert!(
        !found.is_empty(),
        "`{name}` is needed (`cargo xtask setup` installs it; by hand on Debian: \
         apt-get install nginx php-fpm)"
    );
    found
}
