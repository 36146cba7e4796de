//! Quality of embeddings: retrieval and clustering.

pub mod cluster;
pub mod exact;
pub mod retrieval;
