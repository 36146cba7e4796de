//! The k nearest candidates of each query.

use rayon::prelude::*;

use super::{BLOCK, Collector, Set, TILE_MULTIPLE, sweep_pairs, sweep_rows};

/// The largest k that is kept in order as candidates come; more are better sorted at once.
pub(in super::super) const MOST_NEAREST: usize = 256;

/// The k best of each query of a block so far, in order.
struct Block {
    k: usize,
    bounds: Vec<f32>,
    /// `[query][k]`: the bits of the squared distance, which order as it does, above the index.
    keys: Vec<u64>,
}

/// Farther than everything.
const NOBODY: u64 = ((f32::INFINITY.to_bits() as u64) << 32) | u32::MAX as u64;

impl Block {
    fn new(queries: usize, k: usize) -> Self {
        let mut bounds = vec![f32::INFINITY; queries];
        bounds.resize(queries.next_multiple_of(TILE_MULTIPLE), f32::NEG_INFINITY);
        Self { k, bounds, keys: vec![NOBODY; queries * k] }
    }

    fn indices(&self) -> Vec<u32> {
        self.keys.iter().map(|&key| key as u32).collect()
    }
}

impl Collector for Block {
    fn bounds(&self) -> &[f32] {
        &self.bounds
    }

    fn offer(&mut self, query: usize, candidate: usize, squared: f32) {
        let best = &mut self.keys[query * self.k..][..self.k];
        let key = (u64::from(squared.to_bits()) << 32) | candidate as u64;
        let at = best.partition_point(|&other| other < key);
        if at < best.len() {
            best[at..].rotate_right(1);
            best[at] = key;
            self.bounds[query] = f32::from_bits((best[best.len() - 1] >> 32) as u32);
        }
    }
}

/// As [`Backend::nearest`](crate::kernel::Backend::nearest), `k` from 1 to [`MOST_NEAREST`]; without `among` the
/// queries are searched among each other. Memory beyond the sets: 8 k bytes a query.
pub(in super::super) fn nearest(k: usize, queries: &Set<'_>, among: Option<&Set<'_>>) -> Vec<u32> {
    let size = |first: usize| (queries.count() - first).min(BLOCK);
    let Some(among) = among else {
        let k = k.min(queries.count().saturating_sub(1));
        if k == 0 {
            return Vec::new();
        }
        let blocks = queries.blocks().map(|first| Block::new(size(first), k)).collect();
        return sweep_pairs(queries, blocks).iter().flat_map(Block::indices).collect();
    };
    let k = k.min(among.count());
    if k == 0 {
        return Vec::new();
    }
    let firsts: Vec<usize> = queries.blocks().collect();
    let blocks: Vec<Vec<u32>> = firsts
        .into_par_iter()
        .map(|first| {
            let mut block = Block::new(size(first), k);
            sweep_rows(queries, first, size(first), among, &mut block);
            block.indices()
        })
        .collect();
    blocks.concat()
}
