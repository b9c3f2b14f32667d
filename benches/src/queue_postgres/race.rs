//! Workers in processes of their own, from their start until no job is left.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// Jobs that this process has handled, if it is one of those workers.
pub(super) static HANDLED: AtomicUsize = AtomicUsize::new(0);

/// What no race takes.
const LIMIT: Duration = Duration::from_secs(120);

/// Has the workers carry out so many jobs. They print `ready`, wait for a line, and print how
/// many jobs they have handled so far. The time ends when there are none `left`.
pub(super) fn race(
    workers: &mut [Command],
    jobs: usize,
    mut left: impl FnMut() -> Result<i64, Error>,
) -> Result<Duration, Error> {
    let (sender, counts) = channel();
    let mut running = Vec::new();
    for (n, command) in workers.iter_mut().enumerate() {
        running.push(Worker::start(command, n, sender.clone())?);
    }
    let mut handled = vec![0; workers.len()];
    for _ in 0..workers.len() {
        let (_, count) = counts.recv_timeout(LIMIT)?;
        if count != 0 {
            return Err("a worker did not wait for the start".into());
        }
    }
    let began = Instant::now();
    for worker in &mut running {
        worker.go()?;
    }
    while handled.iter().sum::<usize>() < jobs {
        let (n, count) = counts
            .recv_timeout(LIMIT)
            .map_err(|_| format!("{handled:?} of {jobs} jobs were handled"))?;
        handled[n] = count;
    }
    while left()? > 0 {
        if began.elapsed() > LIMIT {
            return Err(format!("{} jobs are left", left()?).into());
        }
        thread::sleep(Duration::from_micros(500));
    }
    Ok(began.elapsed())
}

/// Killed when dropped.
struct Worker(Child);

impl Worker {
    fn start(
        command: &mut Command,
        n: usize,
        counts: Sender<(usize, usize)>,
    ) -> Result<Self, Error> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let output = child.stdout.take().ok_or("no output")?;
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let count = if line == "ready" {
                    Some(0)
                } else {
                    line.parse().ok()
                };
                if count.is_none_or(|count| counts.send((n, count)).is_err()) {
                    return;
                }
            }
        });
        Ok(Self(child))
    }

    fn go(&mut self) -> Result<(), Error> {
        let input = self.0.stdin.as_mut().ok_or("no input")?;
        Ok(input.write_all(b"go\n")?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In the worker: says that it is ready, and waits for the start.
pub(super) fn on_your_marks() -> Result<(), Error> {
    println!("ready");
    std::io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

/// In the worker: tells for ever how many jobs were handled.
pub(super) fn tell() -> ! {
    let mut told = 0;
    loop {
        thread::sleep(Duration::from_millis(2));
        let handled = HANDLED.load(Ordering::Relaxed);
        if handled != told {
            println!("{handled}");
            told = handled;
        }
    }
}
