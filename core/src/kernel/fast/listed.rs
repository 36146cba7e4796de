//! Distances in double precision to a few candidates of each query: the plain loop, compiled for each instruction set.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::InstructionSet;
use crate::Scalar;
use crate::kernel::rows;

/// One query and its list.
struct Listed<'a, T> {
    x: &'a [T],
    candidates: &'a [T],
    list: &'a [u32],
    distances: &'a mut [f64],
}

impl<T: Scalar> WithSimd for Listed<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        rows::listed(self.x, self.candidates, self.list, self.distances);
    }
}

/// As [`Backend::listed_distances`](crate::kernel::Backend::listed_distances).
pub(super) fn listed_distances<T: Scalar>(
    set: InstructionSet,
    dim: usize,
    k: usize,
    queries: &[T],
    candidates: &[T],
    lists: &[u32],
) -> Vec<f64> {
    let mut distances = vec![0.0; lists.len()];
    let asked = queries.par_chunks_exact(dim).zip(lists.par_chunks_exact(k));
    asked.zip(distances.par_chunks_exact_mut(k)).for_each(|((x, list), distances)| {
        set.run(Listed { x, candidates, list, distances });
    });
    distances
}
