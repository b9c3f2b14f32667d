//! The local builder, with real processes.
#![cfg(feature = "local-builder")]

mod confinement;
mod output;
mod processes;
mod support;
mod workspaces;
