use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::bench::{Bench, branch, page};
use super::tree::{Entry, Tree, read_tree};
use crate::error::{StepError, StepResult};
use crate::source::{Credentials, Source};
use crate::testing::RecordedStep;
use crate::testing::ingress::HttpServer;
use crate::testing::suite::{PATIENCE, check_list, eventually, in_time};
use crate::value::{GitRef, GitUrl};

check_list! { Arc<Bench>;
    a_call_that_is_cancelled_before_it_begins_does_nothing,
    a_call_that_is_cancelled_leaves_all_usable,
    a_server_that_never_answers_is_left_on_request,
    credentials_are_told_to_nobody,
}

pub(super) fn checks() -> &'static [(&'static str, CheckFn)] {
    CHECKS
}

fn assert_stopped<T: std::fmt::Debug>(answer: &StepResult<T>) {
    assert!(
        matches!(answer, Err(StepError::Stopped)),
        "must be `Stopped`, not {answer:?}"
    );
}

async fn a_call_that_is_cancelled_before_it_begins_does_nothing(b: Arc<Bench>) {
    let id = b.push("main", &page("one")).await;
    let cancelled = RecordedStep::new().ctx;
    cancelled.cancel.cancel();
    let folder = b.harness.folder().await;
    // At first there is nothing to begin with; then all is there already.
    for _ in 0..2 {
        let (source, main) = (b.source(), branch("main"));
        let resolve = b.provider.resolve(&source, &main, &cancelled);
        assert_stopped(&in_time("resolve", resolve).await);
        assert_stopped(&b.checkout(&id, &folder, &cancelled).await);
        assert_eq!(read_tree(&folder).unwrap(), Tree::new());
        assert_eq!(b.found(&main).await, id);
        assert_eq!(b.checked_out(&id).await, page("one"));
    }
}

async fn a_call_that_is_cancelled_leaves_all_usable(b: Arc<Bench>) {
    let mut tree = Tree::new();
    for n in 0..60 {
        tree.insert(format!("d{}/f{n}", n % 10), Entry::File(vec![b'x'; 2_000]));
    }
    for n in 0..5_u32 {
        tree.insert("n".to_owned(), Entry::File(n.to_le_bytes().to_vec()));
        let id = b.push("main", &tree).await;
        let (step, folder) = (RecordedStep::new(), b.harness.folder().await);
        let call = async {
            let (source, main) = (b.source(), branch("main"));
            b.provider.resolve(&source, &main, &step.ctx).await?;
            b.provider.checkout(&source, &id, &folder, &step.ctx).await
        };
        // Somewhere on the way, a little further each time.
        let cancel = async {
            tokio::time::sleep(Duration::from_micros(700) * n).await;
            step.ctx.cancel.cancel();
        };
        match in_time("a cancelled checkout", futures::future::join(call, cancel))
            .await
            .0
        {
            Ok(commit) => assert_eq!(
                (commit.id, read_tree(&folder).unwrap()),
                (id.clone(), tree.clone())
            ),
            stopped => assert_stopped(&stopped),
        }
        assert_eq!(b.found(&branch("main")).await, id);
        assert_eq!(b.checked_out(&id).await, tree);
    }
}

async fn a_server_that_never_answers_is_left_on_request(b: Arc<Bench>) {
    let server = HttpServer::start("too late", 2 * PATIENCE);
    let Some(url) = b.harness.on_server(server.address()) else {
        return;
    };
    let id = b.push("main", &page("one")).await;
    let (source, main) = (super::bench::public(url), branch("main"));
    let step = RecordedStep::new();
    let cancel = async {
        eventually("a request", || server.asked() > 0).await;
        step.ctx.cancel.cancel();
    };
    let resolve = b.provider.resolve(&source, &main, &step.ctx);
    let both = futures::future::join(resolve, cancel);
    assert_stopped(&in_time("a cancelled resolve", both).await.0);
    assert_eq!(b.found(&main).await, id);
}

/// Presents a password to `url` in a call that fails, and looks for it in all that
/// comes of that.
async fn present(b: &Bench, url: GitUrl, canary: &str) {
    let source = Source {
        credentials: Some(Credentials::Password {
            user: "x-access-token".to_owned(),
            password: canary.into(),
        }),
        ..super::bench::public(url)
    };
    let (step, reference): (_, GitRef) = (RecordedStep::new(), branch("main"));
    let call = b.provider.resolve(&source, &reference, &step.ctx);
    let error = in_time("resolve", call).await.unwrap_err();
    let told = [
        error.to_string(),
        format!("{error:?}"),
        format!("{source:?}"),
        step.said().await.join("\n"),
    ];
    let encoded = STANDARD.encode(format!("x-access-token:{canary}"));
    for text in told {
        let leak = text.contains(canary) || text.contains(&encoded);
        assert!(!leak, "the password is in: {text}");
    }
}

async fn credentials_are_told_to_nobody(b: Arc<Bench>) {
    let canary = "canary-4711-of-the-suite";
    present(&b, b.harness.nowhere(), canary).await;
    let server = HttpServer::start("no repository", Duration::ZERO);
    if let Some(url) = b.harness.on_server(server.address()) {
        present(&b, url, canary).await;
        assert!(server.asked() > 0, "the server was asked");
    }
}
