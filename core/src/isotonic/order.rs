//! Points by x: the one step of isotonic regression that is not linear.
//!
//! A point is sorted by one word, the leading bits of its x before its index, and takes its y along: nothing is read
//! at places that lie apart. Few points share all the bits that fit; those that do are sorted once more, by the
//! numbers themselves.

use alloc::vec::Vec;

/// A point in its place.
#[derive(Clone, Copy)]
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
        let (low, high) = places()
            .map(|i| rank(x[i]))
            .fold((u64::MAX, 0), |(low, high), rank| (low.min(rank), high.max(rank)));
        let index_bits = u64::BITS - (x.len() as u64 - 1).leading_zeros();
        let index = (1 << index_bits) - 1;
        // The bits in which the ranks differ are moved to the front.
        let spread = (high - low).leading_zeros().min(u64::BITS - 1);
        let word = |i: usize| (rank(x[i]) - low) << spread & !index | i as u64;
        let mut points: Vec<Point> = places().map(|i| Point { word: word(i), y: y[i] }).collect();
        points.sort_unstable_by_key(|point| point.word);

        let mut first = alloc::vec![true; points.len()];
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
            let mut expected: Vec<usize> = (0..x.len()).filter(|&i| weights[i] > 0.0).collect();
            expected.sort_by(|&a, &b| {
                x[a].partial_cmp(&x[b]).unwrap().then(y[a].total_cmp(&y[b])).then(a.cmp(&b))
            });
            let order = Order::new(&x, &y, Some(&weights));
            prop_assert_eq!(order.len(), expected.len());
            prop_assert!(order.groups().flatten().all(|point| point.y == y[point.index()]));
            let groups: Vec<Vec<usize>> =
                order.groups().map(|group| group.iter().map(|point| point.index()).collect()).collect();
            let wanted: Vec<Vec<usize>> = expected.chunk_by(|&a, &b| x[a] == x[b]).map(<[usize]>::to_vec).collect();
            prop_assert_eq!(&groups, &wanted);
        }
    }
}
