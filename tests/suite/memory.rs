//! A memory behind the batch: losses of every kind against their definitions, gradients against differences, and what
//! must not change when rows that nobody may take are added or the memory is in another order.

use nearfar_core::kernel::fast::Fast;
use nearfar_core::kernel::scalar::Reference;
use nearfar_core::kernel::{Backend, BatchView, NegativeMoments};
use nearfar_core::{
    Cap, Contrastive, Draw, EmptyRow, FarCut, Key, Lifted, Loss, LossReport, Margin, MultiSimilarity, NPair,
    Objective, Quadruplet, Reduction, Sampler, Scalar, Stream, TripletLoss, Weighting,
};
use nearfar_tests::generate::{sphere, unit};
use nearfar_tests::losses::{ALPHA, ALPHA2, SCALE, SIMILARITY, Seen};
use nearfar_tests::tolerance::{Precision, Quantity, tolerance};
use nearfar_tests::vectors::relative_error;
use nearfar_tests::{gradcheck, oracle};

use crate::sampling::samplers;

const DIM: usize = 7;
const NU: f64 = 0.04;

/// Every loss with every sampler that it goes with, by the names of the command line. `complete.rs` holds it against the
/// lists of the program.
pub(crate) fn objectives<T: Scalar>(reduction: Reduction) -> Vec<(&'static str, &'static str, Objective<T>)> {
    let t = T::from_f64;
    let [alpha, beta, lambda] = SIMILARITY.map(t);
    let losses = [
        ("contrastive", Loss::Contrastive(Contrastive::new(t(ALPHA)).unwrap())),
        ("triplet", Loss::Triplet(TripletLoss::squared(t(ALPHA)).unwrap())),
        ("triplet-l2", Loss::Triplet(TripletLoss::plain(t(ALPHA)).unwrap())),
        ("margin", Loss::Margin(Margin::new(t(ALPHA), t(NU)).unwrap())),
        ("quadruplet", Loss::Quadruplet(Quadruplet::new(t(ALPHA), t(ALPHA2)).unwrap())),
        ("npair", Loss::NPair(NPair::new(t(SCALE)).unwrap())),
        ("lifted", Loss::Lifted(Lifted::new(t(ALPHA)).unwrap())),
        ("multi-similarity", Loss::MultiSimilarity(MultiSimilarity::new(alpha, beta, lambda).unwrap())),
    ];
    let mut list = Vec::new();
    for (loss_name, loss) in losses {
        for (sampler_name, sampler) in samplers::<T>(DIM) {
            if let Ok(objective) = Objective::new(loss, sampler, reduction) {
                list.push((loss_name, sampler_name, objective));
            }
        }
    }
    list
}

/// A batch of four classes of three and one class of one, and a memory with rows of two of these classes, of a class of
/// its own, and of one that the batch has as one sample.
struct Case {
    x: Vec<f64>,
    labels: Vec<u32>,
    betas: Vec<f64>,
}

impl Case {
    fn new(seed: u64, remembered: usize) -> Self {
        let mut labels: Vec<u32> = (0..13).map(|i| i / 3).collect();
        labels.extend((0..remembered as u32).map(|i| [0, 9, 4, 2, 9, 8][i as usize % 6]));
        let centres = sphere(seed, 10, DIM);
        let noise = sphere(seed + 1, labels.len(), DIM);
        let near = |(i, label): (usize, &u32)| -> Vec<f64> {
            let (centre, noise) = (&centres[*label as usize * DIM..], &noise[i * DIM..]);
            (0..DIM).map(|k| centre[k] + 1.1 * noise[k]).collect()
        };
        let x = unit(&labels.iter().enumerate().flat_map(near).collect::<Vec<_>>(), DIM);
        Self { x, labels, betas: (0..13).map(|i| 1.0 + 0.02 * f64::from(i)).collect() }
    }

    fn anchors(&self) -> usize {
        self.betas.len()
    }

    fn seen<'a>(&'a self, x: &'a [f64]) -> Seen<'a> {
        Seen { x, dim: DIM, labels: &self.labels, betas: &self.betas }
    }

    /// Runs `work` with the rows `x` on a backend.
    fn on<T: Scalar, B: Backend<T>, R>(
        &self,
        backend: &B,
        work: impl FnOnce(BatchView<'_, B::Buffer, B::Indices>) -> R,
    ) -> R {
        let put = |values: &[f64]| {
            let host: Vec<T> = values.iter().map(|&v| T::from_f64(v)).collect();
            let mut buffer = backend.zeros(host.len()).unwrap();
            backend.upload(&host, &mut buffer).unwrap();
            buffer
        };
        let (embeddings, betas, labels) =
            (put(&self.x), put(&self.betas), backend.indices(&self.labels).unwrap());
        let (anchors, count) = (self.anchors(), self.labels.len());
        work(BatchView { embeddings: &embeddings, labels: &labels, betas: &betas, anchors, count, dim: DIM })
    }

    fn draws<T: Scalar, B: Backend<T>>(&self, backend: &B, objective: &Objective<T>) -> Vec<Draw<T>> {
        self.on(backend, |view| {
            let mut draws = B::Draws::default();
            backend.draw(view, objective, Key::new(4, Stream::Negatives, 2), &mut draws).unwrap();
            backend.download_draws(&draws).unwrap()
        })
    }

    /// Value, and gradients to the batch and to its boundaries, of these draws.
    fn loss<T: Scalar, B: Backend<T>>(
        &self,
        backend: &B,
        objective: &Objective<T>,
        draws: &[Draw<T>],
    ) -> (LossReport, Vec<f64>, Vec<f64>) {
        self.on(backend, |view| {
            let draws = backend.upload_draws(draws).unwrap();
            // Exactly as long as the gradients are: a memory has none.
            let (mut dx, mut dbetas) =
                (backend.zeros(self.anchors() * DIM).unwrap(), backend.zeros(self.anchors()).unwrap());
            let report = backend.loss(view, objective, &draws, &mut dx, &mut dbetas).unwrap();
            let take = |buffer: &B::Buffer, len| {
                let mut host = vec![T::ZERO; len];
                backend.download(buffer, &mut host).unwrap();
                host.into_iter().map(T::to_f64).collect::<Vec<f64>>()
            };
            (report, take(&dx, self.anchors() * DIM), take(&dbetas, self.anchors()))
        })
    }

    /// Exact probabilities of each anchor's negatives.
    fn law(&self) -> Vec<Vec<f64>> {
        let of = |a: usize| {
            let to = |j| oracle::distance(&self.x[a * DIM..][..DIM], j);
            let distances: Vec<f64> = self.x.chunks_exact(DIM).map(to).collect();
            oracle::inverse_density(&self.labels, &distances, a, DIM as f64, 0.5, f64::INFINITY)
        };
        (0..self.anchors()).map(of).collect()
    }

    /// Terms by definition, the rows being `x`; tuples and laws stay as they are.
    fn terms(
        &self,
        [loss, sampler]: [&str; 2],
        x: &[f64],
        law: &[Vec<f64>],
        draws: &[Draw<f64>],
    ) -> Vec<(f64, f64)> {
        match sampler {
            "all" => self.seen(x).of_rows(loss, None),
            "expected" => self.seen(x).of_rows(loss, Some(law)),
            _ => {
                assert!(draws.iter().all(|draw| draw.second.is_some() == (loss == "quadruplet")), "{loss}");
                let tuple = |draw: &Draw<f64>| {
                    let t = draw.triplet;
                    [t.anchor, t.positive, t.negative, draw.second.unwrap_or(u32::MAX)].map(|i| i as usize)
                };
                self.seen(x).of_tuples(loss, &draws.iter().map(tuple).collect::<Vec<_>>())
            }
        }
    }

    /// What the penalty of the margin loss adds to the sum of the terms.
    fn penalty(&self, [loss, sampler]: [&str; 2], law: &[Vec<f64>], draws: &[Draw<f64>]) -> f64 {
        let tuples = |a: usize| match sampler {
            "all" | "expected" => {
                let positives = (0..self.anchors()).filter(|&p| p != a && self.labels[p] == self.labels[a]);
                let lives = sampler == "all" || law[a].iter().sum::<f64>() > 0.5;
                if lives { positives.count() } else { 0 }
            }
            _ => draws.iter().filter(|draw| draw.triplet.anchor as usize == a).count(),
        };
        let all = (0..self.anchors()).map(|a| tuples(a) as f64 * self.betas[a]);
        if loss == "margin" { NU * all.sum::<f64>() } else { 0.0 }
    }
}

#[test]
fn every_loss_with_every_sampler_is_its_definition_with_a_memory() {
    for (seed, remembered) in [(1, 1), (2, 40), (3, 6)] {
        let case = Case::new(seed, remembered);
        let law = case.law();
        for reduction in [Reduction::Sum, Reduction::Mean, Reduction::MeanActive] {
            for (loss, sampler, objective) in objectives::<f64>(reduction) {
                let name = format!("{loss} {sampler} {reduction:?}, {remembered} remembered");
                let draws = case.draws(&Reference, &objective);
                let terms = case.terms([loss, sampler], &case.x, &law, &draws);
                let sum = |part: &dyn Fn(&(f64, f64)) -> f64| terms.iter().map(part).sum::<f64>();
                let [active, all] = [sum(&|t| if t.1 > 0.0 { t.0 } else { 0.0 }), sum(&|t| t.0)];
                let value = sum(&|t| t.0 * t.1) + case.penalty([loss, sampler], &law, &draws);
                let divisor = match reduction {
                    Reduction::Sum => 1.0,
                    Reduction::Mean => all,
                    Reduction::MeanActive => active,
                };
                let wanted = [if active > 0.0 { value / divisor } else { 0.0 }, active, all];
                let got = |report: LossReport| [report.loss, report.active, report.terms];
                let (plain, dx, dbetas) = case.loss(&Reference, &objective, &draws);
                let fast = Fast::new(2).unwrap();
                let (quick, quick_dx, quick_dbetas) = case.loss(&fast, &objective, &draws);
                let allowed = tolerance(Quantity::Loss, Precision::Double);
                for (backend, report) in [("scalar", plain), ("fast", quick)] {
                    let error = relative_error(&got(report), &wanted);
                    assert!(error < allowed, "{name} on {backend}: {report:?} for {wanted:?}");
                }
                assert!(relative_error(&quick_dx, &dx) < allowed, "{name}");
                assert!(
                    relative_error(&[&quick_dbetas[..], &[1.0]].concat(), &[&dbetas[..], &[1.0]].concat())
                        < allowed,
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn gradients_with_a_memory_are_differences_of_the_definition() {
    let case = Case::new(5, 17);
    let (law, batch) = (case.law(), case.anchors() * DIM);
    for (loss, sampler, objective) in objectives::<f64>(Reduction::Sum) {
        let draws = case.draws(&Reference, &objective);
        let (_, dx, dbetas) = case.loss(&Reference, &objective, &draws);
        // Only the batch moves: weights, tuples and the memory are constants.
        let moved = |rows: &[f64]| [rows, &case.x[batch..]].concat();
        let value = |terms: Vec<(f64, f64)>| terms.iter().map(|t| t.0 * t.1).sum::<f64>();
        let (worst, skipped) = gradcheck::check(&case.x[..batch], &dx, |rows| {
            value(case.terms([loss, sampler], &moved(rows), &law, &draws))
        });
        let allowed = tolerance(Quantity::Difference, Precision::Double);
        assert!(worst < allowed, "{loss} {sampler}: {worst:e}");
        assert!(skipped * 10 <= batch, "{loss} {sampler}: {skipped} of {batch} coordinates lie at kinks");
        assert!(dx.iter().any(|&g| g != 0.0), "{loss} {sampler} pulls nothing");
        let (worst, _) = gradcheck::check(&case.betas, &dbetas, |betas| {
            let other = Case { x: case.x.clone(), labels: case.labels.clone(), betas: betas.to_vec() };
            let penalty = other.penalty([loss, sampler], &law, &draws);
            value(other.terms([loss, sampler], &case.x, &law, &draws)) + penalty
        });
        assert!(worst < allowed, "{loss} {sampler}, boundary: {worst:e}");
    }
}

#[test]
fn single_precision_with_a_memory_is_that_of_the_reference() {
    let case = Case::new(8, 150);
    for ((loss, sampler, objective), (.., wide)) in
        objectives::<f32>(Reduction::MeanActive).into_iter().zip(objectives::<f64>(Reduction::MeanActive))
    {
        let draws = case.draws(&Reference, &wide);
        let same = |draw: &Draw<f64>| Draw { triplet: draw.triplet, second: draw.second, log_prob: 0.0_f32 };
        let narrow: Vec<Draw<f32>> = draws.iter().map(same).collect();
        let (wanted, dx, _) = case.loss(&Reference, &wide, &draws);
        let allowed = tolerance(Quantity::Loss, Precision::Single);
        for threads in [1, 3] {
            let (got, got_dx, _) = case.loss(&Fast::new(threads).unwrap(), &objective, &narrow);
            assert!(
                (got.loss - wanted.loss).abs() < allowed * wanted.loss.abs().max(1.0),
                "{loss} {sampler}"
            );
            let error = relative_error(&got_dx, &dx);
            assert!(error < allowed, "{loss} {sampler}: gradient off by {error:e}");
        }
    }
}

#[test]
fn moments_are_those_of_the_anchors_with_all_their_negatives() {
    let case = Case::new(3, 60);
    let mut wanted = NegativeMoments::default();
    for a in 0..case.anchors() {
        for n in (0..case.labels.len()).filter(|&n| case.labels[n] != case.labels[a]) {
            let d = oracle::distance(&case.x[a * DIM..][..DIM], &case.x[n * DIM..][..DIM]);
            wanted.add(1.0 - 0.5 * d * d);
        }
    }
    let near = |got: NegativeMoments, allowed: f64| {
        assert_eq!(got.pairs, wanted.pairs);
        assert!((got.cos_squared / wanted.cos_squared - 1.0).abs() < allowed, "{got:?}");
        let logs = got.ln_one_minus_cos_squared / wanted.ln_one_minus_cos_squared;
        assert!((logs - 1.0).abs() < allowed, "{got:?}");
    };
    near(
        case.on::<f64, _, _>(&Reference, |view| Backend::<f64>::negative_moments(&Reference, view).unwrap()),
        1e-12,
    );
    let fast = Fast::new(2).unwrap();
    near(case.on::<f32, _, _>(&fast, |view| Backend::<f32>::negative_moments(&fast, view).unwrap()), 1e-5);
}

/// What a memory holds beyond the far cut is nobody's negative: draws, value and gradients are those without it, to the
/// bit.
#[test]
fn rows_that_nobody_can_take_change_nothing() {
    let alone = Case::new(6, 0);
    let mut beside = Case::new(6, 0);
    // Opposite to the mean of the batch, of other classes; the cut is nearer than any of them is.
    let mean: Vec<f64> = (0..DIM).map(|k| -alone.x.iter().skip(k).step_by(DIM).sum::<f64>()).collect();
    beside.x.extend(unit(&[&mean[..], &mean, &mean].concat(), DIM));
    beside.labels.extend([7, 8, 7]);
    let to = |i: usize, j: usize| oracle::distance(&beside.x[i * DIM..][..DIM], &beside.x[j * DIM..][..DIM]);
    let cut = (0..13).map(|i| to(i, 13)).fold(f64::INFINITY, f64::min);
    assert!(cut > 1.0, "{cut} leaves nothing to draw");
    let weighting = Weighting::new(DIM as f64, Cap::Near(0.5), FarCut::At(cut), EmptyRow::Skip).unwrap();
    let margin = Loss::Margin(Margin::new(ALPHA, NU).unwrap());
    for sampler in [Sampler::DistanceWeighted(weighting.clone()), Sampler::Expected(weighting)] {
        let objective = Objective::new(margin, sampler, Reduction::MeanActive).unwrap();
        let (draws, with) = (alone.draws(&Reference, &objective), beside.draws(&Reference, &objective));
        let places =
            |draws: &[Draw<f64>]| -> Vec<_> { draws.iter().map(|d| (d.triplet, d.log_prob)).collect() };
        assert_eq!(places(&draws), places(&with));
        assert_eq!(alone.loss(&Reference, &objective, &draws), beside.loss(&Reference, &objective, &draws));
    }
}

#[test]
fn the_order_of_a_memory_is_a_name_for_its_rows_alone() {
    let case = Case::new(9, 50);
    let (batch, count) = (case.anchors(), case.labels.len());
    // Row `order[i]` of the first is row i of the second.
    let order: Vec<usize> = (0..batch).chain((batch..count).map(|i| batch + (i - batch) * 7 % 50)).collect();
    let other = Case {
        x: order.iter().flat_map(|&i| case.x[i * DIM..][..DIM].to_vec()).collect(),
        labels: order.iter().map(|&i| case.labels[i]).collect(),
        betas: case.betas.clone(),
    };
    for (loss, sampler, objective) in objectives::<f64>(Reduction::Mean) {
        let name = format!("{loss} {sampler}");
        let draws = case.draws(&Reference, &objective);
        let mut named = other.draws(&Reference, &objective);
        for draw in &mut named {
            draw.triplet.negative = order[draw.triplet.negative as usize] as u32;
        }
        if ["hard", "semihard"].contains(&sampler) {
            // No number is drawn: the same rows are chosen.
            let chosen = |draws: &[Draw<f64>]| -> Vec<_> { draws.iter().map(|draw| draw.triplet).collect() };
            assert_eq!(chosen(&draws), chosen(&named), "{name}");
        }
        if draws.is_empty() {
            for backend in [&Fast::new(1).unwrap() as &Fast, &Fast::new(3).unwrap()] {
                let (one, dx, dbetas) = case.loss(backend, &objective, &[]);
                let (two, other_dx, other_dbetas) = other.loss(backend, &objective, &[]);
                assert!((one.loss - two.loss).abs() < 1e-12 * one.loss.abs().max(1.0), "{name}");
                assert!(relative_error(&other_dx, &dx) < 1e-11, "{name}");
                let at_least_one = |slopes: &[f64]| [slopes, &[1.0]].concat();
                assert!(
                    relative_error(&at_least_one(&other_dbetas), &at_least_one(&dbetas)) < 1e-11,
                    "{name}"
                );
            }
        }
    }
}
