//! All that a step needs of its batch, in one copy to the device.
//!
//! ```text
//! words   inputs | labels | samples by class | parts of boundaries        one array; each part is a range of it
//! ```
//! Inputs come first: they are read four at a time, which asks for their place on 16 bytes and not for the others'.

use std::sync::{Arc, PoisonError};

use nearfar_core::kernel::{Batch, HostBatch};

use crate::device::Cuda;
use crate::error::Error;
use crate::groups::Laid;
use crate::memory::{Buffer, Indices};
use crate::words::Words;

impl Cuda {
    /// Brings a batch to `there` in one copy. What `there` held is over, and its memory is used again.
    pub fn upload_batch<'t>(
        &self,
        batch: HostBatch<'_, f32>,
        there: &'t mut Option<Batch<Buffer, Indices>>,
    ) -> Result<&'t Batch<Buffer, Indices>, Error> {
        let HostBatch { inputs, labels, anchors, parts } = batch;
        // Without labels there are no classes to tell.
        let grouped = anchors.min(labels.len());
        let classes = Laid::new(grouped, labels);
        // What a panic left here is cleared like anything else.
        let mut packed = self.packed().lock().unwrap_or_else(PoisonError::into_inner);
        packed.clear();
        packed.extend(inputs.iter().map(|v| v.to_bits()));
        packed.extend(labels);
        packed.extend(&classes.all);
        packed.extend(parts.iter().flat_map(|&(class, image)| [class, image]));

        let old = there.take().and_then(|Batch { inputs, labels, parts }| {
            // The others go first: what is left has the array to itself.
            drop((labels, parts));
            inputs.0.into_memory()
        });
        let mut memory = match old.filter(|old| old.len() >= packed.len()) {
            Some(old) => old,
            None => self.allocate(packed.len())?,
        };
        self.send(&packed, &mut memory.slice_mut(..packed.len()))?;

        let (memory, mut end) = (Arc::new(memory), 0);
        let mut next = |len: usize| {
            end += len;
            Words::part(&memory, end - len..end)
        };
        let (inputs, labels_there) = (Buffer(next(inputs.len())), next(labels.len()));
        let groups = next(classes.all.len());
        let labels = Indices::with_groups(labels_there, labels, classes.on_device(groups, grouped)?);
        let parts = Indices::part(next(2 * parts.len()));
        Ok(there.insert(Batch { inputs, labels, parts }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::device;

    #[test]
    fn the_memory_of_a_batch_is_that_of_the_one_before_it() {
        let Some(cuda) = device() else { return };
        let mut there = None;
        // A batch that is smaller has room to spare; one that is larger needs an array of its own.
        for (len, room) in [(40, 40), (9, 40), (40, 40), (41, 41), (1, 41)] {
            let host = HostBatch { inputs: &vec![0.5; len], ..HostBatch::default() };
            let batch = cuda.upload_batch(host, &mut there).unwrap();
            assert_eq!((batch.inputs.0.len(), batch.inputs.0.memory_len()), (len, room));
        }
    }
}
