//! The suite: one binary, one module an idea.

mod backends;
mod cli;
mod complete;
mod data;
mod density;
mod freestanding;
mod isotonic;
mod layers;
mod losses;
mod metrics;
mod net;
mod peers;
mod runs;
mod sampling;
mod tidy;
