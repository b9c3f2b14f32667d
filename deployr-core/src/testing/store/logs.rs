use super::bench::{Bench, assert_refused};
use crate::log::{LogLine, LogStream, MAX_LINE_BYTES};
use crate::store::{LOG_READ_BYTES, NewLine, StoreError};
use crate::system::Clock;

super::check_list! {
    lines_are_read_as_they_were_written,
    append_overlap_is_idempotent_and_a_gap_is_refused,
    large_batches_are_stored_whole_and_in_order,
    reading_goes_on_from_any_line,
    a_read_gives_so_much_text_at_most,
    the_log_goes_on_over_attempts,
}

fn lines(b: &Bench, numbers: std::ops::RangeInclusive<i64>) -> Vec<NewLine> {
    let line = |n| NewLine {
        at: b.clock.now(),
        stream: if n % 2 == 0 {
            LogStream::Stdout
        } else {
            LogStream::Stage
        },
        text: format!("line {n} \u{1f680}\tend"),
    };
    numbers.map(line).collect()
}

async fn lines_are_read_as_they_were_written(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let id = deployment.id;
    assert_eq!(b.store.last_line(b.tenant(), id).await.unwrap(), 0);
    assert!(
        b.store
            .read_log(b.tenant(), id, 0, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        b.store
            .append_log(&claim, id, 1, lines(&b, 1..=3))
            .await
            .unwrap(),
        4
    );
    assert_eq!(
        b.store.append_log(&claim, id, 4, Vec::new()).await.unwrap(),
        4
    );
    assert_eq!(b.store.last_line(b.tenant(), id).await.unwrap(), 3);
    let numbered = |(seq, line): (i64, NewLine)| {
        let NewLine { at, stream, text } = line;
        LogLine {
            seq,
            at,
            stream,
            text,
        }
    };
    let want: Vec<_> = (1..).zip(lines(&b, 1..=3)).map(numbered).collect();
    assert_eq!(b.store.read_log(b.tenant(), id, 0, 10).await.unwrap(), want);
}

async fn append_overlap_is_idempotent_and_a_gap_is_refused(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let id = deployment.id;
    let append = async |first, numbers| {
        b.store
            .append_log(&claim, id, first, lines(&b, numbers))
            .await
    };
    assert_eq!(append(1, 1..=4).await.unwrap(), 5);
    assert_eq!(append(1, 1..=4).await.unwrap(), 5, "the same batch");
    assert_eq!(
        append(3, 103..=106).await.unwrap(),
        7,
        "the first two are there"
    );
    assert_eq!(append(2, 2..=3).await.unwrap(), 7, "all are there");
    match append(8, 8..=8).await {
        Err(StoreError::LogGap {
            deployment,
            expected: 7,
        }) if deployment == id => {}
        answer => panic!("a gap must be refused, not {answer:?}"),
    }
    let log = b.store.read_log(b.tenant(), id, 0, 100).await.unwrap();
    let want = [lines(&b, 1..=4), lines(&b, 105..=106)].concat();
    let texts: Vec<_> = log.iter().map(|line| &line.text).collect();
    assert_eq!(
        texts,
        want.iter().map(|line| &line.text).collect::<Vec<_>>()
    );
    assert!(log.iter().map(|line| line.seq).eq(1..=6));
}

async fn large_batches_are_stored_whole_and_in_order(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let id = deployment.id;
    for (first, last) in [(1, 200), (151, 1_000)] {
        let next = b
            .store
            .append_log(&claim, id, first, lines(&b, first..=last))
            .await
            .unwrap();
        assert_eq!(next, last + 1);
    }
    let log = b.store.read_log(b.tenant(), id, 0, 2_000).await.unwrap();
    assert!(log.iter().map(|line| line.seq).eq(1..=1_000));
    for (line, want) in log.iter().zip(lines(&b, 1..=1_000)) {
        assert_eq!((&line.text, line.stream), (&want.text, want.stream));
    }
}

async fn reading_goes_on_from_any_line(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let id = deployment.id;
    b.store
        .append_log(&claim, id, 1, lines(&b, 1..=25))
        .await
        .unwrap();
    for after in [0, 1, 24, 25, 99] {
        let part = b.store.read_log(b.tenant(), id, after, 10).await.unwrap();
        let want = after + 1..=(after + 10).min(25);
        assert!(
            part.iter().map(|line| line.seq).eq(want),
            "after {after}: {part:?}"
        );
    }
    assert_refused!(
        b.store.read_log(b.tenant(), b.deployment_id(), 0, 1).await,
        NotFound
    );
}

async fn a_read_gives_so_much_text_at_most(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let id = deployment.id;
    let text = "x".repeat(MAX_LINE_BYTES);
    let line = NewLine {
        at: b.clock.now(),
        stream: LogStream::Stdout,
        text,
    };
    let (all, first) = (150, LOG_READ_BYTES / MAX_LINE_BYTES);
    b.store
        .append_log(&claim, id, 1, vec![line; all])
        .await
        .unwrap();
    let mut read = 0;
    for part in [first, first, all - 2 * first, 0] {
        let lines = b.store.read_log(b.tenant(), id, read, 1_000).await.unwrap();
        assert_eq!(lines.len(), part, "after line {read}");
        read += part as i64;
    }
}

async fn the_log_goes_on_over_attempts(b: Bench) {
    let (_, deployment, first) = b.held().await;
    let id = deployment.id;
    b.store
        .append_log(&first, id, 1, lines(&b, 1..=2))
        .await
        .unwrap();
    b.store.release(&first).await.unwrap();
    let second = b.claim().await;
    let last = b.store.last_line(b.tenant(), id).await.unwrap();
    assert_eq!(
        b.store
            .append_log(&second, id, last + 1, lines(&b, 3..=3))
            .await
            .unwrap(),
        4
    );
    assert_refused!(
        b.store.append_log(&first, id, 4, lines(&b, 4..=4)).await,
        LeaseLost
    );
    assert_eq!(b.store.last_line(b.tenant(), id).await.unwrap(), 3);
}
