//! What goes into a log sink comes out of the store: whole, in order, numbered.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::bus::{EventBus, Hint, LocalBus};
use deployr_core::log::{LogLimits, LogLine, LogSink, LogStream, LogTarget, Redactor};
use deployr_core::model::{Claim, DeploymentId, Fence, JobId, WorkerId};
use deployr_core::store::{Logs, NewLine, StoreError, StoreResult};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::TenantId;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Keeps lines under the rules of `Logs::append_log`, and is away, or at work without
/// an end, when told to be.
struct Shelf {
    lines: Mutex<Vec<NewLine>>,
    away: AtomicU32,
    writes: AtomicU32,
    /// Has one permit; a write takes it and gives it back.
    desk: Semaphore,
}

#[async_trait]
impl Logs for Shelf {
    async fn append_log(
        &self,
        _claim: &Claim,
        deployment: DeploymentId,
        first: i64,
        lines: Vec<NewLine>,
    ) -> StoreResult<i64> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        let _at_work = self.desk.acquire().await.unwrap();
        let away = self.away.load(Ordering::SeqCst);
        let unavailable = StoreError::Unavailable {
            operation: "append",
            reason: "away".into(),
        };
        if away > 0 && away % 2 == 1 {
            self.away.fetch_sub(1, Ordering::SeqCst);
            return Err(unavailable);
        }
        let mut kept = self.lines.lock().unwrap();
        let expected = kept.len() as i64 + 1;
        if first > expected {
            return Err(StoreError::LogGap {
                deployment,
                expected,
            });
        }
        let known = (expected - first) as usize;
        kept.extend(lines.into_iter().skip(known));
        let next = kept.len() as i64 + 1;
        if away > 0 {
            // The answer is lost after the work is done.
            self.away.fetch_sub(1, Ordering::SeqCst);
            return Err(unavailable);
        }
        Ok(next)
    }

    async fn read_log(
        &self,
        _: &TenantId,
        _: DeploymentId,
        _: i64,
        _: u32,
    ) -> StoreResult<Vec<LogLine>> {
        unreachable!("a sink does not read")
    }

    async fn last_line(&self, _: &TenantId, _: DeploymentId) -> StoreResult<i64> {
        unreachable!("a sink does not read")
    }
}

struct Bench {
    shelf: Arc<Shelf>,
    bus: LocalBus,
    lost: CancellationToken,
    sink: LogSink,
}

fn bench(secrets: &[&str], limits: LogLimits) -> Bench {
    let (now, entropy) = (SystemClock.now(), &SystemEntropy);
    let (shelf, bus, lost) = (
        Arc::new(Shelf {
            lines: Mutex::default(),
            away: AtomicU32::new(0),
            writes: AtomicU32::new(0),
            desk: Semaphore::new(1),
        }),
        LocalBus::default(),
        CancellationToken::new(),
    );
    let target = LogTarget {
        store: shelf.clone(),
        bus: Arc::new(bus.clone()),
        clock: Arc::new(SystemClock),
        claim: Claim {
            job: JobId::new(now, entropy),
            fence: Fence(1),
            worker: WorkerId::new(now, entropy),
        },
        deployment: DeploymentId::new(now, entropy),
        lost: lost.clone(),
        trouble: Arc::default(),
    };
    let redactor = Arc::new(Redactor::new(secrets.iter().copied()));
    Bench {
        sink: LogSink::start(target, 1, redactor, limits),
        shelf,
        bus,
        lost,
    }
}

impl Bench {
    async fn texts(self) -> Vec<String> {
        self.sink.close().await.unwrap();
        self.shelf
            .lines
            .lock()
            .unwrap()
            .iter()
            .map(|line| line.text.clone())
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn lines_keep_their_order_over_streams_and_pieces() {
    let bench = bench(&[], LogLimits::default());
    let log = bench.sink.writer();
    log.say("first").await;
    log.write(LogStream::Stdout, b"sec").await;
    log.write(LogStream::Stdout, b"ond\nthi").await;
    log.write(LogStream::Stderr, b"from stderr\n").await;
    log.write(LogStream::Stdout, b"rd\nno newline at the end")
        .await;
    assert_eq!(
        bench.texts().await,
        [
            "first",
            "second",
            "from stderr",
            "third",
            "no newline at the end"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_flush_returns_when_all_before_it_is_stored() {
    let bench = bench(
        &[],
        LogLimits {
            batch_age: Duration::from_secs(3600),
            ..LogLimits::default()
        },
    );
    let log = bench.sink.writer();
    for n in 0..10 {
        log.say(n.to_string()).await;
    }
    log.flush().await;
    assert_eq!(bench.shelf.lines.lock().unwrap().len(), 10);
    assert_eq!(
        bench.shelf.writes.load(Ordering::SeqCst),
        1,
        "one batch, not ten"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_written_once_it_is_old_enough_and_then_announced() {
    let bench = bench(&[], LogLimits::default());
    let mut hints = bench.bus.subscribe();
    bench.sink.writer().say("hello").await;
    assert!(matches!(hints.next().await, Hint::Deployment(_)));
    assert_eq!(bench.shelf.lines.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_costs_no_line_and_doubles_none() {
    let bench = bench(
        &[],
        LogLimits {
            batch_lines: 7,
            ..LogLimits::default()
        },
    );
    bench.shelf.away.store(9, Ordering::SeqCst);
    let log = bench.sink.writer();
    for n in 0..100 {
        log.say(format!("line {n}")).await;
    }
    let expected: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
    assert_eq!(bench.texts().await, expected);
}

#[tokio::test(start_paused = true)]
async fn lines_that_come_during_a_write_are_written_together_after_it() {
    let bench = bench(&[], LogLimits::default());
    let log = bench.sink.writer();
    let busy = bench.shelf.desk.acquire().await.unwrap();
    // The clock of these tests goes on only where nothing else is left to do.
    let patience = Duration::from_secs(60);
    for n in 0..1_000 {
        timeout(patience, log.say(n.to_string())).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let writes = || bench.shelf.writes.load(Ordering::SeqCst);
    assert_eq!(writes(), 1, "one at a time");
    // A flush waits for the write under way too.
    let mut flush = std::pin::pin!(log.flush());
    assert!(timeout(patience, &mut flush).await.is_err());
    drop(busy);
    flush.await;
    assert_eq!(writes(), 2);
    let expected: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    assert_eq!(bench.texts().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_stuck_holds_the_writers_back() {
    let bench = bench(&[], LogLimits::default());
    let log = bench.sink.writer();
    let stuck = bench.shelf.desk.acquire().await.unwrap();
    let line = "x".repeat(127) + "\n";
    let piece = line.repeat(256);
    let mut taken = 0;
    // Ends only when a write finds no room for a minute.
    while timeout(
        Duration::from_secs(60),
        log.write(LogStream::Stdout, piece.as_bytes()),
    )
    .await
    .is_ok()
    {
        taken += piece.len();
        assert!(taken < 8 << 20, "no more than a few MiB may be held");
    }
    drop(stuck);
    assert_eq!(
        bench.texts().await.len(),
        taken / line.len(),
        "what was taken is kept"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_ends_the_sink_and_frees_its_writers() {
    let bench = bench(&[], LogLimits::default());
    bench.shelf.away.store(u32::MAX, Ordering::SeqCst);
    let log = bench.sink.writer();
    log.say("never stored, or not known to be").await;
    bench.lost.cancel();
    let closed = bench.sink.close().await;
    assert!(
        matches!(closed, Err(StoreError::LeaseLost { .. })),
        "{closed:?}"
    );
    // More than the queue holds: a writer must not wait for a sink that is gone.
    for _ in 0..1_000 {
        log.say("nobody listens").await;
    }
    log.flush().await;
}

#[tokio::test(start_paused = true)]
async fn an_endless_output_keeps_its_beginning_and_its_end() {
    let limits = LogLimits {
        total: 10_000,
        tail: 1_000,
        ..LogLimits::default()
    };
    let bench = bench(&[], limits);
    let log = bench.sink.writer();
    for n in 0..100_000 {
        log.write(LogStream::Stdout, format!("line {n}\n").as_bytes())
            .await;
    }
    log.say("the engine's own lines are always kept").await;
    let texts = bench.texts().await;
    assert_eq!(texts[0], "line 0");
    assert_eq!(texts[texts.len() - 2], "line 99999");
    assert_eq!(
        texts[texts.len() - 1],
        "the engine's own lines are always kept"
    );
    let marker: Vec<_> = texts
        .iter()
        .filter(|text| text.contains("lines are left out here"))
        .collect();
    assert_eq!(marker.len(), 1, "{marker:?}");
    let size: usize = texts.iter().map(String::len).sum();
    assert!(size < 11_000, "{size}");
    let left_out: usize = marker[0].split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(
        texts.len() - 2 + left_out,
        100_000,
        "every line is kept or counted"
    );
}

#[tokio::test(start_paused = true)]
async fn an_endless_output_of_empty_lines_ends_too() {
    let limits = LogLimits {
        total: 10_000,
        tail: 1_000,
        ..LogLimits::default()
    };
    let bench = bench(&[], limits);
    let log = bench.sink.writer();
    for _ in 0..100 {
        log.write(LogStream::Stdout, &[b'\n'; 1_000]).await;
    }
    let texts = bench.texts().await;
    assert_eq!(
        texts.len(),
        10_001,
        "the lines, and one that says what is missing"
    );
    assert!(
        texts[9_000].contains(" 90000 lines are left out here"),
        "{}",
        texts[9_000]
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_does_not_reach_the_store() {
    let bench = bench(&["hunter2-hunter2"], LogLimits::default());
    let log = bench.sink.writer();
    log.write(LogStream::Stdout, b"the password is hunter2-")
        .await;
    log.write(LogStream::Stdout, b"hunter2, twice: aHVudGVyMi1odW50ZXIy\n")
        .await;
    log.say("also not in our words: hunter2-hunter2").await;
    let text = bench.texts().await.join("\n");
    assert!(
        !text.contains("hunter2-hunter2") && !text.contains("aHVudGVyMi1odW50ZXIy"),
        "{text}"
    );
    assert_eq!(text.matches("[redacted]").count(), 3, "{text}");
}
