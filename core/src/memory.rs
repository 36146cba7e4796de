//! Cross-batch memory: embeddings of past batches, kept as further negatives of the present one.
//!
//! Source: Wang, Zhang, Huang, Scott, "Cross-Batch Memory for Embedding Learning", CVPR 2020: embeddings drift slowly
//! once training has settled, so those of the last steps stand in for a batch that no machine would hold. Their queue is
//! this ring. Two differences: rows enter after their step, so that no row meets itself; and they are negatives alone,
//! since the positives of a batch are all its pairs, whose number the samplers build on.

use alloc::vec::Vec;

use crate::Scalar;
use crate::batch::{Embeddings, Row};
use crate::distance::distance;
use crate::kernel::Backend;
use crate::loss::Objective;
use crate::sample::Draw;

/// The last `capacity` embeddings, on a backend; a full ring gives up its oldest row for each new one.
///
/// A step [joins](Self::join) its batch to the rows that are held, which makes what a
/// [`BatchView`](crate::kernel::BatchView) wants, and at its end [pushes](Self::push) its own embeddings as they were
/// computed in it. Numbers stay on the backend; labels and the steps at which rows were written are the host's.
///
/// ```
/// use nearfar_core::{Ages, Memory, kernel::scalar::Reference};
/// // Three rows of one number, for batches of two.
/// let mut memory = Memory::<f32, _>::new(&Reference, 3, 1, 2)?;
/// memory.push(&vec![0.1, 0.2], &[7, 8], 0)?;
/// memory.push(&vec![0.3, 0.4], &[9, 5], 1)?; // the oldest row, 0.1, is gone
/// assert_eq!(memory.labels(), [5, 8, 9]);
/// assert_eq!(memory.join(&vec![0.5, 0.6], 2)?, &[0.5, 0.6, 0.4, 0.2, 0.3]);
/// assert_eq!(memory.ages(2), Ages { mean: 4.0 / 3.0, max: 2 });
/// # Ok::<(), nearfar_core::BatchError>(())
/// ```
pub struct Memory<'a, T: Scalar, B: Backend<T>> {
    backend: &'a B,
    capacity: usize,
    dim: usize,
    /// `[capacity, dim]`.
    ring: B::Buffer,
    /// A batch and the ring behind it.
    joined: B::Buffer,
    /// Of each row that is held, in the order of the ring.
    labels: Vec<u32>,
    steps: Vec<u32>,
    next: usize,
}

/// How long ago rows were written, in steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ages {
    /// Mean over the rows.
    pub mean: f64,
    /// The oldest row's.
    pub max: u32,
}

/// What a memory holds, on the host: with it a run goes on as if it had never stopped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryState<T> {
    /// Embeddings in the order of the ring, `[len, dim]`.
    pub rows: Vec<T>,
    /// Class of each, `[len]`.
    pub labels: Vec<u32>,
    /// Step at which each was written, `[len]`.
    pub steps: Vec<u32>,
    /// The place that is written next.
    pub next: u32,
}

impl<'a, T: Scalar, B: Backend<T>> Memory<'a, T, B> {
    /// An empty memory of `capacity` rows of `dim` numbers, for batches of at most `batch`. Takes its space at once.
    pub fn new(backend: &'a B, capacity: usize, dim: usize, batch: usize) -> Result<Self, B::Error> {
        Ok(Self {
            backend,
            capacity,
            dim,
            ring: backend.zeros(capacity * dim)?,
            joined: backend.zeros((batch + capacity) * dim)?,
            labels: Vec::new(),
            steps: Vec::new(),
            next: 0,
        })
    }

    /// Rows that are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether no row is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Class of each row, in the order in which they stand behind a batch.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// How old the rows are at `step`; 0 of no rows.
    #[must_use]
    pub fn ages(&self, step: u32) -> Ages {
        let ages = self.steps.iter().map(|&written| step.saturating_sub(written));
        let sum: u64 = ages.clone().map(u64::from).sum();
        Ages { mean: sum as f64 / self.len().max(1) as f64, max: ages.max().unwrap_or(0) }
    }

    /// The first `count` rows of `embeddings`, and behind them all rows that are held: `[count + len, dim]`.
    pub fn join(&mut self, embeddings: &B::Buffer, count: usize) -> Result<&B::Buffer, B::Error> {
        let (batch, held) = (count * self.dim, self.len() * self.dim);
        self.backend.copy(embeddings, 0, &mut self.joined, 0, batch)?;
        self.backend.copy(&self.ring, 0, &mut self.joined, batch, held)?;
        Ok(&self.joined)
    }

    /// What [`join`](Self::join) gave last.
    #[must_use]
    pub fn joined(&self) -> &B::Buffer {
        &self.joined
    }

    /// Takes in the embeddings of a step, one for each label; of more than fit, the last.
    pub fn push(&mut self, embeddings: &B::Buffer, labels: &[u32], step: u32) -> Result<(), B::Error> {
        let mut from = labels.len().saturating_sub(self.capacity);
        while from < labels.len() {
            let len = (labels.len() - from).min(self.capacity - self.next);
            let (source, target) = (from * self.dim, self.next * self.dim);
            self.backend.copy(embeddings, source, &mut self.ring, target, len * self.dim)?;
            let end = self.next + len;
            if end > self.len() {
                self.labels.resize(end, 0);
                self.steps.resize(end, 0);
            }
            self.labels[self.next..end].copy_from_slice(&labels[from..from + len]);
            self.steps[self.next..end].fill(step);
            (from, self.next) = (from + len, end % self.capacity);
        }
        Ok(())
    }

    /// Everything that a resumed run needs.
    pub fn state(&self) -> Result<MemoryState<T>, B::Error> {
        let mut rows = alloc::vec![T::ZERO; self.len() * self.dim];
        self.backend.download(&self.ring, &mut rows)?;
        let (labels, steps) = (self.labels.clone(), self.steps.clone());
        Ok(MemoryState { rows, labels, steps, next: self.next as u32 })
    }

    /// Sets what [`state`](Self::state) gave; false if it is that of another size of memory, or of none.
    pub fn restore(&mut self, state: MemoryState<T>) -> Result<bool, B::Error> {
        let (len, next) = (state.labels.len(), state.next as usize);
        // Until it is full, the next place is behind the last row.
        let placed =
            if len < self.capacity { next == len } else { len == self.capacity && next < len.max(1) };
        if !placed || state.steps.len() != len || state.rows.len() != len * self.dim {
            return Ok(false);
        }
        self.backend.upload(&state.rows, &mut self.ring)?;
        (self.labels, self.steps, self.next) = (state.labels, state.steps, next);
        Ok(true)
    }
}

/// The share of a step's negatives that came from its memory, by what the memory is judged.
///
/// ```text
/// a sampler that draws    draws whose negative is remembered / draws
/// one that weighs all     mean over anchors a of  sum of w[a, m] over remembered m / sum of w[a, n] over all negatives n
/// ```
/// Anchors without a positive or without weight are left out; 0 of none. `x` is `[N + M, D]`, the batch before the
/// memory, with a class in `labels` each; `betas` are those of the N anchors. O(N (N + M) D) where weights are asked for.
///
/// ```
/// use nearfar_core::{Contrastive, Embeddings, Loss, Objective, Reduction, Sampler, remembered_share};
/// // Two samples of class 1; behind them one remembered of class 2, and one of class 1, which is nobody's negative.
/// let x = Embeddings::new(&[1.0_f32, 0.0, 0.8, 0.6, 0.0, 1.0, -1.0, 0.0], 2)?;
/// let loss = Loss::Contrastive(Contrastive::new(1.0)?);
/// let all = Objective::new(loss, Sampler::All, Reduction::Sum)?;
/// assert_eq!(remembered_share(&all, x, &[1, 1, 2, 1], &[1.2; 2], &[]), 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn remembered_share<T: Scalar>(
    objective: &Objective<T>,
    x: Embeddings<'_, T>,
    labels: &[u32],
    betas: &[T],
    draws: &[Draw<T>],
) -> f64 {
    let (sampler, anchors) = (objective.sampler(), betas.len());
    let (mut sum, mut count) = (0.0, 0_usize);
    let mut add = |share: f64| {
        sum += share;
        count += 1;
    };
    if sampler.draws() {
        draws.iter().for_each(|draw| add(f64::from(u8::from(draw.triplet.negative as usize >= anchors))));
    } else {
        let mut weights = alloc::vec![T::ZERO; x.count()];
        for (anchor, &beta) in betas.iter().enumerate() {
            let distances: Vec<T> = x.rows().map(|other| distance(x.row(anchor), other)).collect();
            let row = Row { anchor, anchors, labels, distances: &distances, beta };
            if row.positives().next().is_none() {
                continue;
            }
            let total = sampler.row_weights(&row, &mut weights);
            if total > 0.0 {
                add(weights[anchors..].iter().map(|weight| weight.to_f64()).sum::<f64>() / total);
            }
        }
    }
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::scalar::Reference;

    /// Batch number `step`: rows that know their step and place.
    fn batch(step: u32, count: usize) -> (Vec<f64>, Vec<u32>) {
        let number = |i: usize| f64::from(step) + 0.01 * i as f64;
        (
            (0..count).flat_map(|i| [number(i), -number(i)]).collect(),
            (0..count as u32).map(|i| 10 * step + i).collect(),
        )
    }

    #[test]
    fn a_ring_holds_the_last_rows_with_their_labels_and_steps() {
        for (capacity, count) in [(10, 3), (9, 3), (5, 5), (4, 7), (1, 2), (100, 6)] {
            let mut memory = Memory::new(&Reference, capacity, 2, count).unwrap();
            let mut all = Vec::new();
            for step in 0..20 {
                let (rows, labels) = batch(step, count);
                let joined = memory.join(&rows, count).unwrap().clone();
                assert_eq!(joined[..2 * count], rows);
                // The same rows as in a list of all that ever were, each with its label.
                let mut held: Vec<(u64, u32)> = joined[2 * count..]
                    .chunks(2)
                    .map(|row| row[0].to_bits())
                    .zip(memory.labels().iter().copied())
                    .collect();
                let last: &[(u64, u32)] = &all[all.len().saturating_sub(capacity)..];
                let mut last = last.to_vec();
                held.sort_unstable();
                last.sort_unstable();
                assert_eq!(held, last, "{capacity} rows, batches of {count}, step {step}");
                let ages = memory.ages(step);
                assert!(memory.is_empty() || (ages.mean >= 1.0 && f64::from(ages.max) >= ages.mean));
                assert!(ages.max as usize <= capacity.div_ceil(count));
                memory.push(&rows, &labels, step).unwrap();
                all.extend(rows.chunks(2).map(|row| row[0].to_bits()).zip(labels));
                assert_eq!(memory.len(), all.len().min(capacity));
            }
        }
    }

    #[test]
    fn a_restored_memory_is_the_one_that_was_saved() {
        let mut memory = Memory::new(&Reference, 7, 2, 3).unwrap();
        for step in 0..9 {
            let mut other = Memory::new(&Reference, 7, 2, 3).unwrap();
            assert!(other.restore(memory.state().unwrap()).unwrap());
            let (rows, labels) = batch(step, 3);
            for memory in [&mut memory, &mut other] {
                memory.push(&rows, &labels, step).unwrap();
            }
            assert_eq!(memory.state().unwrap(), other.state().unwrap());
        }
    }

    #[test]
    fn a_state_of_another_size_is_refused() {
        let mut memory = Memory::new(&Reference, 3, 1, 2).unwrap();
        let state = |len: usize, next| MemoryState {
            rows: alloc::vec![0.5; len],
            labels: alloc::vec![1; len],
            steps: alloc::vec![0; len],
            next,
        };
        for (state, good) in [
            (state(2, 2), true),
            (state(3, 1), true),
            (state(0, 0), true),
            (state(2, 1), false),
            (state(3, 3), false),
            (state(4, 0), false),
            (MemoryState { steps: Vec::new(), ..state(2, 2) }, false),
            (MemoryState { rows: alloc::vec![0.5; 5], ..state(2, 2) }, false),
        ] {
            assert_eq!(memory.restore(state.clone()).unwrap(), good, "{state:?}");
        }
    }

    #[test]
    fn a_memory_of_nothing_holds_nothing() {
        let mut memory = Memory::new(&Reference, 0, 2, 3).unwrap();
        let (rows, labels) = batch(1, 3);
        memory.push(&rows, &labels, 1).unwrap();
        assert!(memory.is_empty() && memory.ages(5) == Ages::default());
        assert_eq!(memory.join(&rows, 3).unwrap(), &rows);
    }

    #[test]
    fn shares_are_counted_by_draws_or_by_weights() {
        use crate::{Contrastive, Loss, Reduction, Sampler, Triplet};
        // Two samples of one class and one of another; two remembered ones of that, one of the first.
        let x = [1.0_f32, 0.0, 0.8, 0.6, 0.0, 1.0, 0.0, 1.0, -1.0, 0.0, 1.0, 0.0];
        let share = |sampler, draws: &[Draw<f32>]| {
            let loss = Loss::Contrastive(Contrastive::new(1.0).unwrap());
            let objective = Objective::new(loss, sampler, Reduction::Sum).unwrap();
            let x = Embeddings::new(&x, 2).unwrap();
            remembered_share(&objective, x, &[1, 1, 2, 2, 2, 1], &[1.2; 3], draws)
        };
        // Each of the two anchors with a positive has three negatives, two of them remembered.
        assert!((share(Sampler::All, &[]) - 2.0 / 3.0).abs() < 1e-12);
        let draw =
            |negative| Draw { triplet: Triplet { anchor: 0, positive: 1, negative }, ..Draw::default() };
        assert_eq!(share(Sampler::Hard, &[draw(2), draw(4), draw(3), draw(3)]), 0.75);
        // Of nothing; and not -0, which is not what a file should say.
        assert_eq!(share(Sampler::Hard, &[]).to_bits(), 0);
    }
}
