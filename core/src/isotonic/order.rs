//! Points by x: the one step of isotonic regression that is not linear.
//!
//! A point is sorted by one word, the leading bits of its x before its index, and takes its y along: nothing is read
//! at places that lie apart. Many points are first dealt out to equal stretches of the x axis, so that what is sorted
//! lies in a cache; those of a stretch are dealt out once more, by their words, to heaps of a few, and what compares is
//! left with these. Few points share all the bits that fit; those that do are sorted once more, by the numbers
//! themselves.

use alloc::vec::Vec;

/// Points that are sorted at once: more are dealt out to [`STRETCHES`] of the x axis.
const AT_ONCE: usize = 1 << 14;
/// So many that a stretch of ten million even points lies in a second cache.
const STRETCHES: usize = 1 << 10;
/// Points that are dealt out to heaps; fewer are sorted as they are.
const DEALT: usize = 128;
/// Points of a heap, where words are even.
const HEAP: usize = 4;

/// A point in its place.
#[derive(Clone, Copy, Default)]
pub(super) struct Point {
    word: u64,
    pub(super) y: f64,
}

impl Point {
    /// Its index in the input.
    pub(super) fn index(self) -> usize {
        self.word as usize
    }
}

/// The points that have weight: by x, then y, then index.
pub(super) struct Order {
    points: Vec<Point>,
    /// Whether the point's x differs from that of the point before it.
    first: Vec<bool>,
}

impl Order {
    /// Of at least one point with weight; all numbers are finite.
    pub(super) fn new(x: &[f64], y: &[f64], weights: Option<&[f64]>) -> Self {
        let places = || (0..x.len()).filter(|&i| weights.is_none_or(|w| w[i] > 0.0));
        let (low, high) =
            places().map(|i| x[i]).fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
        let index_bits = u64::BITS - (x.len() as u64 - 1).leading_zeros();
        let index = (1 << index_bits) - 1;
        // The bits in which the ranks differ are moved to the front.
        let spread = (rank(high) - rank(low)).leading_zeros().min(u64::BITS - 1);
        let word = |i: usize| (rank(x[i]) - rank(low)) << spread & !index | i as u64;

        let stretches = if x.len() > AT_ONCE { STRETCHES } else { 1 };
        // Never falls as x rises, whatever is rounded or overflows: no number becomes 0, infinity the last.
        let scale = stretches as f64 / (high - low);
        let stretch = |x: f64| (((x - low) * scale) as usize).min(stretches - 1);
        let mut ends = alloc::vec![0; stretches + 1];
        places().for_each(|i| ends[stretch(x[i]) + 1] += 1);
        for s in 1..=stretches {
            ends[s] += ends[s - 1];
        }
        let mut points = alloc::vec![Point::default(); ends[stretches]];
        for i in places() {
            // The start of each stretch moves to its end.
            let place = &mut ends[stretch(x[i])];
            points[*place] = Point { word: word(i), y: y[i] };
            *place += 1;
        }
        let mut first = alloc::vec![true; points.len()];
        let (mut start, mut heaps) = (0, Heaps::default());
        for &end in &ends[..stretches] {
            heaps.sort(&mut points[start..end]);
            settle(x, index, &mut points[start..end], &mut first[start..end]);
            start = end;
        }
        Self { points, first }
    }

    /// How many points have weight.
    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    /// The points of each distinct x.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[Point]> {
        let mut done = 0;
        core::iter::from_fn(move || {
            let from = done;
            self.points.get(from)?;
            done += 1 + self.first[from + 1..].iter().take_while(|first| !**first).count();
            Some(&self.points[from..done])
        })
    }
}

/// Memory of a sort by words.
#[derive(Default)]
struct Heaps {
    points: Vec<Point>,
    ends: Vec<usize>,
}

impl Heaps {
    /// Sorts points by their words.
    fn sort(&mut self, points: &mut [Point]) {
        if points.len() < DEALT {
            return points.sort_unstable_by_key(|point| point.word);
        }
        let Self { points: dealt, ends } = self;
        let words = points.iter().map(|point| point.word);
        let (low, high) = words.fold((u64::MAX, 0), |(low, high), word| (low.min(word), high.max(word)));
        let bits = (points.len() / HEAP).ilog2();
        let beyond = (u64::BITS - (high - low).leading_zeros()).saturating_sub(bits);
        let heap = |point: &Point| ((point.word - low) >> beyond) as usize;
        ends.clear();
        ends.resize((1 << bits) + 1, 0);
        points.iter().for_each(|point| ends[heap(point) + 1] += 1);
        for h in 1..ends.len() {
            ends[h] += ends[h - 1];
        }
        dealt.resize(points.len(), Point::default());
        for point in &*points {
            let place = &mut ends[heap(point)];
            dealt[*place] = *point;
            *place += 1;
        }
        let mut start = 0;
        for &end in &ends[..1 << bits] {
            dealt[start..end].sort_unstable_by_key(|point| point.word);
            start = end;
        }
        points.copy_from_slice(dealt);
    }
}

/// Sorts points, which are by their words, by x, then y, then index, and takes from their words all but the index, whose
/// bits are `index`; `first`, all true, becomes false where x is that of the point before.
fn settle(x: &[f64], index: u64, points: &mut [Point], first: &mut [bool]) {
    let mut done = 0;
    while done < points.len() {
        let alike = |other: &&Point| (points[done].word ^ other.word) <= index;
        let end = done + points[done..].iter().take_while(alike).count();
        let run = &mut points[done..end];
        run.iter_mut().for_each(|point| point.word &= index);
        if run.len() > 1 {
            let rank_of = |point: &Point| rank(x[point.index()]);
            run.sort_unstable_by(|a, b| {
                rank_of(a).cmp(&rank_of(b)).then(a.y.total_cmp(&b.y)).then(a.word.cmp(&b.word))
            });
            for i in 1..run.len() {
                first[done + i] = rank_of(&run[i]) != rank_of(&run[i - 1]);
            }
        }
        done = end;
    }
}

/// A number that is ordered as finite `x` is; both zeros have one.
fn rank(x: f64) -> u64 {
    let bits = (x + 0.0).to_bits();
    // Of negative numbers the larger is the one with the smaller magnitude.
    bits ^ if bits >> 63 == 1 { u64::MAX } else { 1 << 63 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranks_rise_with_their_numbers() {
        let rising = [f64::MIN, -1.5, -1.0, -f64::MIN_POSITIVE, -5e-324, 0.0, 5e-324, 1.0, 1.5, f64::MAX];
        assert!(rising.windows(2).all(|pair| rank(pair[0]) < rank(pair[1])));
        assert_eq!(rank(-0.0), rank(0.0));
    }

    /// Checks order and groups against a plain sort.
    fn check(x: &[f64], y: &[f64], weights: &[f64]) {
        let mut expected: Vec<usize> = (0..x.len()).filter(|&i| weights[i] > 0.0).collect();
        expected
            .sort_by(|&a, &b| x[a].partial_cmp(&x[b]).unwrap().then(y[a].total_cmp(&y[b])).then(a.cmp(&b)));
        let order = Order::new(x, y, Some(weights));
        assert_eq!(order.len(), expected.len());
        assert!(order.groups().flatten().all(|point| point.y == y[point.index()]));
        let groups: Vec<Vec<usize>> =
            order.groups().map(|group| group.iter().map(|point| point.index()).collect()).collect();
        let wanted: Vec<Vec<usize>> =
            expected.chunk_by(|&a, &b| x[a] == x[b]).map(<[usize]>::to_vec).collect();
        assert_eq!(groups, wanted);
    }

    #[test]
    fn many_points_come_in_order_wherever_they_lie() {
        // One stretch of heaps, and many stretches.
        let counts = [5000, AT_ONCE + 777];
        let key = crate::Key::new(3, crate::Stream::Init, 0);
        let uniform = |i: u32| key.uniform(0, i);
        let tiny = f64::from_bits(1);
        let axes: [&dyn Fn(u32) -> f64; 5] = [
            &|i| uniform(i),
            // Numbers next to each other, so that stretches part points whose words agree.
            &|i| f64::from_bits(1.0_f64.to_bits() + (uniform(i) * 4000.0) as u64),
            // A range beyond all numbers, one below all normal ones, and none.
            &|i| (2.0 * uniform(i) - 1.0) * f64::MAX,
            &|i| tiny * (uniform(i) * 900.0).floor(),
            &|_| -0.0,
        ];
        for (count, axis) in counts.into_iter().flat_map(|count| axes.map(|axis| (count, axis))) {
            let x: Vec<f64> = (0..count as u32).map(axis).collect();
            let y: Vec<f64> = (0..count as u32).map(|i| (key.uniform(1, i) * 8.0).floor()).collect();
            let weights: Vec<f64> = (0..count as u32).map(|i| f64::from(i % 7)).collect();
            check(&x, &y, &weights);
        }
    }

    proptest! {
        /// Numbers that share most of their bits, some all of them, between far ones.
        #[test]
        fn points_come_by_x_then_y_then_place(
            points in prop::collection::vec(
                (prop::sample::select(&[-1e300_f64, -0.0, 0.0, 1.0, 7e9][..]), 0..3_u64, 0..3_i32, 0..4_u32), 1..40)
        ) {
            let x: Vec<f64> = points.iter().map(|p| f64::from_bits(p.0.to_bits() + p.1)).collect();
            let y: Vec<f64> = points.iter().map(|p| f64::from(p.2)).collect();
            let weights: Vec<f64> = points.iter().map(|p| f64::from(p.3)).collect();
            prop_assume!(weights.iter().any(|&w| w > 0.0));
            check(&x, &y, &weights);
        }
    }
}
