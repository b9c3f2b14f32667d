//! Images of a registry that wants a login.

use std::fs;

use deployr_core::error::StepError;
use deployr_core::model::{Images, Login};
use deployr_core::value::{EnvName, LoginName, RegistryHost};
use deployr_testkit::docker::Registry;

use crate::support::{Target, get, set, spec};

#[tokio::test(flavor = "multi_thread")]
async fn services_are_built_and_fetched_with_the_logins_of_their_project() {
    let registry = Registry::shared();
    let target = Target::new();
    let (base, ready) = (
        registry.push("busybox:test", "base"),
        registry.push("busybox:test", "ready"),
    );
    let file = format!(
        "services:\n  web: {{build: ., ports: [8000]}}\n  side: {{image: '{ready}', init: true, command: sleep 600}}\n"
    );
    let dockerfile = format!(
        "FROM {base}\nRUN mkdir /site && echo -n from a registry >/site/index.html\n\
         CMD [\"httpd\", \"-f\", \"-p\", \"8000\", \"-h\", \"/site\"]\n"
    );
    let files = [("compose.yaml", file.as_str()), ("Dockerfile", &dockerfile)];
    let refused = target.deploy(&spec(1), &target.checkout(&files)).await;
    assert!(
        matches!(refused, Err(StepError::Verdict(_) | StepError::Fault(_))),
        "{refused:?}"
    );

    let mut with = spec(2);
    let login = Login {
        username: LoginName::parse(registry.user()).unwrap(),
        password: EnvName::parse("REGISTRY_TOKEN").unwrap(),
    };
    with.recipe.images = Images {
        logins: [(RegistryHost::parse(registry.host()).unwrap(), login)].into(),
        ..Images::default()
    };
    set(&mut with, "REGISTRY_TOKEN", registry.password());
    set(&mut with, "OTHER", "there");
    let (done, log) = target
        .deploy_with_log(&with, &target.checkout(&files))
        .await;
    let address = done.unwrap_or_else(|error| panic!("{error}: {log}"));
    assert_eq!(get(address).await.as_deref(), Ok("from a registry"));
    for (id, name) in target.containers() {
        let env = target.docker(&["exec", &id, "env"]);
        assert!(
            env.contains("OTHER=there") && !env.contains("REGISTRY_TOKEN"),
            "{name}: {env}"
        );
    }
    assert_eq!(
        fs::read_dir(target.logins()).unwrap().count(),
        0,
        "nothing stays"
    );
}
