//! The file that a release's output goes to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use deployr_core::error::{Fault, StepResult};

/// A log that is longer is moved aside. One older is kept.
pub(super) const LIMIT: u64 = 10 << 20;
const TAIL_LINES: usize = 50;
const TAIL_BYTES: u64 = 64 << 10;

/// Copies and empties a log that has become too long: the process has it open, and
/// goes on writing at what is then its end.
pub(super) fn rotate(log: &Path, limit: u64) -> StepResult<()> {
    let rotate = || -> io::Result<()> {
        if fs::metadata(log)?.len() > limit {
            fs::copy(log, log.with_extension("log.1"))?;
            OpenOptions::new().write(true).open(log)?.set_len(0)?;
        }
        Ok(())
    };
    match rotate() {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Fault::io("shorten", log.display(), error).into())
        }
        _ => Ok(()),
    }
}

/// The last lines that were written after `from`.
pub(super) fn tail(log: &Path, from: u64) -> Vec<u8> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        let from = if from > length { 0 } else { from }; // emptied since
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES))))?;
        let mut text = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let mut tail = lines[lines.len().saturating_sub(TAIL_LINES)..].concat();
    if !tail.is_empty() && tail.last() != Some(&b'\n') {
        tail.push(b'\n');
    }
    tail
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_tail_is_that_of_the_last_run() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("1.log");
        fs::write(&log, "old\nnew\nlast").unwrap();
        assert_eq!(tail(&log, 4), b"new\nlast\n");
        assert_eq!(tail(&log, 400), b"old\nnew\nlast\n");
        fs::write(&log, "x\n".repeat(200)).unwrap();
        assert_eq!(tail(&log, 0), "x\n".repeat(50).as_bytes());
        assert!(tail(&folder.path().join("none"), 0).is_empty());
    }

    #[test]
    fn a_log_that_is_open_can_be_shortened() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("1.log");
        let mut open = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        open.write_all(&[b'a'; 100]).unwrap();
        rotate(&log, 100).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), 100, "not too long yet");
        rotate(&log, 99).unwrap();
        open.write_all(b"b").unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"b");
        assert_eq!(
            fs::metadata(folder.path().join("1.log.1")).unwrap().len(),
            100
        );
    }
}
