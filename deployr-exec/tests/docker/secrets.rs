//! What builds are given: arguments, which stay in the image, and secrets, which stay nowhere.

use std::fs;
use std::process::{Command, Stdio};

use deployr_core::builder::{Artifact, ArtifactContent, BuildSpec, Builder};
use deployr_core::error::{StepError, VerdictCode};
use deployr_core::value::{EnvName, EnvValue};
use sha2::{Digest, Sha256};

use crate::builds::Bench;
use crate::support::{eventually, verdict};

/// Every sign that some shell, file or format takes for more than itself.
const ODD: &str =
    "a $HOME ${X} $$ `id` 'q' \"d\" \\ \\n #{x} %s * ; & | < > !\t\u{e9}\nsecond=line";

/// The same as a string of TOML.
const ODD_TOML: &str =
    r#""a $HOME ${X} $$ `id` 'q' \"d\" \\ \\n #{x} %s * ; & | < > !\té\nsecond=line""#;

impl Bench {
    fn with_buildkit() -> Self {
        let mut bench = Self::new();
        bench.builder = bench.builder.buildkit(true);
        bench
    }

    async fn of(&self, toml: &str, dockerfile: &str) -> BuildSpec {
        let dockerfile = format!("FROM busybox:test\n{dockerfile}");
        self.spec(&[("deployr.toml", toml), ("Dockerfile", &dockerfile)], None)
            .await
    }

    /// What a command prints in a container of an image.
    fn says(&self, image: &Artifact, command: &[&str]) -> String {
        let run = ["run", "--rm", "--network", "none", id(image)];
        self.docker.run(&[&run[..], command].concat())
    }
}

fn id(image: &Artifact) -> &str {
    match &image.content {
        ArtifactContent::Image(id) => id,
        other => panic!("{other:?}"),
    }
}

fn set(spec: &mut BuildSpec, name: &str, value: &str) {
    let (name, value) = (EnvName::parse(name), EnvValue::parse(value));
    spec.env.insert(name.unwrap(), value.unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_of_deployr_toml_arrive_byte_for_byte_by_both_builders() {
    let bench = Bench::with_buildkit();
    for by in ["", "buildkit = true\n"] {
        let toml = format!("[images]\n{by}[images.args]\nPLAIN = \"one\"\nODD = {ODD_TOML}\n");
        let dockerfile = "ARG PLAIN=none\nARG ODD\nARG OTHER=default\n\
                          RUN printf '%s|%s|%s' \"$PLAIN\" \"$OTHER\" \"$ODD\" >/said\n";
        let build = bench.of(&toml, dockerfile).await;
        let image = bench.build(&build).await.unwrap();
        let said = bench.says(&image, &["cat", "/said"]);
        assert_eq!(said, format!("one|default|{ODD}"), "{by}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_no_layer_and_no_history() {
    let bench = Bench::with_buildkit();
    let secret = format!("canary-of-a-secret {ODD}");
    let dockerfile = "RUN --mount=type=secret,id=NPM_TOKEN \
                      sha256sum /run/secrets/NPM_TOKEN | cut -c 1-64 >/sum\n\
                      RUN test ! -e /run/secrets/NPM_TOKEN && ! env | grep cana[r]y && \
                      echo a word that stays >/known\n";
    let mut build = bench
        .of("images.secrets = [\"NPM_TOKEN\"]\n", dockerfile)
        .await;
    set(&mut build, "NPM_TOKEN", &secret);
    set(&mut build, "OTHER", "canary-of-a-variable");
    let image = bench.build(&build).await.unwrap();
    let sum: String = Sha256::digest(secret.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        bench.says(&image, &["cat", "/sum"]),
        sum,
        "it arrived as it is"
    );

    // All layers and what describes them, as they lie in the engine.
    let file = bench.root.path().join("image.tar");
    bench
        .docker
        .run(&["save", "--output", file.to_str().unwrap(), id(&image)]);
    let all = fs::read(&file).unwrap();
    let holds = |text: &str| {
        all.windows(text.len())
            .any(|piece| piece == text.as_bytes())
    };
    assert!(
        holds("a word that stays"),
        "this is where it would be found"
    );
    assert!(!holds("canary"), "in a layer");
    let history = bench.docker.run(&["history", "--no-trunc", id(&image)]);
    assert!(history.contains("id=NPM_TOKEN") || history.contains("NPM_TOKEN"));
    assert!(!history.contains("canary"), "{history}");
    let said = bench.docker.run(&["inspect", id(&image)]);
    assert!(!said.contains("canary"), "{said}");
    let settings = bench.root.path().join(".logins");
    assert_eq!(fs::read_dir(settings).unwrap().count(), 0);
    assert_eq!(bench.left(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_project_has_built_with_a_secret_is_not_found_by_another() {
    let bench = Bench::with_buildkit();
    let dockerfile = "ARG ROUND\n\
                      RUN --mount=type=secret,id=TOKEN --mount=type=cache,id=all,target=/cache \
                      cat /cache/seen >/seen; cat /run/secrets/TOKEN >/got; cp /got /cache/seen; true\n";
    let toml = |round: u8| format!("[images]\nsecrets = [\"TOKEN\"]\nargs.ROUND = \"{round}\"\n");
    let mut first = bench.of(&toml(1), dockerfile).await;
    set(&mut first, "TOKEN", "one");
    let image = bench.build(&first).await.unwrap();
    assert_eq!(bench.says(&image, &["cat", "/seen", "/got"]), "one");
    let mut again = bench.of(&toml(2), dockerfile).await;
    again.project = first.project;
    set(&mut again, "TOKEN", "two");
    let image = bench.build(&again).await.unwrap();
    let both = bench.says(&image, &["cat", "/seen", "/got"]);
    assert_eq!(both, "onetwo", "its own cache");
    // The very lines of the first, by somebody who has no such secret.
    let without = toml(1).replace("secrets = [\"TOKEN\"]", "buildkit = true");
    let other = bench.of(&without, dockerfile).await;
    let image = bench.build(&other).await.unwrap();
    assert_eq!(bench.says(&image, &["cat", "/seen", "/got"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_refused_where_they_cannot_be_kept() {
    let bench = Bench::new();
    let mut build = bench
        .of("images.secrets = [\"TOKEN\"]\n", "RUN true\n")
        .await;
    set(&mut build, "TOKEN", "x");
    let refused = verdict(bench.build(&build).await);
    assert_eq!(refused.code, VerdictCode::Unsupported);
    assert!(refused.message.contains("docker_buildkit"), "{refused}");

    let bench = Bench::with_buildkit();
    let build = bench
        .of("images.secrets = [\"TOKEN\"]\n", "RUN true\n")
        .await;
    let refused = verdict(bench.build(&build).await);
    assert_eq!(refused.code, VerdictCode::ConfigInvalid);
    assert!(refused.message.contains("deployr env set"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_by_buildkit_ends_with_its_deployment_and_says_why_it_failed() {
    let bench = Bench::with_buildkit();
    let build = bench
        .of("images.buildkit = true\n", "RUN echo why >&2; exit 7\n")
        .await;
    let failed = verdict(bench.build(&build).await);
    assert_eq!(failed.code, VerdictCode::BuildFailed);
    assert!(failed.message.contains("exit code: 7"), "{failed}");
    let said = bench.step.said().await;
    assert!(said.iter().any(|line| line.ends_with("why")), "{said:?}");

    let bench = Bench::with_buildkit();
    let build = bench
        .of("images.buildkit = true\n", "RUN exec sleep 7654.321\n")
        .await;
    let runs = || {
        let mut pgrep = Command::new("pgrep");
        let found = pgrep
            .args(["-fx", "sleep 7654.321"])
            .stdout(Stdio::null())
            .status();
        found.unwrap().success()
    };
    let cancel = bench.step.ctx.cancel.clone();
    let (ended, ()) = tokio::join!(bench.build(&build), async {
        eventually("the step", runs).await;
        cancel.cancel();
    });
    assert!(matches!(ended, Err(StepError::Stopped)), "{ended:?}");
    eventually("its end", || !runs()).await;
    assert_eq!(bench.left(), [""; 0]);
    bench.builder.clean(&build.workspace).await.unwrap();
}
