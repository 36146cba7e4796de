//! What the suite judges by: slow oracles, tolerances with reasons, inputs, statistics.

pub mod folder;
pub mod generate;
pub mod gradcheck;
pub mod graph;
pub mod losses;
pub mod oracle;
pub mod stat;
pub mod tolerance;
pub mod vectors;
