//! The reference: the script that people write before they have an engine. It keeps no
//! log, no history and no secrets, confines nothing, checks nothing, writes nothing
//! through to the disk, and leaves its checkout behind.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Took;
use super::origin::alone;
use crate::Error;

const SCRIPT: &str = "set -e
git clone --quiet --depth 1 \"$1\" \"checkout-$2\"
(cd \"checkout-$2\" && sh build.sh)
mkdir -p releases
cp -R \"checkout-$2/dist\" \"releases/$2\"
ln -sfn \"releases/$2\" current
";

pub(super) fn deploy(folder: &Path, url: &str, number: u32) -> Result<Took, Error> {
    let mut script = Command::new("sh");
    script
        .args(["-c", SCRIPT, "deploy", url])
        .arg(number.to_string())
        .current_dir(folder);
    alone(&mut script);
    let began = Instant::now();
    let output = script.output()?;
    let all = began.elapsed();
    if !output.status.success() {
        return Err(format!(
            "the script failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(Took {
        all,
        build: own_time(&String::from_utf8_lossy(&output.stdout))?,
    })
}

/// What the build command said of itself.
pub(super) fn own_time(log: &str) -> Result<Duration, Error> {
    let said = log
        .lines()
        .find_map(|line| line.strip_prefix("build took ")?.strip_suffix(" ns"));
    Ok(Duration::from_nanos(
        said.ok_or("the build did not say how long it took")?
            .parse()?,
    ))
}
