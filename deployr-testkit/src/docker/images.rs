//! Images without a registry: made of what this host has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Docker, succeeds};

/// The image that [`Docker`] has from the start.
pub(super) const BUSYBOX: &str = "busybox:test";

impl Docker {
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

    pub(super) fn busybox_root(&self, name: &str) -> PathBuf {
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
