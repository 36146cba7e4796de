//! Members of each class of a batch and its memory, listed once, so that no draw walks all rows.

use crate::rng::Key;

/// Samples sorted by class, in the order of the batch within each; what a memory holds comes last.
pub(super) struct Classes {
    anchors: u32,
    members: Vec<u32>,
    /// Where the class of each sample begins and ends among the members.
    bounds: Vec<[u32; 2]>,
}

impl Classes {
    /// The first `anchors` are the batch.
    pub(super) fn new(anchors: usize, labels: &[u32]) -> Self {
        let mut members: Vec<u32> = (0..labels.len() as u32).collect();
        members.sort_by_key(|&i| labels[i as usize]);
        let mut bounds = vec![[0; 2]; labels.len()];
        let mut start = 0;
        for class in members.chunk_by(|&a, &b| labels[a as usize] == labels[b as usize]) {
            let end = start + class.len();
            for &i in class {
                bounds[i as usize] = [start as u32, end as u32];
            }
            start = end;
        }
        Self { anchors: anchors as u32, members, bounds }
    }

    /// The class of a sample, itself included.
    pub(super) fn of(&self, sample: usize) -> &[u32] {
        let [start, end] = self.bounds[sample];
        &self.members[start as usize..end as usize]
    }

    /// Those of the class of a sample that are of the batch, itself included.
    pub(super) fn of_batch(&self, sample: usize) -> &[u32] {
        let class = self.of(sample);
        &class[..class.partition_point(|&i| i < self.anchors)]
    }

    /// Any sample that has neither the class of `anchor` nor that of `negative`: the same as
    /// [`draw_row`](crate::Sampler::draw_row) takes.
    pub(super) fn third(&self, anchor: u32, negative: u32, key: Key, index: u32) -> Option<u32> {
        let [mut a, mut b] = [self.of(anchor as usize), self.of(negative as usize)];
        let count = self.members.len() - a.len() - b.len();
        if count == 0 {
            return None;
        }
        // The rank among the others becomes an index by stepping over each member of the two classes before it.
        let mut at = key.below(anchor, index, count) as u32;
        loop {
            let next = match (a.split_first(), b.split_first()) {
                (Some((&x, rest)), Some((&y, _))) if x < y => {
                    a = rest;
                    x
                }
                (_, Some((&y, rest))) => {
                    b = rest;
                    y
                }
                (Some((&x, rest)), None) => {
                    a = rest;
                    x
                }
                (None, None) => return Some(at),
            };
            if next > at {
                return Some(at);
            }
            at += 1;
        }
    }
}
