//! A target of one's own: sites in a bucket, as an example of an [`Executor`](deployr_core::executor::Executor) that
//! deployr does not come with.
//!
//! ```text
//! <slug>/releases/<number>/…            the files of a release
//! <slug>/placed/<number>                put last: the release is whole
//! <slug>/current                        which release is present
//! ```
//!
//! A bucket has no transaction over two objects. So a release counts only once its mark
//! in `placed/` is there, and the switch is one `put` of `current`.
//!
//! `tests/conformance.rs` runs the suite that every executor must pass.

mod bucket;
mod executor;
mod keys;

pub use bucket::Bucket;
pub use executor::BucketExecutor;
