//! Where classes lie as a network last saw them, and an order of classes that puts near ones side by side.
//!
//! Once a network has learned a while it tells most pairs of classes apart, and a batch of classes by chance holds few of
//! the pairs that it still confuses: no sampler can draw a negative that is not in the batch. Classes that lie near each
//! other belong into one batch. (Sohn, "Improved deep metric learning with multi-class N-pair loss objective", NIPS 2016,
//! section 3.2.2, hard negative class mining.)

use alloc::vec::Vec;

use crate::Scalar;
use crate::batch::Embeddings;
use crate::distance::dot;
use crate::rng::{Key, shuffle};

/// The mean direction of each class, from the embeddings that were [seen](Self::see) of it last.
///
/// ```
/// use nearfar_core::{ClassMeans, Embeddings, Key, Stream};
/// let mut means = ClassMeans::new(4, 2);
/// for (class, row) in [[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.6, 0.8]].iter().enumerate() {
///     means.see(class as u32, Embeddings::new(row, 2)?);
/// }
/// // Cosines: 0.8 of classes 0 and 2 and of 1 and 3, 0.96 of 2 and 3. Class 2 asks first and takes class 3.
/// let mut order = means.side_by_side(&[2, 0, 1, 3], 2, Key::new(0, Stream::Classes, 0));
/// order.chunks_exact_mut(2).for_each(|group| group.sort_unstable());
/// assert!([[0, 1, 2, 3], [2, 3, 0, 1]].contains(order.as_slice().try_into()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMeans {
    dim: usize,
    /// `[K, D]`, unit rows; zeros of a class that was not seen yet.
    values: Vec<f32>,
}

impl ClassMeans {
    /// Of `classes` classes, none of which was seen, in dimension `dim`, which is 1 at least.
    #[must_use]
    pub fn new(classes: usize, dim: usize) -> Self {
        Self { dim, values: alloc::vec![0.0; classes * dim] }
    }

    /// `[K, D]`: unit rows, or zeros of a class that was not seen yet.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Takes up what [`values`](Self::values) gave; `false` if that was of another size, and then nothing changes.
    #[must_use]
    pub fn restore(&mut self, values: &[f32]) -> bool {
        let fits = values.len() == self.values.len();
        if fits {
            self.values.copy_from_slice(values);
        }
        fits
    }

    /// The mean of a class is now the direction of the sum of these embeddings of it; where they sum to nothing it stays
    /// what it was. Panics: no such class, or embeddings of another dimension.
    pub fn see(&mut self, class: u32, embeddings: Embeddings<'_, f32>) {
        assert_eq!(embeddings.dim(), self.dim, "dimension of the embeddings");
        let mut sum = alloc::vec![0.0; self.dim];
        for row in embeddings.rows() {
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        let length = Scalar::sqrt(dot(&sum, &sum));
        if length > 0.0 && length.is_finite() {
            let mean = &mut self.values[class as usize * self.dim..][..self.dim];
            mean.iter_mut().zip(&sum).for_each(|(mean, sum)| *mean = sum / length);
        }
    }

    /// The same classes in groups of `size` that lie near each other; the last group is what is left over.
    ///
    /// In the order given, each class that is free still takes the `size - 1` free ones of largest cosine to it (of equal
    /// ones the earlier). Late groups are of what others left, so the groups are shuffled by `key`, items 1: cut into
    /// batches, each has some of both. Classes that were not seen yet have cosine 0 to all. Costs K² D / 2 multiplications
    /// and memory O(K).
    ///
    /// Panics: a class that there is not.
    #[must_use]
    pub fn side_by_side(&self, order: &[u32], size: usize, key: Key) -> Vec<u32> {
        let size = size.max(1);
        let mean = |class: u32| &self.values[class as usize * self.dim..][..self.dim];
        let mut free: Vec<u32> = order.to_vec();
        let mut groups: Vec<Vec<u32>> = Vec::with_capacity(order.len().div_ceil(size));
        while let Some(&first) = free.first() {
            let cosine = |&class: &u32| dot(mean(first), mean(class));
            // The first takes itself before all others.
            let mut near: Vec<(f32, usize)> = free
                .iter()
                .map(cosine)
                .zip(0..)
                .map(|(c, at)| (if at == 0 { f32::MAX } else { c }, at))
                .collect();
            let taken = size.min(near.len());
            near.select_nth_unstable_by(taken - 1, |(a, i), (b, j)| b.total_cmp(a).then(i.cmp(j)));
            near.truncate(taken);
            near.sort_unstable_by(|(a, i), (b, j)| b.total_cmp(a).then(i.cmp(j)));
            groups.push(near.iter().map(|&(_, at)| free[at]).collect());
            let group = groups.last().map_or(&[][..], Vec::as_slice);
            free.retain(|class| !group.contains(class));
        }
        let whole = order.len() / size;
        shuffle(&mut groups[..whole], key, 1);
        groups.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stream, normalize_row};

    fn key(pass: u32) -> Key {
        Key::new(4, Stream::Classes, pass)
    }

    /// `count` classes in drawn directions.
    fn drawn(count: usize, dim: usize) -> ClassMeans {
        let mut means = ClassMeans::new(count, dim);
        for class in 0..count as u32 {
            let row: Vec<f32> = (0..dim as u32).map(|i| key(0).normals(class, i)[0] as f32).collect();
            means.see(class, Embeddings::new(&row, dim).unwrap());
        }
        means
    }

    #[test]
    fn groups_are_those_of_the_definition() {
        for (count, dim, size) in [(40, 3, 8), (41, 5, 4), (7, 2, 7), (5, 2, 9), (6, 4, 1)] {
            let means = drawn(count, dim);
            let mut order: Vec<u32> = (0..count as u32).collect();
            shuffle(&mut order, key(1), 0);
            let grouped = means.side_by_side(&order, size, key(1));
            let mut found: Vec<Vec<u32>> = grouped.chunks(size).map(<[u32]>::to_vec).collect();
            found.iter_mut().for_each(|group| group.sort_unstable());
            // One after the other, by a sort of all that are left.
            let mean = |class: u32| means.values[class as usize * dim..][..dim].iter().map(|&v| f64::from(v));
            let (mut left, mut wanted) = (order, Vec::new());
            while !left.is_empty() {
                let first = left.remove(0);
                let cosine = |class: u32| mean(first).zip(mean(class)).map(|(a, b)| a * b).sum::<f64>();
                let mut near = left.clone();
                near.sort_by(|&a, &b| cosine(b).total_cmp(&cosine(a)));
                near.truncate(size - 1);
                left.retain(|class| !near.contains(class));
                near.push(first);
                near.sort_unstable();
                wanted.push(near);
            }
            if count % size > 0 {
                assert_eq!(found.last(), wanted.last(), "what is left over comes last");
            }
            let mut sorted = [found, wanted];
            sorted.iter_mut().for_each(|groups| groups.sort_unstable());
            assert_eq!(sorted[0], sorted[1], "{count} classes by {size}");
        }
    }

    #[test]
    fn batches_mix_early_groups_and_late_ones() {
        let means = drawn(60, 2);
        let order: Vec<u32> = (0..60).collect();
        let [one, other] = [1, 2].map(|pass| means.side_by_side(&order, 4, key(pass)));
        assert_ne!(one, other);
        // The first class asks first; of fifteen places in two shuffles one at the front twice has chance 1/225.
        assert!(!(one[..4].contains(&0) && other[..4].contains(&0)));
    }

    #[test]
    fn a_mean_is_the_direction_of_the_last_sum() {
        let mut means = ClassMeans::new(2, 2);
        let see = |means: &mut ClassMeans, rows: &[f32]| means.see(1, Embeddings::new(rows, 2).unwrap());
        see(&mut means, &[1.0, 0.0, 0.6, 0.8]);
        let mut mean = [0.0; 2];
        normalize_row(&[1.6, 0.8], &mut mean).unwrap();
        assert!(means.values[2..].iter().zip(mean).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6));
        let before = means.clone();
        see(&mut means, &[1.0, 0.0, -1.0, 0.0]);
        assert_eq!(means, before, "no direction");
        see(&mut means, &[0.0, -1.0]);
        assert_eq!(means.values, [0.0, 0.0, 0.0, -1.0]);
    }

    #[test]
    fn what_was_saved_is_taken_up() {
        let means = drawn(3, 2);
        let mut again = ClassMeans::new(3, 2);
        assert!(!again.restore(&[0.0; 4]));
        assert!(again.restore(means.values()));
        assert_eq!(again, means);
    }
}
