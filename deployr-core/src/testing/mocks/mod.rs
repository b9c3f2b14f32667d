//! Parts of a deployment that exist in memory only: they do what is asked, remember
//! what was asked, and fail where a test has told them to.

mod builder;
mod executor;
mod ingress;
mod notifier;
mod resolver;
mod script;
mod source;

pub use builder::ScriptedBuilder;
pub use executor::{MemoryTarget, PlacedRelease, ScriptedExecutor};
pub use ingress::ScriptedIngress;
pub use notifier::RecordingNotifier;
pub use resolver::ScriptedResolver;
pub use script::Script;
pub use source::ScriptedSource;
