//! What things are called on the engine. Whatever does not bear the label of this
//! instance was made by somebody else, and is left alone.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::Path;

use deployr_core::error::{Fault, StepResult};
use deployr_core::value::{RelPath, Slug};
use sha2::{Digest, Sha256};

/// The number of the deployr that made it.
pub(super) const INSTANCE: &str = "deployr.instance";
/// The project's name.
pub(super) const PROJECT: &str = "deployr.project";
/// The release's number.
pub(super) const RELEASE: &str = "deployr.release";
/// The release's id, which no other release has, of whatever store.
pub(super) const RELEASE_ID: &str = "deployr.release-id";

/// The workspace of a build.
pub(super) const BUILD: &str = "deployr.build";

/// One deployr among those that may share an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instance(String);

impl Instance {
    /// The one whose folder this is. Its number is drawn when it is first asked for.
    pub(super) fn of(root: &Path) -> StepResult<Self> {
        let path = root.join("instance");
        let take = || -> io::Result<String> {
            match fs::read_to_string(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                known => return known,
            }
            fs::create_dir_all(root)?;
            let drawn = format!("{:016x}", RandomState::new().hash_one(root));
            let temp = root.join(format!(".instance.{drawn}"));
            fs::write(&temp, &drawn)?;
            // Whole or not at all, and never over that of another process.
            let linked = fs::hard_link(&temp, &path);
            fs::remove_file(&temp)?;
            match linked {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
                _ => fs::read_to_string(&path),
            }
        };
        let text = take().map_err(|error| Fault::io("read", path.display(), error))?;
        let number = text.trim();
        if number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self(number.to_ascii_lowercase()));
        }
        let reason = "it holds no number of 16 hexadecimal digits; write the one into it that \
                      the containers of this deployr have in their names";
        Err(Fault::permanent("read", path.display(), reason).into())
    }

    pub(super) fn network(&self) -> String {
        format!("deployr-{}", self.0)
    }

    pub(super) fn container(&self, slug: &Slug, number: i64) -> String {
        format!("deployr-{}-{slug}-{number}", self.0)
    }

    /// The service of a release: its container's name, where a service may be called so.
    #[cfg(feature = "swarm")]
    pub(super) fn service(&self, slug: &Slug, number: i64) -> String {
        const LONGEST: usize = 63;
        let name = self.container(slug, number);
        match name.len() {
            ..=LONGEST => name,
            _ => format!("deployr-{}-{}-{number}", self.0, short_hash(slug.as_str())),
        }
    }

    /// The network that the services of a project are in.
    #[cfg(feature = "swarm")]
    pub(super) fn project_network(&self, slug: &Slug) -> String {
        format!("deployr-{}-{slug}", self.0)
    }

    /// The secret of one variable of a release.
    #[cfg(feature = "swarm")]
    pub(super) fn secret(&self, slug: &Slug, number: i64, variable: &str) -> String {
        let hash = short_hash(&format!("{slug}/{number}/{variable}"));
        format!("deployr-{}-{hash}", self.0)
    }

    /// All images of a project.
    pub(super) fn repository(&self, slug: &Slug) -> String {
        format!("deployr-{}/{slug}", self.0)
    }

    pub(super) fn image(&self, slug: &Slug, number: i64) -> String {
        format!("{}:{number}", self.repository(slug))
    }

    /// All images of all projects, as a pattern.
    pub(super) fn repositories(&self) -> String {
        format!("deployr-{}/*", self.0)
    }

    /// The release whose image is called so.
    pub(super) fn release_of(&self, image: &str) -> Option<(Slug, i64)> {
        let name = image.strip_prefix(&format!("deployr-{}/", self.0))?;
        let (slug, number) = name.split_once(':')?;
        Some((Slug::parse(slug).ok()?, number.parse().ok()?))
    }

    /// The release one of whose images is called so: its own, or that of a service of it.
    pub(super) fn image_of(&self, name: &str) -> Option<(Slug, i64)> {
        let (repository, number) = name
            .strip_prefix(&format!("deployr-{}/", self.0))?
            .rsplit_once(':')?;
        let slug = repository.split('/').next()?;
        Some((Slug::parse(slug).ok()?, number.parse().ok()?))
    }

    /// Whether an image is called as one that no release has yet.
    pub(super) fn is_built_image(&self, name: &str) -> bool {
        name.starts_with(&self.built_image(""))
    }

    /// The network of a build, and its container.
    pub(super) fn build(&self, name: &str) -> String {
        format!("deployr-{}-{name}", self.0)
    }

    /// What is called so until a release has it.
    pub(super) fn built_image(&self, name: &str) -> String {
        format!("deployr-{}-build:{name}", self.0)
    }

    pub(super) fn build_labels(&self, name: &str) -> HashMap<String, String> {
        [(INSTANCE, self.0.as_str()), (BUILD, name)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// The volume of a shared path.
    pub(super) fn volume(&self, slug: &Slug, path: &RelPath) -> String {
        format!("deployr-{}-{slug}-{}", self.0, short_hash(path.as_str()))
    }

    pub(super) fn label(&self) -> String {
        format!("{INSTANCE}={}", self.0)
    }

    /// What all things of a project bear.
    pub(super) fn labels(&self, slug: &Slug) -> HashMap<String, String> {
        [(INSTANCE, self.0.as_str()), (PROJECT, slug.as_str())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// Finds the things of a project, or of all.
    pub(super) fn filter(&self, slug: Option<&Slug>) -> HashMap<String, Vec<String>> {
        let mut labels = vec![self.label()];
        labels.extend(slug.map(|slug| format!("{PROJECT}={slug}")));
        [("label".to_owned(), labels)].into()
    }
}

fn short_hash(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let bytes = hash.iter().take(6);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_keeps_its_number_and_a_broken_one_is_named() {
        let root = tempfile::tempdir().unwrap();
        let first = Instance::of(root.path()).unwrap();
        assert_eq!(Instance::of(root.path()).unwrap(), first);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        fs::write(root.path().join("instance"), "../../x").unwrap();
        let error = Instance::of(root.path()).unwrap_err().to_string();
        assert!(error.contains("16 hexadecimal digits"), "{error}");
    }

    #[test]
    fn each_shared_path_has_a_volume_of_its_own() {
        let instance = Instance("0123456789abcdef".to_owned());
        let slug = Slug::parse("shop").unwrap();
        let volume = |path: &str| instance.volume(&slug, &RelPath::parse(path).unwrap());
        assert_eq!(volume("a/b"), volume("a/b/"));
        assert_ne!(volume("a/b"), volume("a-b"));
        assert_eq!(
            instance.release_of(&instance.image(&slug, 7)),
            Some((slug.clone(), 7))
        );
        assert!(volume("x").starts_with("deployr-0123456789abcdef-shop-"));
    }
}
