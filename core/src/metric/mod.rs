//! Quality of embeddings: retrieval, clustering, verification; and how far the figures can be trusted.

pub mod bootstrap;
pub mod cluster;
pub mod exact;
pub mod oneshot;
pub mod reliability;
pub mod retrieval;
pub mod verify;
