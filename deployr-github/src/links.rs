//! Whether symbolic links stay inside of a checkout.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// As many as Linux follows.
const MAX_HOPS: usize = 40;

/// Each link of a checkout, from its path to what it says.
pub(crate) type Links = BTreeMap<PathBuf, PathBuf>;

/// Whether what `link` says leads to a place inside of the checkout, which need not
/// exist. Follows all other links on the way, as the system would: `a/..` is not
/// always where one started.
pub(crate) fn stays_inside(links: &Links, link: &Path, target: &Path) -> bool {
    // Still to walk, the next one last.
    let mut ahead: Vec<OsString> = Vec::new();
    let mut here: PathBuf = link.parent().map(Path::to_owned).unwrap_or_default();
    let mut hops = 0;
    if !push(&mut ahead, target) {
        return false;
    }
    while let Some(part) = ahead.pop() {
        if part == ".." {
            if !here.pop() {
                return false;
            }
            continue;
        }
        here.push(&part);
        if let Some(next) = links.get(&here) {
            hops += 1;
            here.pop();
            if hops > MAX_HOPS || !push(&mut ahead, next) {
                return false;
            }
        }
    }
    true
}

fn push(ahead: &mut Vec<OsString>, target: &Path) -> bool {
    for part in target.components().rev() {
        match part {
            Component::Normal(name) => ahead.push(name.to_owned()),
            Component::ParentDir => ahead.push("..".into()),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(links: &[(&str, &str)]) -> bool {
        let links: Links = links
            .iter()
            .map(|(from, to)| (from.into(), to.into()))
            .collect();
        links
            .iter()
            .all(|(from, to)| stays_inside(&links, from, to))
    }

    #[test]
    fn plain_links() {
        assert!(inside(&[("a", "b/c")]));
        assert!(inside(&[("x/a", "../b")]));
        assert!(inside(&[("x/a", "..")]));
        assert!(!inside(&[("a", "..")]));
        assert!(!inside(&[("x/a", "../../b")]));
        assert!(!inside(&[("a", "/etc/passwd")]));
        assert!(!inside(&[("a", "b/../../c")]));
    }

    #[test]
    fn links_through_links() {
        assert!(inside(&[("a", "b"), ("b", "c")]));
        // `x/l` is `y`, so `x/l/../..` is above the top, though it reads as the top.
        assert!(!inside(&[("x/l", "../y"), ("a", "x/l/../..")]));
        assert!(inside(&[("x/l", "../y/z"), ("a", "x/l/../..")]));
    }

    #[test]
    fn a_circle_is_refused() {
        assert!(!inside(&[("a", "b"), ("b", "a")]));
    }
}
