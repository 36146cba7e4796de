//! Losses of a batch: on drawn tuples here, on whole rows in `rows.rs`.

use cudarc::driver::{CudaView, CudaViewMut};
use nearfar_core::kernel::BatchView;
use nearfar_core::{Loss, LossReport, Objective, Reduction};

use crate::device::Cuda;
use crate::draw::Draws;
use crate::error::Error;
use crate::launch::Grid;
use crate::memory::{Buffer, Indices, count};
use crate::pairs::row_grid;

/// Numbers that each tuple or row reports: value, active terms, terms, boundaries.
pub(crate) const FIELDS: usize = 4;
/// Pulls of one tuple: as in `kernels/tuples.cu`.
const PULLS: usize = 4;

/// A reduction as the kernels know it.
pub(crate) fn reduction_code(reduction: Reduction) -> u32 {
    match reduction {
        Reduction::MeanActive => 0,
        Reduction::Mean => 1,
        Reduction::Sum => 2,
    }
}

/// Weight of the boundary penalty; 0 for losses without boundary.
pub(crate) fn nu(loss: &Loss<f32>) -> f32 {
    if let Loss::Margin(margin) = loss { margin.nu() } else { 0.0 }
}

impl Cuda {
    /// Value of the objective on the batch, `dx` its gradient to the embeddings of the batch `[anchors, dim]` (not
    /// through the normalisation) and `dbetas` to the boundary of each anchor `[anchors]`.
    ///
    /// Waits for the device: the value is part of the answer.
    pub fn loss(
        &self,
        batch: BatchView<'_, Buffer, Indices>,
        objective: &Objective<f32>,
        draws: &Draws,
        dx: &mut Buffer,
        dbetas: &mut Buffer,
    ) -> Result<LossReport, Error> {
        if objective.sampler().draws() {
            self.tuple_loss(batch, objective, draws, dx, dbetas)
        } else {
            self.row_loss(batch, objective, dx, dbetas)
        }
    }

    fn tuple_loss(
        &self,
        batch: BatchView<'_, Buffer, Indices>,
        objective: &Objective<f32>,
        draws: &Draws,
        dx: &mut Buffer,
        dbetas: &mut Buffer,
    ) -> Result<LossReport, Error> {
        let BatchView { anchors, count: n, dim, .. } = batch;
        let (kind, alpha, alpha2, squared) = match objective.loss() {
            Loss::Contrastive(loss) => (0_u32, loss.alpha(), 0.0, false),
            Loss::Margin(loss) => (1, loss.alpha(), 0.0, false),
            Loss::Triplet(loss) => (2, loss.alpha(), 0.0, loss.is_squared()),
            Loss::Quadruplet(loss) => (3, loss.first().alpha(), loss.second().alpha(), true),
            _ => return Err(Error::Unsupported { what: "this loss on drawn tuples" }),
        };
        let (x, betas, len) = (batch.embeddings.read(n * dim), batch.betas.read(anchors), draws.len());
        count(n.saturating_mul(dim))?;
        count(len.saturating_mul(2 * PULLS))?;
        let mut scratch = self.scratch();
        let (
            [mut shares, mut slopes],
            [mut fields, mut sums],
            [mut counts, mut begins, mut cursors, mut entries],
        ) = scratch.arrays(
            self,
            [PULLS * len, len],
            [FIELDS * len, FIELDS],
            [anchors, anchors + 1, anchors, 2 * PULLS * len],
        )?;
        self.clear(&mut counts)?;
        // Without any tuple an array of the right kind stands in; no thread looks at it.
        let stand_in = batch.labels.read(0);
        let tuples = draws.tuples().unwrap_or(stand_in);
        self.launch(
            "tuple_terms",
            row_grid(len),
            [
                x.slice(..).into(),
                betas.slice(..).into(),
                tuples.slice(..).into(),
                shares.slice_mut(..).into(),
                slopes.slice_mut(..).into(),
                fields.slice_mut(..).into(),
                counts.slice_mut(..).into(),
                count(len)?.into(),
                count(anchors)?.into(),
                count(dim)?.into(),
                kind.into(),
                alpha.into(),
                alpha2.into(),
                u32::from(squared).into(),
            ],
        )?;
        self.totals::<FIELDS>(len, &fields.as_view(), &mut sums)?;
        self.launch(
            "list_begins",
            Grid { blocks: (1, 1, 1), threads: (256, 1) },
            [
                counts.as_view().into(),
                begins.slice_mut(..).into(),
                cursors.slice_mut(..).into(),
                count(anchors)?.into(),
            ],
        )?;
        self.launch(
            "list_fill",
            Grid::points(count(PULLS * len)?),
            [
                tuples.slice(..).into(),
                shares.as_view().into(),
                cursors.slice_mut(..).into(),
                entries.slice_mut(..).into(),
                count(len)?.into(),
                count(anchors)?.into(),
                kind.into(),
            ],
        )?;
        self.launch(
            "tuple_gather",
            row_grid(anchors),
            [
                x.slice(..).into(),
                tuples.slice(..).into(),
                shares.as_view().into(),
                slopes.as_view().into(),
                begins.as_view().into(),
                entries.slice_mut(..).into(),
                sums.as_view().into(),
                dx.write(anchors * dim).into(),
                dbetas.write(anchors).into(),
                count(anchors)?.into(),
                count(dim)?.into(),
                kind.into(),
                nu(objective.loss()).into(),
                reduction_code(objective.reduction()).into(),
            ],
        )?;
        self.loss_report(objective, &sums.as_view())
    }

    /// Distances of each drawn tuple, `[len, 2]`: from its anchor to its positive and to its negative, from the
    /// differences; those of an empty place stay as they are.
    pub(crate) fn tuple_distances(
        &self,
        dim: usize,
        embeddings: &CudaView<'_, f32>,
        tuples: &CudaView<'_, u32>,
        distances: &mut CudaViewMut<'_, f32>,
    ) -> Result<(), Error> {
        let len = tuples.len() / 4;
        self.launch(
            "tuple_distances",
            row_grid(len),
            [
                embeddings.slice(..).into(),
                tuples.slice(..).into(),
                distances.slice_mut(..2 * len).into(),
                count(len)?.into(),
                count(dim)?.into(),
            ],
        )
    }

    /// Waits for the totals of value, active terms, terms and boundaries.
    pub(crate) fn loss_report(
        &self,
        objective: &Objective<f32>,
        sums: &CudaView<'_, f64>,
    ) -> Result<LossReport, Error> {
        let mut host = [0.0; FIELDS];
        self.fetch(sums, &mut host)?;
        let [value, active, terms, boundaries] = host;
        if active == 0.0 {
            return Ok(LossReport { loss: 0.0, active, terms });
        }
        let divisor = match objective.reduction() {
            Reduction::MeanActive => active,
            Reduction::Mean => terms,
            Reduction::Sum => 1.0,
        };
        let value = value + f64::from(nu(objective.loss())) * boundaries;
        Ok(LossReport { loss: value / divisor, active, terms })
    }
}
