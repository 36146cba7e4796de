//! Draws of a whole batch against the reference and the exact law.

use super::cell::Tally;
use super::plan::Plan;
use super::*;
use crate::kernel::fast::Fast;
use crate::kernel::scalar::Reference;
use crate::kernel::{Backend, BatchView};
use crate::weight::FarCut;
use crate::{Cap, Loss, Objective, Quadruplet, Reduction, Weighting};

type Drawn = (Vec<Draw<f32>>, DrawReport);

/// Unit rows around `classes` directions; `spread` is the length of the noise.
pub(super) fn rows(seed: u64, labels: &[u32], dim: usize, spread: f64) -> Vec<f32> {
    let key = Key::new(seed, Stream::Init, 0);
    let mut x = Vec::new();
    for (i, &label) in labels.iter().enumerate() {
        let z: Vec<f64> = (0..dim as u32)
            .map(|k| key.normals(1000 + label, k)[0] + spread * key.normals(5000 + i as u32, k)[0])
            .collect();
        let norm = z.iter().map(|v| v * v).sum::<f64>().sqrt();
        x.extend(z.iter().map(|v| (v / norm) as f32));
    }
    x
}

pub(super) fn labels(count: usize, each: usize) -> Vec<u32> {
    (0..count).map(|i| (i / each) as u32).collect()
}

pub(super) fn view<'a>(
    x: &'a Vec<f32>,
    labels: &'a Vec<u32>,
    betas: &'a Vec<f32>,
) -> BatchView<'a, Vec<f32>, Vec<u32>> {
    let (anchors, count) = (betas.len(), labels.len());
    BatchView { embeddings: x, labels, betas, anchors, count, dim: x.len() / count }
}

/// The loss that takes all that is drawn.
fn objective(weighting: &Weighting<f32>) -> Objective<f32> {
    let loss = Loss::Quadruplet(Quadruplet::new(0.2, 0.1).unwrap());
    Objective::new(loss, Sampler::DistanceWeighted(weighting.clone()), Reduction::MeanActive).unwrap()
}

fn drawn<B>(backend: &B, weighting: &Weighting<f32>, x: &Vec<f32>, labels: &Vec<u32>, step: u32) -> Drawn
where
    B: Backend<f32, Buffer = Vec<f32>, Indices = Vec<u32>, Draws = Vec<Draw<f32>>>,
{
    drawn_by(labels.len(), backend, weighting, x, labels, step)
}

/// As [`drawn`], the first `anchors` rows being the batch.
fn drawn_by<B>(
    anchors: usize,
    backend: &B,
    weighting: &Weighting<f32>,
    x: &Vec<f32>,
    labels: &Vec<u32>,
    step: u32,
) -> Drawn
where
    B: Backend<f32, Buffer = Vec<f32>, Indices = Vec<u32>, Draws = Vec<Draw<f32>>>,
{
    let betas: Vec<f32> = (0..anchors).map(|i| 1.1 + 0.01 * (i % 7) as f32).collect();
    let key = Key::new(3, Stream::Negatives, step);
    let mut draws = Vec::new();
    let report = backend.draw(view(x, labels, &betas), &objective(weighting), key, &mut draws).unwrap();
    (draws, report)
}

/// Exact log-weights of an anchor, in double precision; `-inf` for what is no candidate.
fn ln_weights(weighting: &Weighting<f32>, x: &[f32], labels: &[u32], anchor: usize) -> Vec<f64> {
    let dim = x.len() / labels.len();
    let wide = match weighting.cap() {
        Cap::Near(d) => Cap::Near(f64::from(d)),
        Cap::LnLambda(ln) => Cap::LnLambda(f64::from(ln)),
    };
    let exact = Weighting::new(weighting.density().dimension(), wide, FarCut::None, EmptyRow::Skip).unwrap();
    let beta = 1.1 + 0.01 * (anchor % 7) as f32;
    let end = f64::from(weighting.far_end(beta));
    (0..labels.len())
        .map(|j| {
            let pair = x[anchor * dim..][..dim].iter().zip(&x[j * dim..][..dim]);
            let d = pair.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt();
            if labels[j] != labels[anchor] && d < end { exact.ln_weight(d) } else { f64::NEG_INFINITY }
        })
        .collect()
}

/// Probabilities from log-weights.
fn law_of(ln: &[f64]) -> Vec<f64> {
    let largest = ln.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = ln.iter().map(|l| (l - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

/// Error of a log-weight in single precision, both backends: cosines and distances carry a few 1e-7, and the law's
/// slope at the cap multiplies them.
pub(super) fn rounding(n: f64) -> f64 {
    2e-5 + 2e-6 * n
}

/// Draws of both backends: positives, reports and third classes agree, and each negative that differs is a tie within
/// rounding. Returns how many differ.
fn compare(name: &str, weighting: &Weighting<f32>, x: &Vec<f32>, labels: &Vec<u32>, step: u32) -> usize {
    compare_by(labels.len(), name, weighting, x, labels, step)
}

/// As [`compare`], the first `anchors` rows being the batch.
fn compare_by(
    anchors: usize,
    name: &str,
    weighting: &Weighting<f32>,
    x: &Vec<f32>,
    labels: &Vec<u32>,
    step: u32,
) -> usize {
    let (fast, report) = drawn_by(anchors, &Fast::new(1).unwrap(), weighting, x, labels, step);
    let (plain, expected) = drawn_by(anchors, &Reference, weighting, x, labels, step);
    let n = weighting.density().dimension();
    assert_eq!(fast.len(), plain.len(), "{name}");
    assert_eq!(
        [report.anchors, report.triplets, report.without_candidate, report.anchors_without_candidate],
        [expected.anchors, expected.triplets, expected.without_candidate, expected.anchors_without_candidate],
        "{name}"
    );
    let allowed = 1e-9 + 4.0 * rounding(n) * expected.effective_negatives;
    assert!((report.effective_negatives - expected.effective_negatives).abs() <= allowed, "{name}");
    // A pair within rounding of the cap may be counted on either side.
    assert!((report.capped - expected.capped).abs() <= 1e-3 * expected.anchors as f64, "{name}: {report:?}");
    let mut differ = 0;
    let mut index = (u32::MAX, 0);
    for (a, b) in fast.iter().zip(&plain) {
        let anchor = a.triplet.anchor;
        index = if index.0 == anchor { (anchor, index.1 + 1) } else { (anchor, 0) };
        assert_eq!((anchor, a.triplet.positive), (b.triplet.anchor, b.triplet.positive), "{name}");
        if a.triplet == b.triplet {
            assert_eq!(a.second, b.second, "{name}");
            assert!((a.log_prob - b.log_prob).abs() < 4.0 * rounding(n) as f32, "{name}: {a:?} {b:?}");
            continue;
        }
        differ += 1;
        let law = law_of(&ln_weights(weighting, x, labels, anchor as usize));
        let uniform = Key::new(3, Stream::Negatives, step).uniform(anchor, index.1);
        for negative in [a.triplet.negative, b.triplet.negative] {
            let before: f64 = law[..negative as usize].iter().sum();
            let after = before + law[negative as usize];
            let beyond = f64::max(before - uniform, uniform - after);
            assert!(beyond < 4.0 * rounding(n), "{name}: {a:?} is no tie with {b:?}, {beyond:e}");
        }
    }
    differ
}

pub(super) fn weighting(n: f64, cap: Cap<f32>, far: FarCut<f32>, empty: EmptyRow) -> Weighting<f32> {
    Weighting::new(n, cap, far, empty).unwrap()
}

pub(super) const CUTS: [FarCut<f32>; 3] = [FarCut::None, FarCut::At(1.4), FarCut::Active { margin: 0.2 }];

#[test]
fn draws_are_those_of_the_reference_but_for_ties() {
    for dim in [16, 128, 512] {
        for n in [2.0, 2.5, 3.0, 16.0, 128.0, 512.0, 2048.0] {
            let (mut differ, mut all) = (0, 0);
            for (k, far) in CUTS.into_iter().enumerate() {
                let labels = labels(256, 4);
                let x = rows(k as u64, &labels, dim, if k == 1 { 1.0 } else { 30.0 });
                let law = weighting(n, Cap::Near(0.5), far, EmptyRow::Nearest);
                differ += compare(&format!("D {dim}, n {n}, {far:?}"), &law, &x, &labels, k as u32);
                all += 3 * labels.len();
            }
            // Each of the borders between candidates is misplaced by the rounding of a log-weight, at most.
            let share = differ as f64 / all as f64;
            assert!(share <= 2e-3 + rounding(n), "D {dim}, n {n}: {differ} of {all} draws differ");
        }
    }
}

#[test]
fn blocks_of_several_panels_draw_what_the_reference_draws() {
    // So many rows that memory has no room for sums of smaller blocks, a hundred of which have positives.
    let count = 17_000;
    let plan = Plan::new(count, count);
    assert_eq!(
        (plan.block, plan.panels() % (plan.rows / TILE)),
        (96, 4),
        "no power of two, and a last square that is cut"
    );
    let labels: Vec<u32> = (0..count as u32).map(|i| if i % 170 == 0 { i / 680 } else { i + 100 }).collect();
    let x = rows(4, &labels, 8, 1.0);
    let law = weighting(8.0, Cap::Near(0.5), FarCut::Active { margin: 0.2 }, EmptyRow::Skip);
    let differ = compare("17,000", &law, &x, &labels, 1);
    assert!(differ <= 3, "{differ} of 300 draws differ");
}

#[test]
fn odd_batches_draw_what_the_reference_draws() {
    let batches: Vec<(&str, Vec<f32>, Vec<u32>)> = vec![
        ("ragged", rows(1, &labels(45, 5), 24, 1.0), labels(45, 5)),
        ("one beyond a square", rows(1, &labels(129, 3), 8, 1.0), labels(129, 3)),
        ("two", rows(1, &[0, 1], 8, 1.0), vec![0, 1]),
        ("one class", rows(1, &[3; 40], 8, 1.0), vec![3; 40]),
        ("all classes of one", rows(1, &labels(40, 1), 8, 1.0), labels(40, 1)),
        ("two classes", rows(1, &labels(70, 35), 8, 1.0), labels(70, 35)),
        ("classes in no order", rows(1, &labels(66, 2), 16, 1.0), (0..66).map(|i| i * 7 % 9).collect()),
        ("collapsed", [1.0, 0.0, 0.0].repeat(36), labels(36, 4)),
        ("duplicates", rows(1, &labels(18, 3), 8, 1.0).repeat(2), labels(36, 3)),
        (
            "antipodes",
            [1.0, 0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0].repeat(3),
            labels(18, 2),
        ),
    ];
    for (name, x, labels) in &batches {
        for n in [2.0, 3.0, 16.0, 512.0] {
            for far in
                CUTS.into_iter().chain([FarCut::At(0.1), FarCut::At(0.6), FarCut::Active { margin: -5.0 }])
            {
                for cap in [Cap::Near(0.5), Cap::Near(0.05), Cap::Near(1.9), Cap::LnLambda(0.5)] {
                    for empty in [EmptyRow::Skip, EmptyRow::Nearest, EmptyRow::Uniform] {
                        let law = weighting(n, cap, far, empty);
                        compare(&format!("{name}: {law:?}"), &law, x, labels, 5);
                    }
                }
            }
        }
    }
}

/// Labels of a batch and of a memory behind it, which holds some classes of the batch and others.
pub(super) fn remembered(anchors: usize, count: usize) -> Vec<u32> {
    (0..count).map(|i| if i < anchors { i as u32 / 4 } else { (i as u32 * 13 + 5) % 97 }).collect()
}

#[test]
fn with_a_memory_draws_are_those_of_the_reference_but_for_ties() {
    let (mut differ, mut all, mut from_memory) = (0, 0, 0);
    for (anchors, count) in [(24, 100), (40, 128), (128, 129), (150, 700), (33, 1000), (260, 400), (7, 2100)]
    {
        let labels = remembered(anchors, count);
        for dim in [16, 128] {
            let x = rows(anchors as u64, &labels, dim, 3.0);
            for (far, empty) in CUTS.into_iter().zip([EmptyRow::Nearest, EmptyRow::Uniform, EmptyRow::Skip]) {
                for n in [2.0, 16.0, 512.0] {
                    let law = weighting(n, Cap::Near(0.5), far, empty);
                    differ +=
                        compare_by(anchors, &format!("{anchors} of {count}: {law:?}"), &law, &x, &labels, 5);
                    let (draws, _) = drawn_by(anchors, &Fast::new(1).unwrap(), &law, &x, &labels, 5);
                    all += draws.len();
                    assert!(draws.iter().all(|draw| {
                        (draw.triplet.anchor as usize) < anchors && (draw.triplet.positive as usize) < anchors
                    }));
                    from_memory +=
                        draws.iter().filter(|draw| draw.triplet.negative as usize >= anchors).count();
                }
            }
        }
    }
    assert!(differ as f64 <= 2e-3 * all as f64, "{differ} of {all} draws differ");
    assert!(from_memory > all / 4, "{from_memory} of {all} negatives are remembered ones");
}

#[test]
fn with_a_memory_bits_are_the_same_for_any_number_of_threads() {
    for (anchors, count, dim) in [(150, 700, 128), (20, 90, 19), (300, 411, 64)] {
        let labels = remembered(anchors, count);
        let x = rows(2, &labels, dim, 1.0);
        for far in CUTS {
            let law = weighting(dim as f64, Cap::Near(0.5), far, EmptyRow::Uniform);
            let first = drawn_by(anchors, &Fast::new(1).unwrap(), &law, &x, &labels, 1);
            for set in InstructionSet::available() {
                for threads in [1, 2, 5] {
                    let fast = Fast::with_instruction_set(threads, set).unwrap();
                    for _ in 0..2 {
                        let again = drawn_by(anchors, &fast, &law, &x, &labels, 1);
                        assert!(again == first, "{set}, {threads} threads, {far:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn bits_are_the_same_on_every_instruction_set_and_for_any_number_of_threads() {
    for (count, dim, spread) in [(300, 128, 1.0), (411, 19, 0.3), (64, 512, 20.0)] {
        let labels = labels(count, 4);
        let x = rows(2, &labels, dim, spread);
        for far in CUTS {
            let law = weighting(dim as f64, Cap::Near(0.5), far, EmptyRow::Uniform);
            let first = drawn(&Fast::new(1).unwrap(), &law, &x, &labels, 1);
            for set in InstructionSet::available() {
                for threads in [1, 2, 5] {
                    let fast = Fast::with_instruction_set(threads, set).unwrap();
                    // Twice: the second step meets memory that the first has used.
                    for _ in 0..2 {
                        assert!(
                            drawn(&fast, &law, &x, &labels, 1) == first,
                            "{set}, {threads} threads, {far:?}"
                        );
                    }
                }
            }
        }
    }
}

/// Chi-squared with `cells - 1` degrees of freedom, by Wilson and Hilferty's normal form: within five deviations.
#[test]
fn draws_follow_the_exact_law() {
    const STEPS: u32 = 3000;
    // Alone, and as a batch of 20 with 28 remembered rows, some of them of classes of the batch.
    for (dim, anchors) in [(16, 48), (128, 48), (512, 48), (16, 20), (128, 20)] {
        let labels = if anchors < 48 { (0..48).map(|i| i / 4 % 7).collect() } else { labels(48, 4) };
        let x = rows(4, &labels, dim, 1.5);
        let law = weighting(dim as f64, Cap::Near(0.5), FarCut::None, EmptyRow::Skip);
        let fast = Fast::new(1).unwrap();
        let mut counts = vec![[0_u32; 48]; 48];
        for step in 0..STEPS {
            for draw in drawn_by(anchors, &fast, &law, &x, &labels, step).0 {
                counts[draw.triplet.anchor as usize][draw.triplet.negative as usize] += 1;
            }
        }
        for anchor in 0..anchors {
            let exact = law_of(&ln_weights(&law, &x, &labels, anchor));
            let (mut statistic, mut cells) = (0.0, 0.0);
            let mut rest = (0.0, 0.0);
            for (&count, &p) in counts[anchor].iter().zip(&exact) {
                let expected = p * f64::from(3 * STEPS);
                assert!(p > 0.0 || count == 0, "an impossible draw");
                if expected >= 5.0 {
                    statistic += (f64::from(count) - expected).powi(2) / expected;
                    cells += 1.0;
                } else {
                    rest = (rest.0 + f64::from(count), rest.1 + expected);
                }
            }
            if rest.1 >= 5.0 {
                statistic += (rest.0 - rest.1).powi(2) / rest.1;
                cells += 1.0;
            }
            if cells >= 2.0 {
                let freedom: f64 = cells - 1.0;
                let tail = 2.0 / (9.0 * freedom);
                let z = ((statistic / freedom).cbrt() - (1.0 - tail)) / tail.sqrt();
                assert!(z < 5.0, "D {dim}, anchor {anchor}: chi-squared {statistic:.1} with {freedom}");
            }
        }
    }
}

#[test]
fn memory_beyond_the_embeddings_is_bounded() {
    let labels = labels(3000, 4);
    let x = rows(6, &labels, 16, 1.0);
    let fast = Fast::new(2).unwrap();
    drawn(&fast, &weighting(16.0, Cap::Near(0.5), FarCut::None, EmptyRow::Skip), &x, &labels, 0);
    let workspace = fast.workspace.lock().unwrap();
    let tables = &workspace.tables;
    let kept = tables.kept.capacity() * size_of::<Cell>() + tables.tallies.capacity() * size_of::<Tally>();
    let packed = size_of_val(&tables.packed[..]);
    assert!(kept > 0 && packed > 0 && kept + packed <= 64 << 20, "{kept} + {packed} bytes");
    // Whatever the batch: the sums and the panels have limits of their own.
    for count in [100, 10_000, 65_536, 1 << 20] {
        for anchors in [count, 100] {
            let plan = Plan::new(anchors, count);
            assert!(plan.tasks() * plan.bytes_by_task() + (12 << 20) <= 64 << 20);
        }
    }
}
