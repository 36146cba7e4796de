//! Plain loops in the order of the formula: the oracle of every other backend, and the fallback everywhere.

pub(super) mod layers;
pub(super) mod optim;

use layers::Layers;

use alloc::vec::Vec;

use super::host::host_backend;
use super::rows::{self, RowSource};
use super::*;
use crate::batch::Embeddings;
use crate::distance;

/// The reference backend.
///
/// ```
/// use nearfar_core::kernel::{Backend, LinearShape, scalar::Reference};
/// let shape = LinearShape { rows: 1, inputs: 2, outputs: 1, relu: false };
/// let (x, w, b) = (vec![1.0_f64, 2.0], vec![3.0, 4.0], vec![0.5]);
/// let mut y = vec![0.0];
/// Reference.linear(shape, &x, &w, &b, &mut y)?;
/// assert_eq!(y, [11.5]); // 1 * 3 + 2 * 4 + 0.5
/// # Ok::<(), nearfar_core::BatchError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Reference {
    fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        work()
    }

    fn rows(&self) -> Rows {
        Rows
    }

    fn layers(&self) -> &Layers {
        &Layers
    }

    fn draw_batch<T: Scalar>(
        &self,
        batch: BatchView<'_, Vec<T>, Vec<u32>>,
        objective: &Objective<T>,
        key: Key,
        draws: &mut Vec<Draw<T>>,
    ) -> DrawReport {
        rows::draw(&Rows, batch, objective, key, draws)
    }

    fn loss_batch<T: Scalar>(
        &self,
        batch: BatchView<'_, Vec<T>, Vec<u32>>,
        objective: &Objective<T>,
        draws: &[Draw<T>],
        dx: &mut [T],
        dbetas: &mut [T],
    ) -> LossReport {
        rows::loss(&Rows, batch, objective, draws, dx, dbetas)
    }
}

/// Distances pair by pair.
struct Rows;

impl RowSource for Rows {
    fn map<T: Scalar, R: Send>(
        &self,
        queries: Embeddings<'_, T>,
        candidates: Embeddings<'_, T>,
        work: impl Fn(usize, &mut [T]) -> R + Sync,
    ) -> Vec<R> {
        let mut row = alloc::vec![T::ZERO; candidates.count()];
        queries
            .rows()
            .enumerate()
            .map(|(query, x)| {
                for (squared, y) in row.iter_mut().zip(candidates.rows()) {
                    *squared = distance::squared_distance(x, y);
                }
                work(query, &mut row)
            })
            .collect()
    }
}

host_backend!(Reference, "scalar");
