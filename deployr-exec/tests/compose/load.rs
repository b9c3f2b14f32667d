use crate::support::{Target, load, spec};

/// The compose tool takes a second and a half of a processor for each: twenty when there is time.
fn releases() -> i64 {
    match std::env::var_os("DEPLOYR_SOAK") {
        Some(_) => 21,
        None => 7,
    }
}

/// What is reached, and what that asks for each page.
const FILE: &str = "
services:
  web:
    image: busybox:test
    init: true
    command:
      - sh
      - -c
      - mkdir -p /www/cgi-bin && cp /site/page.sh /www/cgi-bin/index.cgi &&
        chmod +x /www/cgi-bin/index.cgi && exec httpd -f -p 8000 -h /www
    volumes: ['./:/site:ro']
    ports: [8000]
  api:
    image: busybox:test
    init: true
    command: httpd -f -p 7000 -h /site
    volumes: ['./number:/site:ro']
";

/// The number of the release, if both services are of the same; unhealthy without the other.
const PAGE: &str = "#!/bin/sh
api=$(wget -q -O - http://api:7000/) || printf 'Status: 503 No API\\r\\n'
own=$(cat /site/number/index.html)
[ \"$api\" = \"$own\" ] || own=\"$own with $api\"
printf 'Content-Type: text/plain\\r\\nContent-Length: %s\\r\\n\\r\\n%s' ${#own} \"$own\"
";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn releases_under_load_lose_and_mix_no_request() {
    let target = Target::new();
    let live = async |number: i64| {
        let page = number.to_string();
        let files = [
            ("compose.yaml", FILE),
            ("page.sh", PAGE),
            ("number/index.html", &page),
        ];
        let checkout = target.checkout(&files);
        target.deploy(&spec(number), &checkout).await.unwrap()
    };
    load::under_load(&target.executor, &spec(1).slug, releases(), live).await;
    assert_eq!(target.containers().len(), 2);
    assert_eq!(target.networks().len(), 2, "its own, and that of all");
}
