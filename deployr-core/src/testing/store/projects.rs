use std::time::Duration;

use super::bench::{Bench, assert_refused, sealed, settings};
use crate::model::{Actor, AuditAction, Page};
use crate::store::StoreError;
use crate::system::Clock;
use crate::value::{EnvName, TenantId};

super::check_list! {
    a_project_is_found_by_key_and_by_slug,
    a_slug_is_taken_only_once_over_all_tenants,
    lists_page_by_key_newest_first,
    new_settings_replace_the_old,
    variables_are_set_replaced_and_removed_by_name,
    audit_tells_of_projects_newest_first,
}

async fn a_project_is_found_by_key_and_by_slug(b: Bench) {
    let made = b.project("app").await;
    assert_eq!(b.store.project(b.tenant(), made.id).await.unwrap(), made);
    assert_eq!(
        b.store
            .project_by_slug(b.tenant(), &made.slug)
            .await
            .unwrap(),
        made
    );
    assert_eq!(
        (made.created_at, made.updated_at),
        (b.clock.now(), b.clock.now())
    );
    assert_refused!(b.store.project(b.tenant(), b.project_id()).await, NotFound);
}

async fn a_slug_is_taken_only_once_over_all_tenants(b: Bench) {
    let first = b.project("app").await;
    let stranger = Actor::new(TenantId::parse("other").unwrap(), "eve");
    for actor in [&b.actor, &stranger] {
        assert_refused!(
            b.store.create_project(actor, b.new_project("app")).await,
            Conflict
        );
    }
    let same_id = crate::store::NewProject {
        id: first.id,
        ..b.new_project("free")
    };
    assert_refused!(b.store.create_project(&b.actor, same_id).await, Conflict);
    assert_eq!(
        b.store.projects(b.tenant(), Page::first(10)).await.unwrap(),
        [first]
    );
}

async fn lists_page_by_key_newest_first(b: Bench) {
    let mut projects = Vec::new();
    for n in 0..5 {
        projects.insert(0, b.project(&format!("app{n}")).await);
    }
    let mut seen = Vec::new();
    let mut page = Page::first(2);
    loop {
        let rows = b.store.projects(b.tenant(), page).await.unwrap();
        let Some(last) = rows.last() else { break };
        assert!(rows.len() <= 2);
        page = page.after(last.id);
        seen.extend(rows);
    }
    assert_eq!(seen, projects);

    let (project, other) = (projects[0].id, projects[1].id);
    let mut made = Vec::new();
    for n in 0..5 {
        let of = if n == 2 { other } else { project };
        made.insert(0, b.deployment(of).await.id);
    }
    let ids = |rows: Vec<crate::model::Deployment>| -> Vec<_> {
        rows.into_iter().map(|row| row.id).collect()
    };
    let all = b
        .store
        .deployments(b.tenant(), None, Page::first(10))
        .await
        .unwrap();
    assert_eq!(ids(all), made);
    let page = Page::first(2).after(made[1]);
    let part = b
        .store
        .deployments(b.tenant(), Some(project), page)
        .await
        .unwrap();
    assert_eq!(ids(part), [made[3], made[4]]);
    let unknown = Some(b.project_id());
    let none = b
        .store
        .deployments(b.tenant(), unknown, Page::first(2))
        .await
        .unwrap();
    assert!(none.is_empty());
}

async fn new_settings_replace_the_old(b: Bench) {
    let made = b.project("app").await;
    b.clock.advance(Duration::from_secs(1));
    let new = crate::model::ProjectSettings {
        keep_releases: 9,
        ..settings()
    };
    let updated = b
        .store
        .update_project(&b.actor, made.id, new.clone())
        .await
        .unwrap();
    assert_eq!(updated.settings, new);
    assert_eq!(
        (updated.created_at, updated.updated_at),
        (made.created_at, b.clock.now())
    );
    assert_eq!(b.store.project(b.tenant(), made.id).await.unwrap(), updated);
}

async fn variables_are_set_replaced_and_removed_by_name(b: Bench) {
    let project = b.project("app").await.id;
    let name = |text: &str| EnvName::parse(text).unwrap();
    let set = async |n: &str, value| {
        b.store
            .set_env(&b.actor, project, &name(n), value)
            .await
            .unwrap();
    };
    set("B", Some(sealed(1))).await;
    set("A", Some(sealed(2))).await;
    set("B", Some(sealed(3))).await;
    set("ABSENT", None).await;
    let read = async || -> Vec<_> {
        let rows = b.store.env(b.tenant(), project).await.unwrap();
        rows.into_iter()
            .map(|row| (row.name.as_str().to_owned(), row.value))
            .collect()
    };
    assert_eq!(
        read().await,
        [("A".to_owned(), sealed(2)), ("B".to_owned(), sealed(3))]
    );
    set("A", None).await;
    assert_eq!(read().await, [("B".to_owned(), sealed(3))]);
    let unknown = b.project_id();
    let refused = b.store.set_env(&b.actor, unknown, &name("A"), None).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })));
}

async fn audit_tells_of_projects_newest_first(b: Bench) {
    let project = b.project("app").await.id;
    b.store
        .update_project(&b.actor, project, settings())
        .await
        .unwrap();
    let name = EnvName::parse("TOKEN").unwrap();
    b.store
        .set_env(&b.actor, project, &name, Some(sealed(1)))
        .await
        .unwrap();
    let entries = b.store.audit(b.tenant(), Page::first(10)).await.unwrap();
    let told: Vec<_> = entries.iter().map(|entry| entry.action).collect();
    use AuditAction::{EnvChanged, ProjectCreated, ProjectUpdated};
    assert_eq!(told, [EnvChanged, ProjectUpdated, ProjectCreated]);
    assert_eq!(entries[0].detail, "TOKEN");
    assert!(
        entries
            .iter()
            .all(|entry| entry.actor == "ada" && entry.project == Some(project))
    );
    let rest = b
        .store
        .audit(b.tenant(), Page::first(1).after(entries[0].seq))
        .await
        .unwrap();
    assert_eq!(rest, entries[1..2]);
}
