use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A child that ends with this process, however this process ends.
///
/// A small shell holds the read end of a pipe whose write end is ours: once that is
/// closed, by [`drop`] or by the kernel, the shell stops the server and removes its folder.
#[derive(Debug)]
pub(crate) struct Keeper {
    shell: Child,
    /// Held open, and never written to.
    lifeline: Option<ChildStdin>,
}

/// `$0` is the signal, `$1` the folder, the rest the server's command.
const SCRIPT: &str = r#"
signal=$0; folder=$1; shift
"$@" </dev/null >"$folder/server.log" 2>&1 &
server=$!
cat >/dev/null
kill -s "$signal" "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"#;

impl Keeper {
    /// Starts `command`, with its output in `folder/server.log`. `folder` is removed at
    /// the end; `signal` is what ends the server.
    pub(crate) fn start(
        folder: &Path,
        signal: &str,
        user: Option<(u32, u32)>,
        command: &[&str],
    ) -> Self {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SCRIPT, signal])
            .arg(folder)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal is for the test, whose end then ends the server.
            .process_group(0);
        if let Some((uid, gid)) = user {
            shell.uid(uid).gid(gid);
        }
        let mut shell = shell.spawn().expect("`sh` can be run");
        let lifeline = shell.stdin.take();
        Self { shell, lifeline }
    }

    /// What the server has said, for a panic's message.
    pub(crate) fn log(folder: &Path) -> String {
        let mut log = String::new();
        if let Ok(mut file) = std::fs::File::open(folder.join("server.log")) {
            let _ = file.read_to_string(&mut log);
        }
        log
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.lifeline.take();
        let _ = self.shell.wait();
    }
}
