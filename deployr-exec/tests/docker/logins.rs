//! Images of a registry that wants a login, for builds and for releases.

use std::fs;

use deployr_core::builder::{ArtifactContent, Builder};
use deployr_core::error::StepError;
use deployr_core::executor::Executor;
use deployr_core::model::{Images, Login};
use deployr_core::testing::RecordedStep;
use deployr_core::value::{EnvName, EnvValue, LoginName, RegistryHost};
use deployr_testkit::docker::Registry;

use crate::builds::Bench;
use crate::support::{SERVER, Target, set, spec, verdict};

fn toml(registry: &Registry, more: &str) -> String {
    format!(
        "{more}[images.logins.\"{}\"]\nusername = \"{}\"\npassword = \"REGISTRY_TOKEN\"\n",
        registry.host(),
        registry.user()
    )
}

fn token(value: &str) -> (EnvName, EnvValue) {
    let name = EnvName::parse("REGISTRY_TOKEN").unwrap();
    (name, EnvValue::parse(value).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_may_begin_with_an_image_of_ones_own_registry() {
    let registry = Registry::shared();
    let mut bench = Bench::new();
    bench.builder = bench.builder.buildkit(true);
    for (name, by) in [("classic", ""), ("kit", "images.buildkit = true\n")] {
        let base = registry.push("busybox:test", name);
        let dockerfile = format!("FROM {base}\nRUN ! env | grep REGISTRY && echo built >/here\n");
        let build = async |toml: &str, password: Option<&str>| {
            let files = [("deployr.toml", toml), ("Dockerfile", &dockerfile)];
            let mut build = bench.spec(&files, None).await;
            if let Some(password) = password {
                let (name, value) = token(password);
                build.env.insert(name, value).unwrap();
            }
            bench.build(&build).await
        };
        let with_login = toml(registry, by);
        let none = verdict(build(by, None).await);
        assert!(none.message.contains("images.logins"), "{none}");
        let wrong = verdict(build(&with_login, Some("wrong")).await);
        assert!(wrong.message.contains("images.logins"), "{wrong}");
        let missing = verdict(build(&with_login, None).await);
        assert!(missing.message.contains("REGISTRY_TOKEN"), "{missing}");
        let image = build(&with_login, Some(registry.password())).await.unwrap();
        let ArtifactContent::Image(id) = &image.content else {
            panic!("{image:?}")
        };
        let said =
            bench.docker.run(&["inspect", id]) + &bench.docker.run(&["history", "--no-trunc", id]);
        assert!(!said.contains(registry.password()), "{said}");
        let settings = bench.root.path().join(".logins");
        let left = fs::read_dir(settings).map_or(0, Iterator::count);
        assert_eq!(left, 0, "nothing stays");
        // For the next.
        bench.docker.run(&["rmi", "--force", id]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_releases_run_on_an_image_of_ones_own_registry() {
    let registry = Registry::shared();
    let target = Target::new();
    let base = registry.push("busybox:test", "tools");
    let mut bench = Bench::new();
    bench.builder = bench.builder.clone().image(&base);
    let files = toml(registry, "");
    let line = "mkdir out; env >out/index.html";
    let mut build = bench.spec(&[("deployr.toml", &files)], Some(line)).await;
    let (name, value) = token(registry.password());
    build.env.insert(name, value).unwrap();
    let artifact = bench.build(&build).await.unwrap();
    let ArtifactContent::Folder(folder) = &artifact.content else {
        panic!("{artifact:?}")
    };
    let env = fs::read_to_string(folder.join("index.html")).unwrap();
    assert!(
        env.contains("CI=") && !env.contains("REGISTRY_TOKEN"),
        "{env}"
    );

    let base = registry.push("busybox:test", "runtime");
    let executor = target.executor.clone().base_image(&base);
    let mut release = spec(1, SERVER);
    let step = RecordedStep::new();
    let refused = executor.prepare(&release, &artifact, &step.ctx).await;
    let Err(StepError::Fault(refused)) = refused else {
        panic!("{refused:?}")
    };
    assert!(
        !refused.retryable && refused.to_string().contains("images.logins"),
        "{refused}"
    );
    release.recipe.images = Images {
        logins: [(
            RegistryHost::parse(registry.host()).unwrap(),
            Login {
                username: LoginName::parse(registry.user()).unwrap(),
                password: EnvName::parse("REGISTRY_TOKEN").unwrap(),
            },
        )]
        .into(),
        ..Images::default()
    };
    set(&mut release, "REGISTRY_TOKEN", registry.password());
    set(&mut release, "OTHER", "there");
    crate::support::deploy(&executor, &release, &artifact, 1)
        .await
        .unwrap();
    let env = target.docker(&["exec", &target.container(1), "env"]);
    assert!(
        env.contains("OTHER=there") && !env.contains("REGISTRY_TOKEN"),
        "{env}"
    );
    bench.builder.clean(&build.workspace).await.unwrap();
}
