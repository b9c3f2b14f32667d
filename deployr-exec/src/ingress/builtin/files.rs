//! Serves the files of a release.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use percent_encoding::percent_decode_str;
use tokio::fs;
use tokio::sync::OnceCell;
use tower_http::services::ServeFile;

use super::backend::Body;
use super::headers::page;

/// The folder of a release, with what may be read through it.
pub(super) struct Folder {
    path: PathBuf,
    single_page: bool,
    release: i64,
    /// Found at the first request, and the same from then on.
    bounds: OnceCell<Bounds>,
}

/// The release's own folder and `shared` beside the folder of releases, without links.
struct Bounds {
    own: PathBuf,
    shared: Option<PathBuf>,
}

enum Found {
    File(PathBuf),
    /// A folder that was asked for as if it were a file.
    Folder,
    Nothing,
    /// Hidden or outside: not even a single page answers for it.
    Refused,
}

impl Folder {
    pub(super) fn new(path: PathBuf, single_page: bool, release: i64) -> Self {
        Self {
            path,
            single_page,
            release,
            bounds: OnceCell::new(),
        }
    }

    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Body> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = page(StatusCode::METHOD_NOT_ALLOWED, "Files can only be read.");
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        self.find_and_serve(request).await.unwrap_or_else(|error| {
            tracing::warn!(%error, release = self.release, "a file could not be read");
            page(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The file could not be read.",
            )
        })
    }

    async fn find_and_serve<B>(&self, request: Request<B>) -> io::Result<Response<Body>> {
        let mut found = self.find(request.uri().path()).await?;
        if self.single_page && matches!(found, Found::Nothing) {
            found = self.find("/").await?;
        }
        match found {
            Found::File(file) => self.serve(&file, request).await,
            Found::Folder => Ok(with_slash(&request)),
            Found::Nothing | Found::Refused => {
                Ok(page(StatusCode::NOT_FOUND, "There is no such page."))
            }
        }
    }

    async fn find(&self, path: &str) -> io::Result<Found> {
        let Some(relative) = relative(path) else {
            return Ok(Found::Refused);
        };
        let bounds = match self.bounds.get_or_try_init(|| Bounds::of(&self.path)).await {
            Ok(bounds) => bounds,
            Err(error) => return missing(error),
        };
        let mut file = bounds.own.join(relative);
        if path.ends_with('/') {
            file.push("index.html");
        }
        // What is checked is what is served: links are followed here and not again.
        let file = match fs::canonicalize(&file).await {
            Ok(file) => file,
            Err(error) => return missing(error),
        };
        if !bounds.contain(&file) {
            return Ok(Found::Refused);
        }
        let kind = fs::metadata(&file).await?;
        Ok(
            match (kind.is_file(), kind.is_dir() && !path.ends_with('/')) {
                (true, _) => Found::File(file),
                (_, true) if fs::try_exists(file.join("index.html")).await? => Found::Folder,
                _ => Found::Nothing,
            },
        )
    }

    async fn serve<B>(&self, file: &Path, request: Request<B>) -> io::Result<Response<Body>> {
        let tag = self.tag(file).await?;
        let (head, _) = request.into_parts();
        let mut request = Request::from_parts(head, Empty::<Bytes>::new());
        let headers = request.headers_mut();
        // Dates would mix releases: after a rollback the files are older than what a
        // browser holds, and yet others. The tag names the release.
        headers.remove(header::IF_MODIFIED_SINCE);
        headers.remove(header::IF_UNMODIFIED_SINCE);
        if headers
            .remove(header::IF_RANGE)
            .is_some_and(|known| known != tag)
        {
            headers.remove(header::RANGE);
        }
        let mut response = if knows(headers, &tag) {
            let mut response = Response::new(Empty::new().map_err(|e| match e {}).boxed_unsync());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            let response = ServeFile::new(file).try_call(request).await?;
            response.map(|body| body.map_err(Into::into).boxed_unsync())
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, tag);
        headers.remove(header::LAST_MODIFIED);
        // A browser asks each time, so that a switch shows at once.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Ok(response)
    }

    async fn tag(&self, file: &Path) -> io::Result<HeaderValue> {
        let metadata = fs::metadata(file).await?;
        let changed = metadata
            .modified()?
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let tag = format!(
            "\"{}-{:x}-{:x}\"",
            self.release,
            metadata.len(),
            changed.as_nanos()
        );
        HeaderValue::try_from(tag).map_err(io::Error::other)
    }
}

impl Bounds {
    async fn of(folder: &Path) -> io::Result<Self> {
        let own = fs::canonicalize(folder).await?;
        let shared = match own.parent().and_then(Path::parent) {
            Some(project) => fs::canonicalize(project.join("shared")).await.ok(),
            None => None,
        };
        Ok(Self { own, shared })
    }

    fn contain(&self, file: &Path) -> bool {
        [Some(&self.own), self.shared.as_ref()]
            .into_iter()
            .flatten()
            .any(|bound| file.strip_prefix(bound).is_ok_and(is_public))
    }
}

/// The file that a path names, relative to the release; none when it is hidden or
/// leads upwards.
fn relative(path: &str) -> Option<PathBuf> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let relative = Path::new(decoded.trim_start_matches('/'));
    (is_public(relative) && !decoded.contains('\0')).then(|| relative.to_owned())
}

/// Names that begin with a dot are not for visitors: `.git`, `.env`,
/// `.deployr-release`. `/.well-known/` is made for them (RFC 8615).
fn is_public(relative: &Path) -> bool {
    relative
        .components()
        .enumerate()
        .all(|(depth, component)| match component {
            Component::Normal(name) if depth == 0 && name == ".well-known" => true,
            Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
            Component::CurDir => true,
            _ => false,
        })
}

fn missing(error: io::Error) -> io::Result<Found> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
            Ok(Found::Nothing)
        }
        _ => Err(error),
    }
}

/// Whether the visitor has the file already.
fn knows(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).into_iter();
    known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| {
            let known = known.trim();
            known == "*" || known.trim_start_matches("W/").as_bytes() == tag.as_bytes()
        })
}

/// Sends the visitor to the folder itself, from where its relative links lead right.
fn with_slash<B>(request: &Request<B>) -> Response<Body> {
    let uri = request.uri();
    // Two slashes at the beginning would name another host.
    let mut to = format!("/{}/", uri.path().trim_start_matches('/'));
    if let Some(query) = uri.query() {
        to.push('?');
        to.push_str(query);
    }
    let mut response = page(StatusCode::TEMPORARY_REDIRECT, "This way.");
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}
