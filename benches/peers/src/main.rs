//! `peer graphile|apalis enqueue URL JOBS BATCH`, `... run URL CONCURRENCY` and
//! `... latency URL SAMPLES`: what `cargo xtask bench queue-postgres` starts.
//!
//! `enqueue` prints the seconds that it took; `latency` milliseconds from the call that
//! enqueues a job to its handler, one for each sample. `run` prints `ready`, waits for a
//! line, and then prints how many jobs have been handled so far, until it is killed.

mod apalis;
mod graphile;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Jobs that were handled.
static HANDLED: AtomicUsize = AtomicUsize::new(0);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["graphile", "enqueue", url, jobs, batch] => {
            println!("{}", graphile::enqueue(url, jobs.parse()?, batch.parse()?).await?);
        }
        ["graphile", "run", url, concurrency] => graphile::run(url, concurrency.parse()?).await?,
        ["graphile", "latency", url, samples] => graphile::latency(url, samples.parse()?).await?,
        ["apalis", "enqueue", url, jobs, batch] => {
            println!("{}", apalis::enqueue(url, jobs.parse()?, batch.parse()?).await?);
        }
        ["apalis", "run", url, concurrency] => apalis::run(url, concurrency.parse()?).await?,
        ["apalis", "latency", url, samples] => apalis::latency(url, samples.parse()?).await?,
        _ => return Err(format!("no such call: {args:?}").into()),
    }
    Ok(())
}

/// Says `ready`, and waits for the start.
async fn on_your_marks() -> Result<(), Error> {
    println!("ready");
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await?;
    Ok(())
}

/// Tells for ever how many jobs were handled.
async fn tell() {
    let mut told = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let handled = HANDLED.load(Ordering::Relaxed);
        if handled != told {
            println!("{handled}");
            told = handled;
        }
    }
}

/// Where handlers tell that they were entered.
#[derive(Debug, Clone)]
struct Starts(UnboundedSender<Instant>);

fn starts() -> (Starts, UnboundedReceiver<Instant>) {
    let (sender, receiver) = unbounded_channel();
    (Starts(sender), receiver)
}

/// Enqueues one job after the other, each when the last has long begun.
async fn samples<F: Future<Output = Result<(), Error>>>(
    count: usize,
    mut starts: UnboundedReceiver<Instant>,
    mut enqueue: impl FnMut() -> F,
) -> Result<(), Error> {
    // Until the worker listens.
    tokio::time::sleep(Duration::from_millis(500)).await;
    // The first few find cold caches.
    for sample in 0..count + 10 {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let began = Instant::now();
        enqueue().await?;
        let started = tokio::time::timeout(Duration::from_secs(10), starts.recv()).await?;
        let started = started.ok_or("the worker is gone")?;
        if sample >= 10 {
            println!("{}", started.duration_since(began).as_secs_f64() * 1e3);
        }
    }
    Ok(())
}
