//! All that a step needs of its batch, in one copy to the device.
//!
//! ```text
//! words   inputs | labels | samples by class | boundaries        one array; each part is a range of it
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
        let HostBatch { inputs, labels, anchors, betas } = batch;
        let classes = Laid::new(anchors, labels);
        let bits = |v: &f32| v.to_bits();
        // What a panic left here is cleared like anything else.
        let mut packed = self.packed().lock().unwrap_or_else(PoisonError::into_inner);
        packed.clear();
        packed.extend(inputs.iter().map(bits));
        packed.extend(labels);
        packed.extend(&classes.all);
        packed.extend(betas.iter().map(bits));

        // The parts of the last batch but one go, and the one left has the array to itself.
        let old = there.take().and_then(|Batch { inputs, .. }| inputs.0.into_memory());
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
        let labels = Indices::with_groups(labels_there, labels, classes.on_device(groups, anchors)?);
        Ok(there.insert(Batch { inputs, labels, betas: Buffer(next(betas.len())) }))
    }
}
