use std::sync::Arc;

use futures::future::join_all;

use super::bench::{Bench, branch, page, public, tag, verdict};
use crate::error::VerdictCode;
use crate::testing::RecordedStep;
use crate::testing::suite::{check_list, in_time};
use crate::value::{CommitId, GitRef};

check_list! { Arc<Bench>;
    a_branch_a_tag_and_a_commit_are_found,
    a_branch_and_a_tag_of_one_name_are_told_apart,
    a_push_is_seen_by_the_next_resolve,
    a_branch_that_is_set_back_or_removed_is_followed,
    a_look_up_finds_a_branch_a_tag_and_the_default_branch,
    a_look_up_refuses_what_is_not_there,
    an_unknown_ref_is_named,
    an_unknown_repository_is_named,
    resolves_at_the_same_time_agree,
}

pub(super) fn checks() -> &'static [(&'static str, CheckFn)] {
    CHECKS
}

async fn a_branch_a_tag_and_a_commit_are_found(b: Arc<Bench>) {
    let first = b.push("main", &page("one")).await;
    let second = b.push("main", &page("two")).await;
    let other = b.push("feature/login", &page("three")).await;
    b.tag("v1", &first, false).await;
    b.tag("v2", &second, true).await;
    let by_id = |id: &CommitId| GitRef::Commit(id.clone());
    for (reference, id) in [
        (branch("main"), &second),
        (branch("feature/login"), &other),
        (tag("v1"), &first),
        // The commit, and not the object that the tag is.
        (tag("v2"), &second),
        (by_id(&first), &first),
        (by_id(&other), &other),
    ] {
        let found = b.resolve(&reference).await.unwrap();
        assert_eq!(found.id, *id, "{reference:?}");
        let summary = found.summary;
        let fits = summary.chars().count() <= 200 && !summary.contains(char::is_control);
        assert!(fits, "one line of at most 200 characters, not {summary:?}");
    }
}

async fn a_branch_and_a_tag_of_one_name_are_told_apart(b: Arc<Bench>) {
    let old = b.push("stable", &page("one")).await;
    b.tag("stable", &old, false).await;
    let new = b.push("stable", &page("two")).await;
    assert_eq!(b.found(&branch("stable")).await, new);
    assert_eq!(b.found(&tag("stable")).await, old);
}

async fn a_push_is_seen_by_the_next_resolve(b: Arc<Bench>) {
    for text in ["one", "two", "three"] {
        let pushed = b.push("main", &page(text)).await;
        assert_eq!(b.found(&branch("main")).await, pushed);
        let restarted = Bench::new(Arc::clone(&b.harness)).await;
        assert_eq!(restarted.found(&branch("main")).await, pushed);
    }
}

async fn a_branch_that_is_set_back_or_removed_is_followed(b: Arc<Bench>) {
    let main = branch("main");
    let GitRef::Branch(name) = &main else {
        unreachable!()
    };
    let first = b.push("main", &page("one")).await;
    let second = b.push("main", &page("two")).await;
    b.push("other", &page("other")).await;
    assert_eq!(b.found(&main).await, second);
    b.harness.point(name, Some(&first)).await;
    assert_eq!(b.found(&main).await, first);
    let instead = b.push("main", &page("instead")).await;
    assert_eq!(b.found(&main).await, instead);
    b.harness.point(name, None).await;
    b.refused(&main).await;
}

async fn an_unknown_ref_is_named(b: Arc<Bench>) {
    b.push("main", &page("one")).await;
    let never = CommitId::parse("0123456789".repeat(4)).unwrap();
    for reference in [branch("mian"), tag("v9"), GitRef::Commit(never)] {
        let words = b.refused(&reference).await.message;
        let named = words.contains(reference.name());
        assert!(named, "{reference:?} is not named in: {words}");
    }
    assert!(
        b.resolve(&branch("main")).await.is_ok(),
        "the others are there"
    );
}

async fn an_unknown_repository_is_named(b: Arc<Bench>) {
    b.push("main", &page("one")).await;
    let nowhere = public(b.harness.nowhere());
    let main = branch("main");
    for _ in 0..2 {
        let call = b.provider.resolve(&nowhere, &main, &b.step.ctx);
        let answer = in_time("resolve", call).await;
        let words = verdict(answer, VerdictCode::RepositoryRefused).message;
        let named = words.contains(nowhere.url.as_str());
        assert!(named, "{} is not named in: {words}", nowhere.url);
    }
}

async fn resolves_at_the_same_time_agree(b: Arc<Bench>) {
    let id = b.push("main", &page("one")).await;
    let benches = join_all((0..8).map(|_| Bench::new(Arc::clone(&b.harness)))).await;
    let tasks = benches.into_iter().enumerate().map(|(n, mut own)| {
        // Some share a provider, as deployments do; some share nothing but the
        // repository, as engines do.
        if n % 2 == 0 {
            own.provider = Arc::clone(&b.provider);
        }
        own.step = RecordedStep::new();
        tokio::spawn(async move { own.found(&branch("main")).await })
    });
    for found in join_all(tasks).await {
        assert_eq!(found.unwrap(), id);
    }
}

async fn a_look_up_finds_a_branch_a_tag_and_the_default_branch(b: Arc<Bench>) {
    let first = b.push("main", &page("one")).await;
    assert_eq!(b.look_up(None).await.unwrap(), branch("main"));
    b.push("next", &page("two")).await;
    b.tag("v1", &first, true).await;
    for wanted in [branch("next"), tag("v1"), GitRef::Commit(first)] {
        assert_eq!(b.look_up(Some(&wanted)).await.unwrap(), wanted);
    }
}

async fn a_look_up_refuses_what_is_not_there(b: Arc<Bench>) {
    verdict(b.look_up(None).await, VerdictCode::RefNotFound);
    b.push("main", &page("one")).await;
    for wanted in [branch("v1"), tag("main")] {
        let refused = verdict(b.look_up(Some(&wanted)).await, VerdictCode::RefNotFound);
        assert!(refused.message.contains(wanted.name()), "{refused}");
    }
    let nowhere = public(b.harness.nowhere());
    let call = b.provider.look_up(&nowhere, None, &b.step.ctx);
    verdict(
        in_time("look_up", call).await,
        VerdictCode::RepositoryRefused,
    );
}
