//! The file that a release's output goes to.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use deployr_core::error::{Fault, StepResult};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, lseek};

/// A log that is longer is moved aside. One older is kept.
pub(super) const LIMIT: u64 = 10 << 20;
const TAIL_LINES: usize = 50;
const TAIL_BYTES: u64 = 64 << 10;

/// What [`shorten`] can take out of a file on any file system.
const BLOCK: u64 = 64 << 10;

/// Moves the head of a log that takes more than `limit` bytes aside, all but the last
/// block. The process that has the log open writes on at its end meanwhile, and none of
/// that is lost.
pub(super) fn rotate(log: &Path, limit: u64) -> StepResult<()> {
    let rotate = || -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(log)?;
        let meta = file.metadata()?;
        // One that was shortened by a hole takes less than its length.
        let takes = meta.len().min(meta.blocks() * 512);
        let head = meta.len().saturating_sub(1) / BLOCK * BLOCK;
        if takes <= limit || head == 0 {
            return Ok(());
        }
        keep(&file, head, &log.with_extension("log.1"))?;
        shorten(&file, head)
    };
    match rotate() {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Fault::io("shorten", log.display(), error).into())
        }
        _ => Ok(()),
    }
}

/// Copies what of the first `head` bytes is no hole.
fn keep(mut file: &File, head: u64, aside: &Path) -> io::Result<()> {
    let from = lseek(file, 0, Whence::SeekData)?;
    file.seek(SeekFrom::Start(from.cast_unsigned()))?;
    let mut aside = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(aside)?;
    io::copy(
        &mut file.take(head.saturating_sub(from.cast_unsigned())),
        &mut aside,
    )?;
    Ok(())
}

/// Takes the first `head` bytes out of a file, or, on a file system that cannot, makes
/// them a hole, which takes no room.
fn shorten(file: &File, head: u64) -> io::Result<()> {
    let head = i64::try_from(head).unwrap_or(i64::MAX);
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    match fallocate(file, FallocateFlags::FALLOC_FL_COLLAPSE_RANGE, 0, head) {
        Err(Errno::EOPNOTSUPP | Errno::EINVAL) => fallocate(file, hole, 0, head)?,
        shortened => shortened?,
    }
    Ok(())
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
    use std::fs;
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

    /// Everything that was ever written, from the logs that were moved aside and the rest.
    fn written(aside: &[u8], log: &Path) -> Vec<u8> {
        let mut all = aside.to_owned();
        all.extend(
            fs::read(log)
                .unwrap()
                .into_iter()
                .skip_while(|&byte| byte == 0),
        );
        all
    }

    #[test]
    fn a_log_is_shortened_and_what_is_written_meanwhile_is_not_lost() {
        // The file systems differ in what they can do.
        for root in [std::env::temp_dir(), "/dev/shm".into()] {
            let folder = tempfile::tempdir_in(&root).unwrap();
            let log = folder.path().join("1.log");
            fs::write(&log, "").unwrap();
            let writer = {
                let mut open = OpenOptions::new().append(true).open(&log).unwrap();
                std::thread::spawn(move || {
                    for line in 0..100_000 {
                        writeln!(open, "line {line}").unwrap();
                    }
                })
            };
            let (mut aside, mut rotations) = (Vec::new(), 0);
            while !writer.is_finished() {
                rotate(&log, 100_000).unwrap();
                let moved = fs::read(log.with_extension("log.1")).unwrap_or_default();
                if !moved.is_empty() {
                    aside.extend(moved);
                    fs::remove_file(log.with_extension("log.1")).unwrap();
                    rotations += 1;
                }
            }
            writer.join().unwrap();
            let all = String::from_utf8(written(&aside, &log)).unwrap();
            let lost = (0..100_000)
                .zip(all.lines())
                .find(|(at, line)| *line != format!("line {at}"));
            assert_eq!(lost, None, "in {}", root.display());
            assert_eq!(all.lines().count(), 100_000);
            assert!(rotations > 1, "{rotations} in {}", root.display());
            rotate(&log, 0).unwrap();
            let taken = fs::metadata(&log).unwrap().blocks() * 512;
            assert!(taken <= 2 * BLOCK, "{taken} bytes in {}", root.display());
        }
    }

    #[test]
    fn a_log_that_is_not_too_long_stays() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("1.log");
        fs::write(&log, [b'a'; 100]).unwrap();
        rotate(&log, 100).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), 100);
        assert!(!log.with_extension("log.1").exists());
        rotate(&folder.path().join("none"), 0).unwrap();
    }
}
