//! The program `nearfar`, as a library so that tests can reach its readers.

pub mod args;
pub mod config;
pub mod record;
pub mod write;
