//! Inputs of the corpus's classes, made at random. Each class is made whole, and not only
//! the entries that the corpus has of it: what is refused, and how; and that whatever is
//! accepted can do no harm where it goes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accepted;
mod addresses;
mod classes;
mod log_lines;
mod refused;
