//! The suite: one binary, one module an idea.

mod ablate;
mod backends;
mod browser;
mod cli;
mod complete;
mod data;
mod density;
mod figures;
mod freestanding;
mod isotonic;
mod judging;
mod layers;
mod losses;
mod memory;
mod metrics;
mod net;
mod onnx;
mod peers;
mod place;
mod refusals;
mod runs;
mod sampling;
mod tidy;
mod verification;
