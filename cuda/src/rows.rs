//! Losses that take every negative of a row, with weights or without.

use cudarc::driver::{CudaView, CudaViewMut};
use nearfar_core::kernel::BatchView;
use nearfar_core::{Loss, LossReport, Objective};

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::{Arg, Grid};
use crate::linear::{Cut, FORWARD};
use crate::memory::{Buffer, Indices, count};
use crate::pairs::{Law, Pairing, Side, row_grid};
use crate::precision::Precision;
use crate::tuples::{FIELDS, nu, reduction_code};

/// A loss as `kernels/rows.cu` knows it.
#[derive(Clone, Copy, Debug)]
struct Code {
    kind: u32,
    numbers: [f32; 3],
    /// On inner products, rather than distances.
    on_products: bool,
    /// Terms wait until every row has its sum.
    in_two_steps: bool,
}

impl Code {
    fn new(loss: &Loss<f32>) -> Result<Self, Error> {
        let code = |kind, numbers| Self { kind, numbers, on_products: false, in_two_steps: false };
        Ok(match loss {
            Loss::Contrastive(loss) => code(0, [loss.alpha(), 0.0, 0.0]),
            Loss::Margin(loss) => code(1, [loss.alpha(), 0.0, 0.0]),
            Loss::Triplet(loss) => code(2 + u32::from(loss.is_squared()), [loss.alpha(), 0.0, 0.0]),
            Loss::NPair(loss) => {
                Self { on_products: true, in_two_steps: true, ..code(4, [loss.scale(), 0.0, 0.0]) }
            }
            Loss::Lifted(loss) => Self { in_two_steps: true, ..code(5, [loss.alpha(), 0.0, 0.0]) },
            Loss::MultiSimilarity(loss) => Self { on_products: true, ..code(6, loss.parameters()) },
            _ => return Err(Error::Unsupported { what: "this loss without drawn tuples" }),
        })
    }
}

impl Cuda {
    pub(crate) fn row_loss(
        &self,
        batch: BatchView<'_, Buffer, Indices>,
        objective: &Objective<f32>,
        dx: &mut Buffer,
        dbetas: &mut Buffer,
    ) -> Result<LossReport, Error> {
        let BatchView { anchors, count: n, dim, .. } = batch;
        let code = Code::new(objective.loss())?;
        let weighting = objective.sampler().weighting();
        let law = weighting.map_or(Law::NONE, Law::new);
        let pairing = Pairing::new(anchors, n, dim)?;
        let groups = batch.labels.groups(self, anchors, n)?;
        let (x, labels, betas) =
            (batch.embeddings.read(n * dim), batch.labels.read(n), batch.betas.read(anchors));
        // Of a strip of pulls with the embeddings: `dx`, in chunks that are joined.
        let cut = |rows| Cut::new(rows, dim, n, n.is_multiple_of(4) && dim.is_multiple_of(4));
        let mut partials = 0;
        for rows in pairing.strips() {
            let cut = cut(rows.len())?;
            partials = partials.max(cut.chunks * cut.len);
        }
        let mut scratch = self.scratch();
        let floats = [
            n,
            pairing.strip_len(),
            if weighting.is_some() { 4 * pairing.strip * pairing.blocks() } else { 0 },
            anchors,
            anchors,
            groups.pairs(),
            groups.pairs(),
            anchors,
            anchors,
            partials,
        ];
        let (
            [
                mut squares,
                mut strip,
                mut blocks,
                mut a,
                mut b,
                mut nears,
                mut slopes,
                mut d_betas,
                mut same,
                mut partial,
            ],
            [mut fields, mut sums],
            [mut source],
        ) = scratch.arrays(self, floats, [FIELDS * anchors, FIELDS], [anchors])?;
        self.squares(n, dim, &x, &mut squares)?;
        let squares = squares.as_view();
        let side = Side { x: &x, squares: &squares };
        let fill = |rows: &_, strip: &mut CudaViewMut<'_, f32>| match code.on_products {
            true => self.products(&pairing, rows, &x, strip),
            false => self.distances(&pairing, rows, side, side, strip),
        };
        let loss_args = || -> [Arg<'_>; 4] {
            let [p, q, r] = code.numbers;
            [code.kind.into(), p.into(), q.into(), r.into()]
        };
        let (anchor_count, n_count) = (count(anchors)?, count(n)?);

        for rows in pairing.strips() {
            let (first, many) = (count(rows.start)?, count(rows.len())?);
            if weighting.is_some() {
                self.weigh(&pairing, &rows, side, &labels, &betas, law, &mut blocks)?;
            }
            self.launch(
                "row_weights",
                row_grid(rows.len()),
                [
                    x.slice(..).into(),
                    squares.slice(..).into(),
                    labels.slice(..).into(),
                    groups.read().into(),
                    blocks.as_view().into(),
                    a.slice_mut(..).into(),
                    b.slice_mut(..).into(),
                    source.slice_mut(..).into(),
                    first.into(),
                    many.into(),
                    n_count.into(),
                    count(dim)?.into(),
                    code.kind.into(),
                    u32::from(weighting.is_some()).into(),
                    law.empty.into(),
                ],
            )?;
            fill(&rows, &mut strip)?;
            let [power, bend, ln_cap, far, active] = law.args();
            let [kind, p, q, r] = loss_args();
            self.launch(
                "row_terms",
                row_grid(rows.len()),
                [
                    strip.slice(..rows.len() * n).into(),
                    labels.slice(..).into(),
                    groups.read().into(),
                    betas.slice(..).into(),
                    a.slice_mut(..).into(),
                    b.slice_mut(..).into(),
                    source.as_view().into(),
                    nears.slice_mut(..).into(),
                    slopes.slice_mut(..).into(),
                    d_betas.slice_mut(..).into(),
                    fields.slice_mut(..).into(),
                    first.into(),
                    many.into(),
                    anchor_count.into(),
                    n_count.into(),
                    power,
                    bend,
                    ln_cap,
                    far,
                    active,
                    kind,
                    p,
                    q,
                    r,
                ],
            )?;
        }
        if code.in_two_steps {
            let [kind, p, ..] = loss_args();
            self.launch(
                "row_sides",
                row_grid(anchors),
                [
                    groups.read().into(),
                    a.as_view().into(),
                    b.slice_mut(..).into(),
                    nears.as_view().into(),
                    fields.slice_mut(..).into(),
                    anchor_count.into(),
                    n_count.into(),
                    kind,
                    p,
                ],
            )?;
        }
        self.totals::<FIELDS>(anchors, &fields.as_view(), &mut sums)?;

        let mut dx = dx.write(anchors * dim);
        let mut dbetas = dbetas.write(anchors);
        let is_one_strip = pairing.strip == anchors;
        for rows in pairing.strips() {
            let (first, many) = (count(rows.start)?, count(rows.len())?);
            if !is_one_strip {
                fill(&rows, &mut strip)?;
            }
            let [power, bend, ln_cap, far, active] = law.args();
            let [kind, p, q, r] = loss_args();
            self.launch(
                "row_pulls",
                row_grid(rows.len()),
                [
                    strip.slice_mut(..rows.len() * n).into(),
                    labels.slice(..).into(),
                    groups.read().into(),
                    betas.slice(..).into(),
                    a.as_view().into(),
                    b.as_view().into(),
                    source.as_view().into(),
                    nears.as_view().into(),
                    slopes.as_view().into(),
                    same.slice_mut(..).into(),
                    first.into(),
                    many.into(),
                    anchor_count.into(),
                    n_count.into(),
                    power,
                    bend,
                    ln_cap,
                    far,
                    active,
                    kind,
                    p,
                    q,
                    r,
                ],
            )?;
            let cut = cut(rows.len())?;
            let mut own = dx.slice_mut(rows.start * dim..rows.end * dim);
            self.pulled(&cut, (rows.len(), n, dim), &strip.as_view(), &x, &mut partial, &mut own)?;
            self.launch(
                "row_finish",
                row_grid(rows.len()),
                [
                    x.slice(..).into(),
                    same.as_view().into(),
                    d_betas.as_view().into(),
                    groups.read().into(),
                    source.as_view().into(),
                    sums.as_view().into(),
                    dx.slice_mut(..).into(),
                    dbetas.slice_mut(..).into(),
                    first.into(),
                    many.into(),
                    n_count.into(),
                    count(dim)?.into(),
                    code.kind.into(),
                    nu(objective.loss()).into(),
                    reduction_code(objective.reduction()).into(),
                ],
            )?;
        }
        self.loss_report(objective, &sums.as_view())
    }

    /// `out = pulls x`, the product of a linear layer without bias.
    fn pulled(
        &self,
        cut: &Cut,
        (rows, inputs, outputs): (usize, usize, usize),
        pulls: &CudaView<'_, f32>,
        x: &CudaView<'_, f32>,
        partial: &mut CudaViewMut<'_, f32>,
        out: &mut CudaViewMut<'_, f32>,
    ) -> Result<(), Error> {
        let is_whole = cut.chunks == 1;
        let to = if is_whole { out.slice_mut(..) } else { partial.slice_mut(..cut.chunks * cut.len) };
        self.launch(
            // Of a loss, not of a network.
            cut.kernel(Precision::Single, FORWARD),
            cut.grid,
            [
                pulls.slice(..rows * inputs).into(),
                x.slice(..inputs * outputs).into(),
                // No bias, for which any array stands in, and no ReLU.
                x.slice(..outputs).into(),
                to.into(),
                0_u32.into(),
                0_u32.into(),
                count(rows)?.into(),
                count(inputs)?.into(),
                count(outputs)?.into(),
                cut.chunk.into(),
            ],
        )?;
        if is_whole {
            return Ok(());
        }
        self.launch(
            "join",
            Grid::groups(count(cut.len)?),
            [
                partial.as_view().into(),
                x.slice(..outputs).into(),
                out.slice_mut(..).into(),
                0_u32.into(),
                0_u32.into(),
                count(cut.chunks)?.into(),
                count(cut.len)?.into(),
                count(outputs)?.into(),
            ],
        )
    }
}
