//! What is deployed: a folder of this machine that git knows, and that needs no build.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::Error;

pub(crate) struct Repository {
    folder: TempDir,
    commits: Cell<u32>,
}

impl Repository {
    /// One commit with so many files of so many bytes.
    pub(crate) fn new(files: u32, bytes: usize) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let repository = Self {
            folder,
            commits: Cell::new(0),
        };
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        fs::write(repository.path().join("deployr.toml"), "output = \".\"\n")?;
        // No two lines alike: what is sent is not to be squeezed.
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for number in 0..files {
            let at = repository.path().join(format!("pages/{:02}", number % 40));
            fs::create_dir_all(&at)?;
            let mut text = String::with_capacity(bytes + 17);
            while text.len() < bytes {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                writeln!(text, "{seed:016x}")?;
            }
            fs::write(at.join(format!("{number}.html")), text)?;
        }
        repository.change()?;
        Ok(repository)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A commit that changes three files; what one of them says now.
    pub(crate) fn change(&self) -> Result<String, Error> {
        let number = self.commits.get() + 1;
        self.commits.set(number);
        let version = format!("version {number}\n");
        for name in ["version.txt", "index.html", "pages/00/0.html"] {
            fs::write(self.path().join(name), &version)?;
        }
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", &version])?;
        Ok(version)
    }

    fn git(&self, args: &[&str]) -> Result<(), Error> {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.path());
        git.args([
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@example.com",
        ]);
        match git.args(args).status()?.success() {
            true => Ok(()),
            false => Err(format!("git {args:?} failed").into()),
        }
    }
}
