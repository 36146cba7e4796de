//! The classes of a batch and of what a memory holds behind it, worked out on the host and kept on the device.

use cudarc::driver::CudaView;

use crate::device::Cuda;
use crate::error::Error;
use crate::memory::count;
use crate::words::Words;

/// Samples by class, as `kernels/groups.cuh` reads them.
#[derive(Debug)]
pub(crate) struct Groups {
    all: Words,
    anchors: usize,
    count: usize,
    pairs: usize,
    negatives: u64,
}

impl Groups {
    /// The first `anchors` samples are the batch.
    pub(crate) fn new(cuda: &Cuda, anchors: usize, labels: &[u32]) -> Result<Self, Error> {
        let laid = Laid::new(anchors, labels);
        let all = Words::own(cuda.words(&laid.all)?, laid.all.len());
        laid.on_device(all, anchors)
    }

    /// Samples of the batch, and all.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.anchors, self.count)
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
        self.all.read(0..6 * self.count)
    }
}

/// The six arrays, one after another.
pub(crate) struct Laid {
    pub(crate) all: Vec<u32>,
    pairs: usize,
    negatives: u64,
}

impl Laid {
    /// The groups, whose arrays the device has by now.
    pub(crate) fn on_device(self, all: Words, anchors: usize) -> Result<Groups, Error> {
        let Self { all: host, pairs, negatives } = self;
        count(pairs)?;
        Ok(Groups { all, anchors, count: host.len() / 6, pairs, negatives })
    }

    pub(crate) fn new(anchors: usize, labels: &[u32]) -> Self {
        let n = labels.len();
        let mut all = vec![0; 6 * n];
        let (members, rest) = all.split_at_mut(n);
        let (begins, rest) = rest.split_at_mut(n);
        let (ends, rest) = rest.split_at_mut(n);
        let (places, rest) = rest.split_at_mut(n);
        let (first_pairs, of_batch) = rest.split_at_mut(n);
        for (place, member) in members.iter_mut().enumerate() {
            *member = place as u32;
        }
        members.sort_unstable_by_key(|&i| (labels[i as usize], i));
        let mut from = 0;
        for class in members.chunk_by(|&a, &b| labels[a as usize] == labels[b as usize]) {
            let own = class.partition_point(|&i| (i as usize) < anchors) as u32;
            for (place, &i) in class.iter().enumerate() {
                of_batch[i as usize] = own;
                begins[i as usize] = from;
                ends[i as usize] = from + class.len() as u32;
                places[i as usize] = place as u32;
            }
            from += class.len() as u32;
        }
        let (mut pairs, mut negatives) = (0, 0);
        for i in 0..anchors {
            first_pairs[i] = pairs as u32;
            pairs += of_batch[i] as usize - 1;
            negatives += (n - (ends[i] - begins[i]) as usize) as u64;
        }
        Self { all, pairs, negatives }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_listed_in_order_with_their_pairs() {
        let Laid { all, pairs, negatives } = Laid::new(6, &[7, 3, 7, 9, 3, 7]);
        let arrays: Vec<&[u32]> = all.chunks(6).collect();
        assert_eq!(arrays[0], [1, 4, 0, 2, 5, 3]); // members
        assert_eq!(arrays[1], [2, 0, 2, 5, 0, 2]); // where the class begins
        assert_eq!(arrays[2], [5, 2, 5, 6, 2, 5]); // and ends
        assert_eq!(arrays[3], [0, 0, 1, 0, 1, 2]); // place in the class
        assert_eq!(arrays[4], [0, 2, 3, 5, 5, 6]); // first pair
        assert_eq!(arrays[5], [3, 2, 3, 1, 2, 3]); // of the class in the batch
        assert_eq!((pairs, negatives), (8, 22));
        assert_eq!(Laid::new(0, &[]).pairs, 0);
    }

    #[test]
    fn what_a_memory_holds_has_no_pairs() {
        let Laid { all, pairs, negatives } = Laid::new(3, &[7, 3, 7, 9, 3, 7]);
        let arrays: Vec<&[u32]> = all.chunks(6).collect();
        assert_eq!(arrays[0], [1, 4, 0, 2, 5, 3]);
        assert_eq!(arrays[4][..3], [0, 1, 1]);
        assert_eq!(arrays[5], [2, 1, 2, 0, 1, 2]);
        assert_eq!((pairs, negatives), (2, 3 + 4 + 3));
    }
}
