//! The files of releases that were just placed, as the compose tool has resolved them: it takes
//! longer to start than all that deployr does itself, and is not asked for the same again.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use deployr_core::executor::ReleaseSpec;
use deployr_core::model::ReleaseId;
use deployr_core::value::Slug;

use super::model::{Model, Mount};
use super::rules;

/// At most one a project, in memory alone: values are in it.
#[derive(Default)]
pub(super) struct Resolved(Mutex<HashMap<Slug, (ReleaseId, Model)>>);

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved").finish_non_exhaustive()
    }
}

impl Resolved {
    /// Keeps the file of a release whose checkout was moved, for the start that follows.
    pub(super) fn keep(&self, spec: &ReleaseSpec, model: Model, from: &Path, to: &Path) {
        if let Some(model) = moved(model, from, to) {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(spec.slug.clone(), (spec.release, model));
        }
    }

    /// What was kept for a release; once.
    pub(super) fn take(&self, spec: &ReleaseSpec) -> Option<Model> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (release, model) = all.remove(&spec.slug)?;
        (release == spec.release).then_some(model)
    }
}

/// A file whose checkout lies elsewhere now; none where a path in it is not of the checkout.
fn moved(mut model: Model, from: &Path, to: &Path) -> Option<Model> {
    let there = |path: &str| -> Option<String> {
        let inner = Path::new(path).strip_prefix(from).ok()?;
        // As the tool would write it, without a slash at the end.
        let there: PathBuf = to.join(inner).components().collect();
        there.to_str().map(str::to_owned)
    };
    for service in model.services.values_mut() {
        if let Some(build) = &mut service.build {
            build.context = there(&build.context)?;
        }
        for mount in &mut service.volumes {
            let mut long = rules::long(mount);
            if long.kind == "bind" {
                long.source = Some(there(long.source.as_deref()?)?);
            }
            *mount = Mount::Long(long);
        }
    }
    Some(model)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model(source: &str) -> Model {
        let mount = json!({"type": "bind", "source": source, "target": "/x"});
        let service = json!({
            "build": {"context": "/checkout/web"},
            "volumes": [mount, "/checkout:/site:ro", "data:/data"],
        });
        serde_json::from_value(json!({"services": {"web": service}})).unwrap()
    }

    #[test]
    fn what_is_of_the_checkout_moves_with_it() {
        let (from, to) = (Path::new("/checkout"), Path::new("/releases/1"));
        let moved = moved(model("/checkout/a"), from, to).unwrap();
        let moved = serde_json::to_value(&moved.services["web"]).unwrap();
        assert_eq!(moved["build"]["context"], "/releases/1/web");
        let sources = ["/releases/1/a", "/releases/1", "data"];
        for (number, source) in sources.into_iter().enumerate() {
            assert_eq!(moved["volumes"][number]["source"], source);
        }
    }

    #[test]
    fn what_is_not_of_the_checkout_is_resolved_again() {
        let (from, to) = (Path::new("/checkout"), Path::new("/releases/1"));
        for elsewhere in ["/checkout-2/a", "/etc", "a"] {
            assert!(moved(model(elsewhere), from, to).is_none(), "{elsewhere}");
        }
    }
}
