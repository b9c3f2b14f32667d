//! The program of README.md, compiled as a test so that it stays true.
#![doc = include_str!("../../../README.md")]
