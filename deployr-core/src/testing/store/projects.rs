use std::time::Duration;

use super::bench::{Bench, assert_refused, sealed, settings};
use crate::model::{Actor, AuditAction, Page};
use crate::store::{NewProject, StoreError};
use crate::system::Clock;
use crate::value::{EnvName, ProjectName, TenantId};

super::check_list! {
    a_project_is_found_by_key_by_name_and_by_slug,
    a_name_is_taken_only_once_in_a_tenant,
    a_project_is_created_with_its_environment,
    a_slug_is_taken_only_once_over_all_tenants,
    of_a_hundred_who_want_a_slug_at_once_one_gets_it,
    lists_page_by_key_newest_first,
    new_settings_replace_the_old,
    variables_are_set_replaced_and_removed_by_name,
    audit_tells_of_projects_newest_first,
}

async fn a_project_is_found_by_key_by_name_and_by_slug(b: Bench) {
    let made = b.project("app").await;
    let now = b.clock.now();
    assert_eq!((made.created_at, made.updated_at), (now, now));
    assert_eq!(b.store.project(b.tenant(), made.id).await.unwrap(), made);
    let blog = NewProject {
        name: ProjectName::parse("My Blog").unwrap(),
        ..b.new_project("my-blog")
    };
    let blog = b.store.create_project(&b.actor, blog).await.unwrap();
    // A name comes before somebody else's slug.
    let namesake = NewProject {
        name: ProjectName::parse("my-blog").unwrap(),
        ..b.new_project("my-blog-2")
    };
    for (asked, wanted) in [("app", &made), ("MY BLOG", &blog), ("my-blog", &blog)] {
        let asked = ProjectName::parse(asked).unwrap();
        let found = b.store.find_project(b.tenant(), &asked).await.unwrap();
        assert_eq!(found, *wanted);
    }
    let namesake = b.store.create_project(&b.actor, namesake).await.unwrap();
    let found = b.store.find_project(b.tenant(), &namesake.name).await;
    assert_eq!(found.unwrap(), namesake);
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
    let same_id = NewProject {
        id: first.id,
        ..b.new_project("free")
    };
    assert_refused!(b.store.create_project(&b.actor, same_id).await, Conflict);
    assert_eq!(
        b.store.projects(b.tenant(), Page::first(10)).await.unwrap(),
        [first]
    );
}

async fn a_name_is_taken_only_once_in_a_tenant(b: Bench) {
    b.project("app").await;
    let again = NewProject {
        name: ProjectName::parse("APP").unwrap(),
        ..b.new_project("other-slug")
    };
    let refused = b.store.create_project(&b.actor, again.clone()).await;
    assert!(
        matches!(
            &refused,
            Err(StoreError::Conflict {
                what: "project",
                ..
            })
        ),
        "{refused:?}"
    );
    let stranger = Actor::new(TenantId::parse("other").unwrap(), "eve");
    b.store.create_project(&stranger, again).await.unwrap();
}

async fn a_project_is_created_with_its_environment(b: Bench) {
    let name = EnvName::parse("PORT_NAME").unwrap();
    let new = NewProject {
        env: vec![(name.clone(), sealed(1))],
        ..b.new_project("app")
    };
    let project = b.store.create_project(&b.actor, new).await.unwrap();
    let env = b.store.env(b.tenant(), project.id).await.unwrap();
    assert_eq!(env.len(), 1);
    assert_eq!(env[0].name, name);
}

async fn of_a_hundred_who_want_a_slug_at_once_one_gets_it(b: Bench) {
    let create = |n: u32| {
        let b = &b;
        async move {
            let tenant = TenantId::parse(format!("tenant-{n}")).unwrap();
            let actor = Actor::new(tenant, "ada");
            b.store.create_project(&actor, b.new_project("shop")).await
        }
    };
    let answers = futures::future::join_all((0..100).map(create)).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for refused in lost {
        assert_refused!(refused, Conflict);
    }
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
        keep_releases: crate::value::KeepReleases::new(9).unwrap(),
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
