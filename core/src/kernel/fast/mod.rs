//! The standard CPU backend: SIMD matrix products through the `gemm` crate, and threads.
//!
//! The same bits for any number of threads: work is cut by shape, results are joined in order.

mod lanes;
mod layers;
mod product;
mod search;
mod tile;

pub use lanes::InstructionSet;

use alloc::vec::Vec;

use rayon::prelude::*;

use super::host::host_backend;
use super::rows::{self, RowSource};
use super::scalar::optim;
use super::*;
use crate::batch::Embeddings;
use crate::distance;
use product::{Mat, product};

/// Rows of distances that one product computes: few for a batch, so that every thread has some; more for a large set,
/// whose candidates are laid out anew for each product.
const fn rows_at_once(candidates: usize) -> usize {
    if candidates < 2048 { 32 } else { 128 }
}

/// SIMD and threads.
///
/// ```
/// use nearfar_core::kernel::{Backend, fast::Fast};
/// let fast = Fast::new(2)?;
/// let mut buffer = fast.zeros(3)?;
/// fast.upload(&[1.0_f32, 2.0, 3.0], &mut buffer)?;
/// let mut host = [0.0; 3];
/// fast.download(&buffer, &mut host)?;
/// assert_eq!(host, [1.0, 2.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Fast {
    pool: rayon::ThreadPool,
    set: InstructionSet,
}

impl Fast {
    /// A backend with its own pool of `threads` threads (at least 1).
    pub fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        Self::with_instruction_set(threads, InstructionSet::best())
    }

    /// As [`new`](Self::new), with the own kernels held to one instruction set: for tests and comparisons.
    ///
    /// A set that this machine lacks is replaced by plain instructions. Products of the `gemm` crate choose by
    /// themselves.
    pub fn with_instruction_set(
        threads: usize,
        set: InstructionSet,
    ) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build()?;
        Ok(Self { pool, set })
    }

    /// The instruction set of the own kernels.
    #[must_use]
    pub fn instruction_set(&self) -> InstructionSet {
        self.set
    }

    /// Threads in the pool.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    fn rows(&self) -> Rows {
        Rows { set: self.set }
    }
}

/// Distances by blocks of rows, one product each; in single precision, search by streams of pairs.
struct Rows {
    set: InstructionSet,
}

/// A view of single precision, if this one is.
fn single<T: Scalar>(dim: usize, view: SearchView<'_, Vec<T>>) -> Option<Embeddings<'_, f32>> {
    Embeddings::new(T::as_single(&view.embeddings[..view.count * dim])?, dim).ok()
}

impl RowSource for Rows {
    fn map<T: Scalar, R: Send>(
        &self,
        queries: Embeddings<'_, T>,
        candidates: Embeddings<'_, T>,
        work: impl Fn(usize, &mut [T]) -> R + Sync,
    ) -> Vec<R> {
        let (dim, count) = (queries.dim(), candidates.count());
        let block_rows = rows_at_once(count);
        let squares = |x: Embeddings<'_, T>| x.rows().map(|row| distance::dot(row, row)).collect::<Vec<T>>();
        let (query_squares, candidate_squares) = (squares(queries), squares(candidates));
        let transposed = Mat::new(candidates.as_slice(), count, dim).t();
        let blocks: Vec<Vec<R>> = queries
            .as_slice()
            .par_chunks(block_rows * dim)
            .enumerate()
            .map_init(
                || alloc::vec![T::ZERO; block_rows * count],
                |products, (block, x)| {
                    let rows = x.len() / dim;
                    product(Mat::new(x, rows, dim), transposed, false, products);
                    let mut results = Vec::with_capacity(rows);
                    for (r, row) in products.chunks_exact_mut(count).take(rows).enumerate() {
                        let query = block * block_rows + r;
                        for (j, value) in row.iter_mut().enumerate() {
                            let (a, b) = (query_squares[query], candidate_squares[j]);
                            *value = distance::squared_from_product(a, b, *value, || {
                                distance::squared_distance(queries.row(query), candidates.row(j))
                            });
                        }
                        results.push(work(query, row));
                    }
                    results
                },
            )
            .collect();
        blocks.into_iter().flatten().collect()
    }

    fn match_ranks<T: Scalar>(
        &self,
        dim: usize,
        depth: usize,
        queries: SearchView<'_, Vec<T>>,
        candidates: Option<SearchView<'_, Vec<T>>>,
    ) -> MatchRanks {
        let streamed = || {
            let asked = search::Labeled { rows: single(dim, queries)?, labels: queries.labels };
            let among = match candidates {
                Some(among) => Some(search::Labeled { rows: single(dim, among)?, labels: among.labels }),
                None => None,
            };
            search::match_ranks(self.set, depth, asked, among)
        };
        streamed().unwrap_or_else(|| rows::match_ranks(self, dim, depth, queries, candidates))
    }

    fn nearest<T: Scalar>(
        &self,
        dim: usize,
        k: usize,
        queries: SearchView<'_, Vec<T>>,
        candidates: Option<SearchView<'_, Vec<T>>>,
    ) -> Vec<u32> {
        let streamed = || {
            if k > search::MOST_NEAREST {
                return None;
            }
            let asked = search::Set::new(single(dim, queries)?, self.set)?;
            let among = match candidates {
                Some(among) => Some(search::Set::new(single(dim, among)?, self.set)?),
                None => None,
            };
            Some(search::nearest(k, &asked, among.as_ref()))
        };
        streamed().unwrap_or_else(|| rows::nearest(self, dim, k, queries, candidates))
    }
}

host_backend!(Fast, "fast", layers);
