use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, time::Duration};

use deployr_core::executor::Endpoint;
use tempfile::TempDir;

use super::support::{get, ingress, raw, route};

const HOST: &str = "shop.localhost";

/// `project/releases/1` with a page, as the local executor lays it out.
fn project() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let release = dir.path().join("project/releases/1");
    fs::create_dir_all(release.join("about")).unwrap();
    fs::write(release.join("index.html"), "home").unwrap();
    fs::write(release.join("about/index.html"), "about").unwrap();
    fs::write(release.join("a b.txt"), "0123456789").unwrap();
    (dir, release)
}

fn folder(path: &Path, single_page: bool) -> Endpoint {
    Endpoint::Folder {
        path: path.to_owned(),
        single_page,
    }
}

#[tokio::test]
async fn files_and_folders_are_served() {
    let (_dir, release) = project();
    let ingress = ingress().await;
    route(&ingress, 4, folder(&release, false), 1).await;

    let home = get(&ingress, HOST, "/").await;
    assert_eq!(
        (home.status, home.body.as_str(), home.release()),
        (200, "home", 4)
    );
    assert_eq!(home.header("content-type"), Some("text/html"));
    assert_eq!(get(&ingress, HOST, "/about/").await.body, "about");
    let bare = get(&ingress, HOST, "//about?x=1").await;
    assert_eq!(
        (bare.status, bare.header("location")),
        (307, Some("/about/?x=1"))
    );
    assert_eq!(get(&ingress, HOST, "/a%20b.txt").await.body, "0123456789");
    for missing in ["/none", "/index.html/", "/index.html/x", "/a%00b", "/%ff"] {
        assert_eq!(get(&ingress, HOST, missing).await.status, 404, "{missing}");
    }
    let long = get(&ingress, HOST, &format!("/{}", "x".repeat(300))).await;
    assert_eq!(long.status, 404);
    let ask = |method| format!("{method} / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    assert_eq!(raw(&ingress, &ask("POST")).await.status, 405);
    let head = raw(&ingress, &ask("HEAD")).await;
    assert_eq!(
        (
            head.status,
            head.header("content-length"),
            head.body.as_str()
        ),
        (200, Some("4"), "")
    );
}

async fn with(
    ingress: &deployr_exec::ingress::BuiltinIngress,
    headers: &str,
) -> super::support::Answer {
    raw(
        ingress,
        &format!("GET /a%20b.txt HTTP/1.1\r\nhost: {HOST}\r\n{headers}connection: close\r\n\r\n"),
    )
    .await
}

#[tokio::test]
async fn ranges_and_tags_do_not_mix_releases() {
    let (dir, release) = project();
    let ingress = ingress().await;
    route(&ingress, 1, folder(&release, false), 1).await;
    let part = with(&ingress, "range: bytes=2-4\r\n").await;
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    assert_eq!(with(&ingress, "range: bytes=50-\r\n").await.status, 416);

    let tag = part.header("etag").unwrap().to_owned();
    let known = format!("if-none-match: {tag}\r\n");
    let same_part = format!("range: bytes=2-4\r\nif-range: {tag}\r\n");
    assert_eq!(with(&ingress, &known).await.status, 304);
    assert_eq!(with(&ingress, &same_part).await.status, 206);

    // The next release's file is older, as after a rollback, and says otherwise.
    let next = dir.path().join("project/releases/2");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("a b.txt"), "abcdefghij").unwrap();
    let file = fs::File::options()
        .write(true)
        .open(next.join("a b.txt"))
        .unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - Duration::from_secs(1000))
        .unwrap();
    route(&ingress, 2, folder(&next, false), 2).await;
    let since = "if-modified-since: Fri, 01 Jan 2038 00:00:00 GMT\r\n";
    for headers in [&known, &same_part, since] {
        let whole = with(&ingress, headers).await;
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
    for single_page in [false, true] {
        let ingress = ingress().await;
        route(&ingress, 1, folder(&release, single_page), 1).await;
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
            "/.git",
        ] {
            let answer = get(&ingress, HOST, path).await;
            assert_eq!(
                (answer.status, answer.body.contains("hidden")),
                (404, false),
                "{path}"
            );
        }
        assert_eq!(get(&ingress, HOST, "/.well-known/x").await.body, "known");
    }
}

#[tokio::test]
async fn no_path_and_no_link_leads_out() {
    let (dir, release) = project();
    let project = dir.path().join("project");
    fs::create_dir_all(project.join("shared/uploads")).unwrap();
    fs::create_dir_all(project.join("releases/2")).unwrap();
    fs::write(project.join("shared/uploads/cat.txt"), "cat").unwrap();
    fs::write(project.join("shared/.env"), "secret").unwrap();
    for secret in ["secret.txt", "releases/secret.txt", "releases/2/secret.txt"] {
        fs::write(project.join(secret), "secret").unwrap();
    }
    fs::write(dir.path().join("secret.txt"), "secret").unwrap();
    symlink("../../shared/uploads", release.join("uploads")).unwrap();
    symlink("../../shared/.env", release.join("env")).unwrap();
    symlink("../../../secret.txt", release.join("out")).unwrap();
    symlink("../../secret.txt", release.join("beside")).unwrap();
    symlink("../2", release.join("other")).unwrap();
    symlink("/etc", release.join("etc")).unwrap();
    symlink("loop", release.join("loop")).unwrap();
    symlink("index.html", release.join("inside")).unwrap();

    let ingress = ingress().await;
    route(&ingress, 1, folder(&release, false), 1).await;
    for path in [
        "/../../etc/passwd",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%2f..%2fsecret.txt",
        "/about/../../secret.txt",
        "/etc/passwd",
        "/etc",
        "/out",
        "/beside",
        "/other/secret.txt",
        "/env",
        "//etc/passwd",
        "/%2fetc/passwd",
    ] {
        let answer = get(&ingress, HOST, path).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_ne!(get(&ingress, HOST, "/loop").await.status, 200);
    assert_eq!(get(&ingress, HOST, "/uploads/cat.txt").await.body, "cat");
    assert_eq!(get(&ingress, HOST, "/inside").await.body, "home");
}

#[tokio::test]
async fn a_single_page_answers_for_unknown_paths() {
    let (_dir, release) = project();
    let ingress = ingress().await;
    route(&ingress, 1, folder(&release, true), 1).await;
    for path in ["/cart/items/3", "/none.js", "/about/none"] {
        let answer = get(&ingress, HOST, path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "home"),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), Some("text/html"));
    }
    assert_eq!(get(&ingress, HOST, "/about/").await.body, "about");
}
