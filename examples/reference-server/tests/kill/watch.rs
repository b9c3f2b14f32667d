//! Two who look on all the time, and complain about whatever should never be seen: a visitor
//! of the sites, and somebody who looks at the disk.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::site::{version_in, version_of};

/// Between two looks at a site.
const PAUSE: Duration = Duration::from_millis(2);
/// No answer takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
}

/// The lookers-on. They end when this is dropped.
pub(crate) struct Watch {
    places: Vec<Place>,
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    /// Where the server is, while it has to answer.
    address: Mutex<Option<SocketAddr>>,
    stop: AtomicBool,
    complaints: Mutex<Vec<String>>,
    /// Which version each release of a site is, once it was seen.
    versions: Mutex<HashMap<(String, String), String>>,
    answers: AtomicUsize,
    looks: AtomicUsize,
}

impl Watch {
    pub(crate) fn new(places: Vec<Place>) -> Self {
        Self {
            places,
            seen: Arc::default(),
            threads: Vec::new(),
        }
    }

    /// From now on each place has a release.
    pub(crate) fn start(&mut self) {
        let look = |at: fn(&Seen, &Place)| {
            let (seen, places) = (Arc::clone(&self.seen), self.places.clone());
            std::thread::spawn(move || {
                for place in places.iter().cycle() {
                    if seen.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    at(&seen, place);
                    std::thread::sleep(PAUSE);
                }
            })
        };
        self.threads = vec![look(visit), look(look_at_disk)];
    }

    /// From now on every request must be answered well.
    pub(crate) fn open(&self, address: SocketAddr) {
        *self.seen.address.lock().unwrap() = Some(address);
    }

    /// From now on a request may go wrong: the server is about to die.
    pub(crate) fn close(&self) {
        *self.seen.address.lock().unwrap() = None;
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        self.seen.complaints.lock().unwrap().clone()
    }

    /// How many answers were looked at, and how many releases on the disk.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (count(&self.seen.answers), count(&self.seen.looks))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Seen {
    fn complain(&self, place: &Place, what: &str) {
        let mut complaints = self.complaints.lock().unwrap();
        complaints.push(format!("{}: {what}", place.name));
    }

    /// A release is one version, wherever and whenever it is met.
    fn note(&self, place: &Place, release: &str, version: &str) {
        let key = (place.name.clone(), release.to_owned());
        let mut versions = self.versions.lock().unwrap();
        let known = versions.entry(key).or_insert_with(|| version.to_owned());
        if known != version {
            let what = format!("release {release} was {known} and is {version}");
            drop(versions);
            self.complain(place, &what);
        }
    }
}

/// Asks for the page, for its copy and for the page again. Where no switch came between,
/// all three are of one version; each by itself is whole in any case.
fn visit(seen: &Seen, place: &Place) {
    let Some(address) = *seen.address.lock().unwrap() else {
        return;
    };
    let turn = || std::fs::read_to_string(place.folder.join("turn")).unwrap_or_default();
    let before = turn();
    let mut versions = Vec::new();
    for path in ["/", "/assets/page.txt", "/"] {
        match get(address, &place.name, path) {
            Ok((release, version)) => {
                seen.answers.fetch_add(1, Ordering::Relaxed);
                seen.note(place, &release, &version);
                versions.push(version);
            }
            // Looked at after the answer: who is being killed may stop in the middle of it.
            Err(Answer::Cut(_)) if *seen.address.lock().unwrap() != Some(address) => return,
            Err(Answer::Cut(why) | Answer::Wrong(why)) => {
                return seen.complain(place, &format!("GET {path}: {why}"));
            }
        }
    }
    if versions[0] == versions[2] && versions[0] != versions[1] && before == turn() {
        seen.complain(place, &format!("mixed: {versions:?}"));
    }
}

enum Answer {
    /// None, or only the beginning of one.
    Cut(String),
    /// A whole one that should not be.
    Wrong(String),
}

/// The release that answers, and its version.
fn get(address: SocketAddr, site: &str, path: &str) -> Result<(String, String), Answer> {
    let text = ask(address, site, path).map_err(|error| Answer::Cut(error.to_string()))?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| Answer::Cut(format!("half a head: {text:?}")))?;
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    if let Some((_, length)) = header("content-length")
        && length.parse() != Ok(body.len())
    {
        return Err(Answer::Cut(format!("{} of {length} bytes", body.len())));
    }
    let release = header("x-deployr-release").map(|(_, release)| release);
    match (release, version_of(body)) {
        (Some(release), Some(version)) if head.split(' ').nth(1) == Some("200") => {
            Ok((release.to_owned(), version.to_owned()))
        }
        _ => Err(Answer::Wrong(text)),
    }
}

fn ask(address: SocketAddr, site: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer ends with the connection.
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {site}.localhost\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What `current` leads to must be there and whole at any moment, also while no server runs.
fn look_at_disk(seen: &Seen, place: &Place) {
    let current = || std::fs::read_link(place.folder.join("current"));
    let target = match current() {
        Ok(target) => target,
        Err(error) => return seen.complain(place, &format!("no current: {error}")),
    };
    match version_in(&place.folder.join(&target)) {
        Ok(version) => {
            let release = target.file_name().unwrap_or_default().to_string_lossy();
            seen.note(place, &release, &version);
            seen.looks.fetch_add(1, Ordering::Relaxed);
        }
        // Else it was replaced, and perhaps removed, while it was read.
        Err(why) if current().is_ok_and(|now| now == target) => {
            seen.complain(place, &format!("current is not whole: {why}"));
        }
        Err(_) => {}
    }
}
