//! Rows of a file of embeddings, and how far pairs of them are apart.

use std::path::Path;

use anyhow::Result;
use nearfar_core::distance;
use nearfar_core::metric::verify::Judged;

use super::normalize_rows;
use crate::data::npy::{self, Matrix};
use crate::data::pairs::{Known, Pair, read_pairs};

/// Embeddings in double precision.
pub(super) struct Rows {
    pub(super) count: usize,
    pub(super) dim: usize,
    values: Vec<f64>,
}

impl Rows {
    /// Reads `[N, D]`; with `normalize`, divides each row by its length.
    pub(super) fn read(path: &Path, normalize: bool) -> Result<Self> {
        let Matrix { rows: count, cols: dim, values } = npy::read_matrix(path)?;
        let values = if normalize { normalize_rows(&values, dim, path)? } else { values };
        Ok(Self { count, dim, values })
    }

    /// Rows as `embed` writes them.
    pub(super) fn of(values: &[f32], dim: usize) -> Self {
        Self { count: values.len() / dim, dim, values: values.iter().map(|&v| v.into()).collect() }
    }

    /// How far two rows are apart.
    pub(super) fn distance(&self, i: u32, j: u32) -> f64 {
        let row = |i: u32| &self.values[i as usize * self.dim..][..self.dim];
        distance(row(i), row(j))
    }
}

/// Pairs with their distances and answers, and the fold of each.
pub(super) fn judged(rows: &Rows, path: &Path) -> Result<(Vec<Judged>, Vec<u32>)> {
    let pairs = read_pairs(path, rows.count, true)?;
    let known = |pair: Pair| pair.known.map(|Known { fold, same }| (pair, fold, same));
    Ok(pairs
        .into_iter()
        .filter_map(known)
        .map(|(pair, fold, same)| (Judged { distance: rows.distance(pair.i, pair.j), same }, fold))
        .unzip())
}
