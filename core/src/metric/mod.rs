//! Quality of embeddings: retrieval.

pub mod retrieval;
