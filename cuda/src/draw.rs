//! Drawing negatives. Tuples stay on the device.

use cudarc::driver::{CudaSlice, CudaView, CudaViewMut};
use nearfar_core::kernel::BatchView;
use nearfar_core::{Draw, DrawReport, Key, Objective, Sampler, Triplet};

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::Arg;
use crate::memory::{Buffer, Indices, count};
use crate::pairs::{Law, Pairing, Side, row_grid};

/// Stands for no sample: as in `kernels/groups.cuh`.
pub(crate) const NONE: u32 = u32::MAX;
/// Numbers that each anchor reports.
const FIELDS: usize = 6;

/// Drawn tuples on the device: a place for each (anchor, positive) pair, in order, empty where nothing was drawn.
#[derive(Debug, Default)]
pub struct Draws {
    len: usize,
    /// Four words each: anchor, positive, negative or none, second or none.
    tuples: Option<CudaSlice<u32>>,
    ln_probs: Option<CudaSlice<f32>>,
}

impl Draws {
    /// Makes room for `len` tuples of any value.
    fn room(&mut self, cuda: &Cuda, len: usize) -> Result<(), Error> {
        count(len.saturating_mul(4))?;
        if self.ln_probs.as_ref().is_none_or(|ln_probs| ln_probs.len() < len) {
            *self = Self::default();
            self.tuples = Some(cuda.allocate(4 * len.next_power_of_two())?);
            self.ln_probs = Some(cuda.allocate(len.next_power_of_two())?);
        }
        self.len = len;
        Ok(())
    }

    /// Places for tuples.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The tuples; `None` if there is no place for any.
    pub(crate) fn tuples(&self) -> Option<CudaView<'_, u32>> {
        self.tuples.as_ref().filter(|_| self.len > 0).map(|tuples| tuples.slice(..4 * self.len))
    }

    fn write(&mut self) -> (CudaViewMut<'_, u32>, CudaViewMut<'_, f32>) {
        let (tuples, ln_probs) = (self.tuples.as_mut(), self.ln_probs.as_mut());
        let (tuples, ln_probs) = tuples.zip(ln_probs).expect("room was made for them");
        (tuples.slice_mut(..4 * self.len), ln_probs.slice_mut(..self.len))
    }
}

/// By which random numbers tuples are drawn, and whether each gets a sample of a third class.
#[derive(Clone, Copy)]
struct Choice {
    key: Key,
    third: bool,
}

/// What every kernel that draws takes first.
fn drawing<'a>(
    groups: CudaView<'a, u32>,
    draws: &'a mut Draws,
    fields: CudaViewMut<'a, f64>,
    Choice { key, third }: Choice,
    n: u32,
) -> [Arg<'a>; 10] {
    let (tuples, ln_probs) = draws.write();
    let seed = key.seed();
    [
        groups.into(),
        tuples.into(),
        ln_probs.into(),
        fields.into(),
        (seed as u32).into(),
        ((seed >> 32) as u32).into(),
        (key.stream() as u32).into(),
        key.step().into(),
        u32::from(third).into(),
        n.into(),
    ]
}

/// Both lists of arguments, one after the other.
fn joined<'a, const A: usize, const B: usize, const N: usize>(
    a: [Arg<'a>; A],
    b: [Arg<'a>; B],
) -> [Arg<'a>; N] {
    const { assert!(A + B == N, "lengths add up") };
    let mut all = a.into_iter().chain(b);
    core::array::from_fn(|_| all.next().expect("as many as both lists have"))
}

impl Cuda {
    /// Draws one negative for each (anchor, positive) pair, anchors in order, positives in order; and a sample of a third
    /// class, if the loss takes one.
    ///
    /// Samplers that draw nothing (expected, all) leave `draws` empty and still report. Waits for the device: the
    /// report is part of the answer.
    pub fn draw(
        &self,
        batch: BatchView<'_, Buffer, Indices>,
        objective: &Objective<f32>,
        key: Key,
        draws: &mut Draws,
    ) -> Result<DrawReport, Error> {
        let BatchView { anchors, count: n, .. } = batch;
        let groups = batch.labels.groups(self, anchors, n)?;
        let draws_any = objective.sampler().draws();
        let choice = Choice { key, third: objective.loss().takes_third() };
        // The kernels that only report take the same arrays and leave them alone.
        draws.room(self, groups.pairs())?;
        let report = match objective.sampler() {
            Sampler::DistanceWeighted(weighting) | Sampler::Expected(weighting) => {
                self.draw_weighted(batch, Law::new(weighting), draws_any, choice, draws)?
            }
            Sampler::Hard => self.draw_near(batch, 0, 0.0, choice, draws)?,
            Sampler::Semihard => self.draw_near(batch, 1, 0.0, choice, draws)?,
            Sampler::SemihardBand { margin } => self.draw_near(batch, 2, *margin, choice, draws)?,
            Sampler::Uniform | Sampler::All => {
                let mut scratch = self.scratch();
                let ([], [mut fields, mut sums], []) =
                    scratch.arrays(self, [], [FIELDS * anchors, FIELDS], [])?;
                let args = drawing(groups.read(), draws, fields.slice_mut(..), choice, count(n)?);
                let args: [Arg<'_>; 12] = joined(args, [count(anchors)?.into(), u32::from(draws_any).into()]);
                self.launch("draw_uniform", row_grid(anchors), args)?;
                self.draw_report(anchors, &fields.as_view(), &mut sums)?
            }
            _ => return Err(Error::Unsupported { what: "this sampler" }),
        };
        if !draws_any {
            draws.len = 0;
        }
        Ok(report)
    }

    /// Waits for what the anchors report together.
    fn draw_report(
        &self,
        anchors: usize,
        fields: &CudaView<'_, f64>,
        sums: &mut CudaViewMut<'_, f64>,
    ) -> Result<DrawReport, Error> {
        self.totals::<FIELDS>(anchors, fields, sums)?;
        let mut host = [0.0; FIELDS];
        self.fetch(&sums.as_view(), &mut host)?;
        let [anchors, triplets, without_candidate, anchors_without_candidate, effective_negatives, capped] =
            host;
        Ok(DrawReport {
            anchors: anchors as u64,
            triplets: triplets as u64,
            without_candidate: without_candidate as u64,
            anchors_without_candidate: anchors_without_candidate as u64,
            effective_negatives,
            capped,
        })
    }

    /// Rules that look at rows of distances.
    fn draw_near(
        &self,
        batch: BatchView<'_, Buffer, Indices>,
        rule: u32,
        band: f32,
        choice: Choice,
        draws: &mut Draws,
    ) -> Result<DrawReport, Error> {
        let BatchView { anchors, count: n, dim, .. } = batch;
        let pairing = Pairing::new(anchors, n, dim)?;
        let groups = batch.labels.groups(self, anchors, n)?;
        let (x, labels) = (batch.embeddings.read(n * dim), batch.labels.read(n));
        let mut scratch = self.scratch();
        let ([mut squares, mut strip], [mut fields, mut sums], []) =
            scratch.arrays(self, [n, pairing.strip_len()], [FIELDS * anchors, FIELDS], [])?;
        self.squares(n, dim, &x, &mut squares)?;
        let squares = squares.as_view();
        let side = Side { x: &x, squares: &squares };
        for rows in pairing.strips() {
            self.distances(&pairing, &rows, side, side, &mut strip)?;
            let args = drawing(groups.read(), draws, fields.slice_mut(..), choice, count(n)?);
            let own = [
                labels.slice(..).into(),
                strip.slice(..rows.len() * n).into(),
                count(rows.start)?.into(),
                count(rows.len())?.into(),
                rule.into(),
                band.into(),
            ];
            let args: [Arg<'_>; 16] = joined(args, own);
            self.launch("draw_near", row_grid(rows.len()), args)?;
        }
        self.draw_report(anchors, &fields.as_view(), &mut sums)
    }

    fn draw_weighted(
        &self,
        batch: BatchView<'_, Buffer, Indices>,
        law: Law,
        draws_any: bool,
        choice: Choice,
        draws: &mut Draws,
    ) -> Result<DrawReport, Error> {
        let BatchView { anchors, count: n, dim, .. } = batch;
        let pairing = Pairing::new(anchors, n, dim)?;
        let groups = batch.labels.groups(self, anchors, n)?;
        let (x, labels, betas) =
            (batch.embeddings.read(n * dim), batch.labels.read(n), batch.betas.read(anchors));
        let mut scratch = self.scratch();
        let ([mut squares, mut blocks], [mut fields, mut sums], []) = scratch.arrays(
            self,
            [n, 4 * pairing.strip * pairing.blocks()],
            [FIELDS * anchors, FIELDS],
            [],
        )?;
        self.squares(n, dim, &x, &mut squares)?;
        let squares = squares.as_view();
        for rows in pairing.strips() {
            self.weigh(
                &pairing,
                &rows,
                Side { x: &x, squares: &squares },
                &labels,
                &betas,
                law,
                &mut blocks,
            )?;
            let args = drawing(groups.read(), draws, fields.slice_mut(..), choice, count(n)?);
            let [power, bend, ln_cap, far, active] = law.args();
            let own = [
                x.slice(..).into(),
                squares.slice(..).into(),
                labels.slice(..).into(),
                betas.slice(..).into(),
                blocks.slice(..4 * rows.len() * pairing.blocks()).into(),
                count(rows.start)?.into(),
                count(rows.len())?.into(),
                count(dim)?.into(),
                power,
                bend,
                ln_cap,
                far,
                active,
                law.empty.into(),
                u32::from(draws_any).into(),
            ];
            let args: [Arg<'_>; 25] = joined(args, own);
            self.launch("draw_weighted", row_grid(rows.len()), args)?;
        }
        self.draw_report(anchors, &fields.as_view(), &mut sums)
    }

    /// The drawn tuples, for reports and files.
    pub fn download_draws(&self, draws: &Draws) -> Result<Vec<Draw<f32>>, Error> {
        let Some((tuples, ln_probs)) = draws.tuples().zip(draws.ln_probs.as_ref()) else {
            return Ok(Vec::new());
        };
        let (mut words, mut probs) = (vec![0; 4 * draws.len], vec![0.0; draws.len]);
        self.fetch(&tuples, &mut words)?;
        self.fetch(&ln_probs.slice(..draws.len), &mut probs)?;
        let drawn =
            words.as_chunks().0.iter().zip(probs).filter(|([_, _, negative, _], _)| *negative != NONE);
        Ok(drawn
            .map(|(&[anchor, positive, negative, second], log_prob)| Draw {
                triplet: Triplet { anchor, positive, negative },
                second: (second != NONE).then_some(second),
                log_prob,
            })
            .collect())
    }

    /// Tuples that were chosen elsewhere.
    pub fn upload_draws(&self, draws: &[Draw<f32>]) -> Result<Draws, Error> {
        let words: Vec<u32> = draws
            .iter()
            .flat_map(|Draw { triplet: t, second, .. }| {
                [t.anchor, t.positive, t.negative, second.unwrap_or(NONE)]
            })
            .collect();
        let log_probs: Vec<f32> = draws.iter().map(|draw| draw.log_prob).collect();
        let mut uploaded = Draws::default();
        if draws.is_empty() {
            return Ok(uploaded);
        }
        uploaded.room(self, draws.len())?;
        let (mut tuples, mut ln_probs) = uploaded.write();
        self.send(&words, &mut tuples)?;
        self.send(&log_probs, &mut ln_probs)?;
        Ok(uploaded)
    }
}
