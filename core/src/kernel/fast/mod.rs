//! The standard CPU backend: SIMD and threads. All products run on one kernel (`tile`).
//!
//! The same bits for any number of threads: work is cut by shape, results are joined in order.

mod conv;
mod filter;
mod general;
mod half;
mod lanes;
mod linear;
mod norm;
mod optim;
mod patch;
mod pool;
mod product;
mod rates;
mod scratch;
mod search;
mod step;
mod tile;
mod tuples;
mod turn;
mod unfold;
mod winograd;

pub use lanes::InstructionSet;
pub use rates::Rates;

use alloc::vec::Vec;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::host::host_backend;
use super::rows::{self, RowSource};
use super::*;
use crate::batch::Embeddings;
use crate::distance;
use half::Tiles;
use product::{Mat, Packed, product};
use scratch::Scratch;
use step::Workspace;

/// Samples of a batch up to which a step is not worth waking threads for.
const ALONE: usize = 128;

/// Rows of distances that one product computes: few, so that every thread has some.
const ROWS_AT_ONCE: usize = 48;

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
    layers: Layers,
    /// Kept between steps; whoever draws takes it and brings it back.
    workspace: Mutex<Workspace>,
}

/// What the layers need: which instructions, and memory that is kept from call to call.
#[derive(Debug)]
struct Layers {
    set: InstructionSet,
    /// Where products are in bf16: what multiplies them.
    tiles: Option<Tiles>,
    scratch: Scratch,
}

impl Fast {
    /// A backend with its own pool of `threads` threads (at least 1).
    pub fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        Self::with_instruction_set(threads, InstructionSet::best())
    }

    /// As [`new`](Self::new), with the own kernels held to one instruction set: for tests and comparisons.
    ///
    /// A set that this machine lacks is replaced by plain instructions.
    pub fn with_instruction_set(
        threads: usize,
        set: InstructionSet,
    ) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build()?;
        let layers = Layers { set, tiles: None, scratch: Scratch::default() };
        Ok(Self { pool, layers, workspace: Mutex::default() })
    }

    /// The same backend with the products of networks in bf16: those of linear layers and of convolutions with more than
    /// four channels in, forward and back, in single precision. Sums, and all else, are f32 as before.
    ///
    /// ```text
    /// |bf16(v) - v| <= 2^-8 |v|           for v that is not subnormal; subnormal numbers are 0
    /// |y - x w|     <= (2^-7 + 2^-16) sum of |x| |w|, and the rounding of sums in f32
    /// ```
    /// A processor with tile units (AMX) multiplies these many times faster than f32. Others give the same bytes, but take
    /// longer than in f32: one to three times as long.
    ///
    /// ```
    /// use nearfar_core::kernel::{Backend, LinearShape, fast::Fast};
    /// let shape = LinearShape { rows: 1, inputs: 2, outputs: 1, relu: false };
    /// let (x, w, b) = (vec![1.0 + 1.0 / 512.0, 3.0_f32], vec![1.0, 5.0], vec![0.5]);
    /// let mut y = vec![0.0];
    /// Fast::new(1)?.linear(shape, &x, &w, &b, &mut y)?;
    /// assert_eq!(y, [16.501953125]);
    /// Fast::new(1)?.with_bf16().linear(shape, &x, &w, &b, &mut y)?;
    /// assert_eq!(y, [16.5]); // the first operand has 7 bits behind the point
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_bf16(mut self) -> Self {
        self.layers.tiles = Some(Tiles::new(self.layers.set));
        self
    }

    /// Whether products of networks are in bf16.
    #[must_use]
    pub fn bf16(&self) -> bool {
        self.layers.tiles.is_some()
    }

    /// Whether they are, and tile units of the processor multiply them.
    #[must_use]
    pub fn tile_units(&self) -> bool {
        self.layers.tiles.is_some_and(Tiles::are_units)
    }

    /// The instruction set of the own kernels.
    #[must_use]
    pub fn instruction_set(&self) -> InstructionSet {
        self.layers.set
    }

    /// Threads in the pool.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `work` on a thread of the pool. Operations called there start at once; called from elsewhere, each wakes a thread
    /// and waits for it, which costs some microseconds. The results are the same.
    ///
    /// ```
    /// use nearfar_core::kernel::{Backend, fast::Fast};
    /// let fast = Fast::new(2)?;
    /// let buffer = fast.run(|| Backend::<f32>::zeros(&fast, 3))?;
    /// assert_eq!(buffer, [0.0; 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    fn rows(&self) -> Rows {
        Rows { set: self.layers.set }
    }

    fn layers(&self) -> &Layers {
        &self.layers
    }

    /// Lends `work` the memory that stays between steps.
    fn with_workspace<R>(&self, work: impl FnOnce(&mut Workspace) -> R) -> R {
        let mut workspace =
            core::mem::take(&mut *self.workspace.lock().unwrap_or_else(PoisonError::into_inner));
        let result = work(&mut workspace);
        *self.workspace.lock().unwrap_or_else(PoisonError::into_inner) = workspace;
        result
    }

    fn draw_batch<T: Scalar>(
        &self,
        batch: BatchView<'_, Vec<T>, Vec<u32>>,
        objective: &Objective<T>,
        key: Key,
        draws: &mut Vec<Draw<T>>,
    ) -> DrawReport {
        let (set, threads) = (self.layers.set, self.threads() > 1 && batch.count > ALONE);
        let step = |draws: &mut Vec<Draw<T>>| {
            let spread = step::Spread { set, threads };
            self.with_workspace(|workspace| {
                step::draw(spread, workspace, rows::view(batch), objective, key, draws)
            })
        };
        let report = if threads { self.run(|| step(draws)) } else { step(draws) };
        report.unwrap_or_else(|| self.run(|| rows::draw(&self.rows(), batch, objective, key, draws)))
    }

    fn loss_batch<T: Scalar>(
        &self,
        batch: BatchView<'_, Vec<T>, Vec<u32>>,
        objective: &Objective<T>,
        draws: &[Draw<T>],
        dx: &mut [T],
        dbetas: &mut [T],
    ) -> LossReport {
        let (set, threads) = (self.layers.set, self.threads() > 1 && batch.count > ALONE);
        let spread = step::Spread { set, threads };
        let step = |dx: &mut [T], dbetas: &mut [T]| {
            self.with_workspace(|workspace| {
                let view = rows::view(batch);
                if objective.sampler().draws() {
                    tuples::loss(spread, &mut workspace.tuples, view, objective, draws, dx, dbetas)
                } else {
                    step::loss(spread, workspace, view, objective, dx, dbetas)
                }
            })
        };
        let report = if threads { self.run(|| step(dx, dbetas)) } else { step(dx, dbetas) };
        report.unwrap_or_else(|| self.run(|| rows::loss(&self.rows(), batch, objective, draws, dx, dbetas)))
    }
}

/// Distances by blocks of rows, one product each; in single precision, search by streams of pairs.
struct Rows {
    set: InstructionSet,
}

impl Rows {
    /// A search by streams of pairs, where rows can be searched so.
    fn streamed<T: Scalar, R>(
        &self,
        dim: usize,
        queries: &[T],
        candidates: Option<&[T]>,
        search: impl FnOnce(&search::Set<'_>, Option<&search::Set<'_>>) -> R,
    ) -> Option<R> {
        let set = |rows| search::Set::new(single(dim, rows)?, search::Means::new(self.set, dim));
        let among = match candidates {
            Some(among) => Some(set(among)?),
            None => None,
        };
        Some(search(&set(queries)?, among.as_ref()))
    }
}

/// The rows as embeddings of single precision, if they are.
fn single<T: Scalar>(dim: usize, rows: &[T]) -> Option<Embeddings<'_, f32>> {
    Embeddings::new(T::as_single(rows)?, dim).ok()
}

/// The rows of a view.
fn rows_of<'a, T: Scalar>(dim: usize, view: SearchView<'a, Vec<T>>) -> &'a [T] {
    &view.embeddings[..view.count * dim]
}

impl RowSource for Rows {
    fn map<T: Scalar, R: Send>(
        &self,
        queries: Embeddings<'_, T>,
        candidates: Embeddings<'_, T>,
        work: impl Fn(usize, &mut [T]) -> R + Sync,
    ) -> Vec<R> {
        let (dim, count) = (queries.dim(), candidates.count());
        let squares = |x: Embeddings<'_, T>| x.rows().map(|row| distance::dot(row, row)).collect::<Vec<T>>();
        let (query_squares, candidate_squares) = (squares(queries), squares(candidates));
        let packed = Packed::new(self.set, Mat::new(candidates.as_slice(), count, dim).t());
        let blocks: Vec<Vec<R>> = queries
            .as_slice()
            .par_chunks(ROWS_AT_ONCE * dim)
            .enumerate()
            .map_init(
                || alloc::vec![T::ZERO; ROWS_AT_ONCE * count],
                |products, (block, x)| {
                    let rows = x.len() / dim;
                    product(Mat::new(x, rows, dim), &packed, false, products);
                    let mut results = Vec::with_capacity(rows);
                    for (r, row) in products.chunks_exact_mut(count).take(rows).enumerate() {
                        let query = block * ROWS_AT_ONCE + r;
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
            let asked = search::Labeled { rows: single(dim, rows_of(dim, queries))?, labels: queries.labels };
            let among = match candidates {
                Some(among) => {
                    Some(search::Labeled { rows: single(dim, rows_of(dim, among))?, labels: among.labels })
                }
                None => None,
            };
            search::match_ranks(search::Means::new(self.set, dim), depth, asked, among)
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
        let among = candidates.map(|among| rows_of(dim, among));
        self.streamed(dim, rows_of(dim, queries), among, |asked, among| search::nearest(k, asked, among))
            .unwrap_or_else(|| rows::nearest(self, dim, k, queries, candidates))
    }

    fn neighbours<T: Scalar>(
        &self,
        dim: usize,
        k: usize,
        queries: &[T],
        candidates: Option<&[T]>,
    ) -> Vec<Neighbour> {
        self.streamed(dim, queries, candidates, |asked, among| search::neighbours(k, asked, among))
            .unwrap_or_else(|| rows::neighbours(self, dim, k, queries, candidates))
    }
}

host_backend!(Fast, "fast");
