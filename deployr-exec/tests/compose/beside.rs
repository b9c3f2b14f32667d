//! Generations beside each other, and what is kept beside them.

use std::time::{Duration, Instant};

use deployr_core::executor::Executor;

use crate::support::{Target, get, set, spec, verdict};

const FILE: &str = "
services:
  web:
    build: .
    ports: ['8080:8000']
    environment: {GREETING: hello, TOKEN: 'x'}
    depends_on: {data: {condition: service_healthy}}
  api:
    image: busybox:test
    command: httpd -f -p 7000 -h /site
    volumes: ['./api:/site']
  data:
    image: busybox:test
    init: true
    command: httpd -f -p 6000 -h /data
    volumes: ['data:/data']
    healthcheck: {test: 'echo kept > /data/index.html', interval: 1s}
volumes: {data: {}}
";

/// Answers with what it has in its environment, and with what its neighbours say.
const WEB: &str = "FROM busybox:test
COPY page.sh /cgi-bin/index.cgi
RUN chmod +x /cgi-bin/index.cgi
CMD [\"httpd\", \"-f\", \"-p\", \"8000\", \"-h\", \"/\"]
";
const PAGE: &str = "#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
wget -q -O - http://api:7000/ http://data:6000/
printf '%s|%s|%s|%s' \"$GREETING\" \"$TOKEN\" \"$DOCKER_TOKEN\" \"$DEPLOYR_RELEASE\"
";

fn files(api: &str) -> [(&str, &str); 4] {
    [
        ("compose.yaml", FILE),
        ("Dockerfile", WEB),
        ("page.sh", PAGE),
        ("api/index.html", api),
    ]
}

async fn page(address: std::net::SocketAddr) -> String {
    get(address).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_generation_has_its_own_services_and_all_have_what_is_kept() {
    let target = Target::new();
    let token = "a $HOME ${X} $$ `id` 'q' \"d\" \\ \u{e9}";
    let mut first = spec(1);
    set(&mut first, "TOKEN", token);
    // One that the tool would take for its own.
    set(&mut first, "DOCKER_TOKEN", token);
    let began = Instant::now();
    let (done, log) = target
        .deploy_with_log(&first, &target.checkout(&files("one\n")))
        .await;
    eprintln!("deployed in {:?}: {log}", began.elapsed());
    let one = done.unwrap();
    assert!(log.contains("data is kept"), "{log}");
    assert_eq!(
        page(one).await,
        format!("one\nkept\nhello|{token}|{token}|1")
    );

    let kept = |target: &Target| {
        let all = target.containers();
        let (id, _) = all
            .iter()
            .find(|(_, name)| name.contains("data"))
            .unwrap()
            .clone();
        id
    };
    let data = kept(&target);
    let two = target
        .deploy(&spec(2), &target.checkout(&files("two\n")))
        .await
        .unwrap();
    assert_eq!(page(two).await, "two\nkept\nhello|x||2");
    assert_eq!(
        page(one).await,
        format!("one\nkept\nhello|{token}|{token}|1"),
        "beside it"
    );
    assert_eq!(kept(&target), data, "it was not touched");

    target
        .executor
        .retire(&first.slug, 1, Duration::from_secs(1))
        .await
        .unwrap();
    let names: Vec<String> = target
        .containers()
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(target.networks().iter().all(|name| !name.contains("_1_")));
    assert_eq!(page(two).await, "two\nkept\nhello|x||2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_starts_nothing_and_says_why() {
    let target = Target::new();
    let text = "services: {web: {image: 'busybox:test', volumes: ['${X:-/}:/host'], ports: [80]}}";
    let refused = target
        .deploy(&spec(1), &target.checkout(&[("compose.yml", text)]))
        .await;
    let message = verdict(refused).message;
    assert!(message.contains("services.web.volumes"), "{message}");
    assert!(target.containers().is_empty());
}
