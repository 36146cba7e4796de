//! The classes of a batch, worked out on the host and kept on the device.

use cudarc::driver::{CudaSlice, CudaView};

use crate::device::Cuda;
use crate::error::Error;
use crate::memory::count;

/// Samples by class, as `kernels/groups.cuh` reads them.
#[derive(Debug)]
pub(crate) struct Groups {
    all: CudaSlice<u32>,
    count: usize,
    pairs: usize,
    negatives: u64,
}

impl Groups {
    pub(crate) fn new(cuda: &Cuda, labels: &[u32]) -> Result<Self, Error> {
        let Laid { all, pairs } = Laid::new(labels);
        count(pairs)?;
        let all_pairs = labels.len() as u64 * (labels.len() as u64).saturating_sub(1);
        Ok(Self { all: cuda.words(&all)?, count: labels.len(), pairs, negatives: all_pairs - pairs as u64 })
    }

    /// Samples.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Ordered (anchor, positive) pairs.
    pub(crate) fn pairs(&self) -> usize {
        self.pairs
    }

    /// Ordered (anchor, negative) pairs.
    pub(crate) fn negatives(&self) -> u64 {
        self.negatives
    }

    pub(crate) fn read(&self) -> CudaView<'_, u32> {
        self.all.slice(..5 * self.count)
    }
}

/// The five arrays, one after another.
struct Laid {
    all: Vec<u32>,
    pairs: usize,
}

impl Laid {
    fn new(labels: &[u32]) -> Self {
        let n = labels.len();
        let mut all = vec![0; 5 * n];
        let (members, rest) = all.split_at_mut(n);
        let (begins, rest) = rest.split_at_mut(n);
        let (ends, rest) = rest.split_at_mut(n);
        let (places, first_pairs) = rest.split_at_mut(n);
        for (place, member) in members.iter_mut().enumerate() {
            *member = place as u32;
        }
        members.sort_unstable_by_key(|&i| (labels[i as usize], i));
        let mut from = 0;
        for class in members.chunk_by(|&a, &b| labels[a as usize] == labels[b as usize]) {
            for (place, &i) in class.iter().enumerate() {
                begins[i as usize] = from;
                ends[i as usize] = from + class.len() as u32;
                places[i as usize] = place as u32;
            }
            from += class.len() as u32;
        }
        let mut pairs = 0;
        for i in 0..n {
            first_pairs[i] = pairs as u32;
            pairs += (ends[i] - begins[i]) as usize - 1;
        }
        Self { all, pairs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_listed_in_order_with_their_pairs() {
        let Laid { all, pairs } = Laid::new(&[7, 3, 7, 9, 3, 7]);
        let arrays: Vec<&[u32]> = all.chunks(6).collect();
        assert_eq!(arrays[0], [1, 4, 0, 2, 5, 3]); // members
        assert_eq!(arrays[1], [2, 0, 2, 5, 0, 2]); // where the class begins
        assert_eq!(arrays[2], [5, 2, 5, 6, 2, 5]); // and ends
        assert_eq!(arrays[3], [0, 0, 1, 0, 1, 2]); // place in the class
        assert_eq!(arrays[4], [0, 2, 3, 5, 5, 6]); // first pair
        assert_eq!(pairs, 8);
        assert_eq!(Laid::new(&[]).pairs, 0);
    }
}
