use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use deployr_core::error::StepError;
use deployr_core::ingress::Ingress;
use deployr_testkit::caddy::Caddy;
use tempfile::TempDir;

use super::support::{HOST, a_route, ask, folder, get, ingress, route};

/// `project/releases/1` with a page, as the local executor lays it out. Its data directory
/// begins with a dot, as it does by default.
fn project() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let release = dir.path().join(".deployr/project/releases/1");
    fs::create_dir_all(release.join("about")).unwrap();
    fs::create_dir_all(release.join("empty")).unwrap();
    fs::write(release.join("index.html"), "home").unwrap();
    fs::write(release.join("about/index.html"), "about").unwrap();
    fs::write(release.join("a b.txt"), "0123456789").unwrap();
    fs::write(release.join("[slug]-*.js"), "slug").unwrap();
    (dir, release)
}

#[tokio::test]
async fn files_and_folders_are_served() {
    let (_dir, release) = project();
    let caddy = Caddy::start();
    let at = caddy.listen();
    route(&ingress(&caddy), folder(&release, false), 4).await;

    let home = get(at, HOST, "/");
    assert_eq!((home.status, home.body.as_str()), (200, "home"));
    assert_eq!(home.header("x-deployr-release"), Some("4"));
    assert!(
        home.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert_eq!(home.header("cache-control"), Some("no-cache"));
    assert_eq!(home.header("last-modified"), None);
    assert_eq!(get(at, HOST, "/about/").body, "about");
    let bare = get(at, HOST, "/about?x=1");
    // Caddy before 2.7 forgets the query.
    assert!(bare.status == 308 && bare.header("location").unwrap().starts_with("/about/"));
    assert_eq!(get(at, HOST, "/a%20b.txt").body, "0123456789");
    for missing in ["/none", "/index.html/x", "/empty/"] {
        let answer = get(at, HOST, missing);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (404, "404 Not Found\n"),
            "{missing}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let ask = |method| ask(at, &format!("{method} / HTTP/1.1\r\nhost: {HOST}\r\n"));
    assert_eq!(ask("POST").status, 405);
    let head = ask("HEAD");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("4"))
    );
}

#[tokio::test]
async fn ranges_and_tags_do_not_mix_releases() {
    let (dir, release) = project();
    let caddy = Caddy::start();
    let ingress = ingress(&caddy);
    let with = |headers: &str| {
        ask(
            caddy.listen(),
            &format!("GET /a%20b.txt HTTP/1.1\r\nhost: {HOST}\r\n{headers}"),
        )
    };
    route(&ingress, folder(&release, false), 1).await;
    let part = with("range: bytes=2-4\r\n");
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    let tag = part.header("etag").unwrap().to_owned();
    let known = format!("if-none-match: {tag}\r\n");
    let same_part = format!("range: bytes=2-4\r\nif-range: {tag}\r\n");
    assert_eq!(with(&known).status, 304);
    assert_eq!(with(&same_part).status, 206);

    // The next release's file has the same size and date, and says otherwise.
    let next = dir.path().join(".deployr/project/releases/2");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("a b.txt"), "abcdefghij").unwrap();
    let changed = fs::metadata(release.join("a b.txt"))
        .unwrap()
        .modified()
        .unwrap();
    let file = fs::File::options()
        .write(true)
        .open(next.join("a b.txt"))
        .unwrap();
    file.set_modified(changed).unwrap();
    route(&ingress, folder(&next, false), 2).await;
    let since = "if-modified-since: Fri, 01 Jan 2038 00:00:00 GMT\r\n";
    for headers in [&known, &same_part, since] {
        let whole = with(headers);
        assert_eq!(
            (whole.status, whole.body.as_str()),
            (200, "abcdefghij"),
            "{headers}"
        );
    }
}

#[tokio::test]
async fn hidden_files_are_not_served() {
    let (_dir, release) = project();
    for hidden in [
        ".env",
        ".deployr-release",
        ".git/config",
        "about/.env",
        "about/.well-known/x",
    ] {
        let path = release.join(hidden);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "hidden").unwrap();
    }
    fs::create_dir(release.join(".well-known")).unwrap();
    fs::write(release.join(".well-known/x"), "known").unwrap();
    symlink(".env", release.join("plain")).unwrap();
    symlink(".git", release.join("git[*]")).unwrap();
    let caddy = Caddy::start();
    for (turn, single_page) in [(1, false), (2, true)] {
        route(&ingress(&caddy), folder(&release, single_page), turn).await;
        for path in [
            "/.env",
            "/%2eenv",
            "/.deployr-release",
            "/.git/config",
            "/about/.env",
            "/about/.well-known/x",
            "/about/../.env",
            "/.well-known/../.env",
            "/plain",
            "/git%5B*%5D/config",
            "/.git",
        ] {
            let answer = get(caddy.listen(), HOST, path);
            assert_eq!(
                (answer.status, answer.body.contains("hidden")),
                (404, false),
                "{path}"
            );
        }
        assert_eq!(get(caddy.listen(), HOST, "/.well-known/x").body, "known");
    }
}

#[tokio::test]
async fn no_path_and_no_link_leads_out() {
    let (dir, release) = project();
    let project = dir.path().join(".deployr/project");
    fs::create_dir_all(project.join("shared/uploads")).unwrap();
    fs::create_dir_all(project.join("releases/2")).unwrap();
    fs::write(project.join("shared/uploads/cat.txt"), "cat").unwrap();
    fs::write(project.join("shared/.env"), "secret").unwrap();
    for secret in ["secret.txt", "releases/secret.txt", "releases/2/secret.txt"] {
        fs::write(project.join(secret), "secret").unwrap();
    }
    symlink("../../shared/uploads", release.join("uploads")).unwrap();
    symlink("../../shared/.env", release.join("env")).unwrap();
    symlink("../../secret.txt", release.join("out")).unwrap();
    symlink("../../../secret.txt", release.join("about/beside")).unwrap();
    symlink("../2", release.join("other")).unwrap();
    symlink("/etc", release.join("etc")).unwrap();
    symlink("loop", release.join("loop")).unwrap();
    symlink("index.html", release.join("inside")).unwrap();

    let caddy = Caddy::start();
    let at = caddy.listen();
    route(&ingress(&caddy), folder(&release, false), 1).await;
    for path in [
        "/../../etc/passwd",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%2f..%2fsecret.txt",
        "/about/../../secret.txt",
        "/etc/passwd",
        "/ETC/passwd",
        "/etc",
        "/etc/",
        "/out",
        "/about/beside",
        "/other/secret.txt",
        "/env",
        "//etc/passwd",
        "/./etc/passwd",
        "/about/../etc/passwd",
        "/%2fetc/passwd",
    ] {
        let answer = get(at, HOST, path);
        assert_eq!(
            (answer.status, answer.body.contains("root:")),
            (404, false),
            "{path}"
        );
    }
    assert_ne!(get(at, HOST, "/loop").status, 200);
    assert_eq!(get(at, HOST, "/uploads/cat.txt").body, "cat");
    assert_eq!(get(at, HOST, "/inside").body, "home");
}

#[tokio::test]
async fn a_single_page_answers_for_unknown_paths() {
    let (_dir, release) = project();
    let caddy = Caddy::start();
    let at = caddy.listen();
    route(&ingress(&caddy), folder(&release, true), 1).await;
    for path in [
        "/cart/items/3",
        "/none.js",
        "/about/none",
        "/cart?x=1",
        "/empty/",
    ] {
        let answer = get(at, HOST, path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "home"),
            "{path}"
        );
        assert!(
            answer
                .header("content-type")
                .unwrap()
                .starts_with("text/html")
        );
    }
    assert_eq!(get(at, HOST, "/about/").body, "about");
    assert_eq!(get(at, HOST, "/a%20b.txt").body, "0123456789");
    assert_eq!(get(at, HOST, "/%5Bslug%5D-*.js").body, "slug");
}

/// Caddy has variables in paths: what cannot be said to it is refused, and not said wrongly.
#[tokio::test]
async fn names_that_caddy_would_read_otherwise_are_refused() {
    let (dir, release) = project();
    symlink("/etc", release.join("{env.HOME}")).unwrap();
    let caddy = Caddy::start();
    let ingress = ingress(&caddy);
    let refused =
        async |path: &Path| match ingress.route(a_route("shop", folder(path, false), 1)).await {
            Err(StepError::Fault(fault)) if !fault.retryable => fault.reason,
            other => panic!("must be refused: {other:?}"),
        };
    assert!(refused(&release).await.contains("rename it"));
    let braces = dir.path().join("{x}");
    fs::create_dir(&braces).unwrap();
    assert!(refused(&braces).await.contains("rename it"));
    assert_eq!(ingress.routes().await.unwrap(), []);
}
