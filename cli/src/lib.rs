//! The program `nearfar`, as a library so that tests can reach its readers.
//!
//! A verb ([`cmd`]) reads its options ([`args`]) and the run file ([`config`], checked by [`plan`]), gets its data
//! ([`data`]), works through `nearfar-core`, and leaves files ([`run`], [`report`]).

pub mod ablate;
pub mod args;
pub mod calibration;
mod chart;
pub mod checkup;
pub mod cmd;
pub mod config;
pub mod data;
pub mod figures;
pub mod hot;
pub mod look;
mod memory;
pub mod model;
mod near;
pub mod notes;
mod number;
pub mod onnx;
pub mod overlay;
pub mod place;
pub mod plan;
pub mod quality;
pub mod recipe;
pub mod record;
pub mod report;
pub mod run;
pub mod train;
pub mod views;
pub mod write;
