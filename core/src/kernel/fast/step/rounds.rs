//! Who meets whom: all pairs of units of anchors, in rounds in which no unit has part twice. What a pair does to both its
//! units is then done side by side with others, and always in the same order.

use super::Spread;
use super::far::Far;
use super::push::{Field, Others, Push, Unit};
use super::tile::TILE;
use crate::kernel::fast::scratch::Scratch;

/// Panels of a unit at most: those of two, with what is made of them, stay in a second cache.
const LARGEST: usize = 4;
/// Units that there are at least, where panels are as many: half of them have work at the same time.
const UNITS: usize = 16;

/// Pushes all negatives of a batch, and what a memory holds pushes them; `gradient` is zeros, and holds each row of the
/// batch.
pub(super) fn push(
    spread: Spread,
    scratch: &Scratch,
    field: Field<'_>,
    gradient: &mut [f32],
    far: &mut [Far],
) {
    let (dim, panels) = (field.sums.panels.batch.dim, far.len());
    // What one unit holds has no use for threads.
    let size = if panels <= LARGEST { LARGEST } else { (panels / UNITS).clamp(1, LARGEST) };
    let meet = Meet { spread, scratch, field, len: Push::scratch(LARGEST, dim) };

    let mut units = cut(size, dim, gradient, far);
    spread.each(&mut units, |unit| meet.run(unit, Others::Own));
    for round in rounds(units.len()) {
        let mut free: Vec<_> = units.iter_mut().map(Some).collect();
        let mut taken = |unit: usize| free[unit].take().expect("no unit is in a round twice");
        let mut pairs: Vec<_> = round.map(|(i, j)| (taken(i), taken(j))).collect();
        spread.each(&mut pairs, |(unit, other)| meet.run(unit, Others::Anchors(other)));
    }

    let all = field.sums.plan.panels();
    spread.each(&mut cut(1, dim, gradient, far), |unit| {
        for first in (panels..all).step_by(LARGEST) {
            meet.run(unit, Others::Remembered(first..(first + LARGEST).min(all)));
        }
    });
}

/// How a unit meets others.
struct Meet<'a> {
    spread: Spread,
    scratch: &'a Scratch,
    field: Field<'a>,
    /// Numbers of scratch memory.
    len: usize,
}

impl Meet<'_> {
    fn run<'u>(&self, unit: &mut Unit<'u>, others: Others<'_, 'u>) {
        let Self { spread, scratch, field, len } = *self;
        scratch.single(len, |scratch| spread.set.run(Push { field, unit, others, scratch }));
    }
}

/// Units of so many panels.
fn cut<'a>(size: usize, dim: usize, gradient: &'a mut [f32], far: &'a mut [Far]) -> Vec<Unit<'a>> {
    let units = gradient.chunks_mut(size * TILE * dim).zip(far.chunks_mut(size)).enumerate();
    let unit = |(at, (gradient, far)): (usize, (&'a mut [f32], &'a mut [Far]))| {
        let panels = at * size..at * size + far.len();
        Unit { panels, gradient, far }
    };
    units.map(unit).collect()
}

/// Each pair `(i, j)`, `i < j < units`, in one of the rounds: all play all, one stays in place and the others go round.
fn rounds(units: usize) -> impl Iterator<Item = impl Iterator<Item = (usize, usize)>> {
    // With an odd number of units one of them waits.
    let seats = units.next_multiple_of(2);
    let ring = seats.saturating_sub(1);
    (0..ring).map(move |round| {
        let pairs = (1..seats / 2).map(move |k| ((round + k) % ring, (round + ring - k) % ring));
        let pairs = core::iter::once((round, ring)).chain(pairs);
        pairs.map(|(i, j)| (i.min(j), i.max(j))).filter(move |&(_, j)| j < units)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_one_round_and_no_unit_is_in_one_twice() {
        for units in 0..20 {
            let mut met = vec![0; units * units];
            for round in rounds(units) {
                let mut busy = vec![false; units];
                for (i, j) in round {
                    assert!(i < j && !busy[i] && !busy[j], "{i} and {j} of {units}");
                    (busy[i], busy[j]) = (true, true);
                    met[i * units + j] += 1;
                }
            }
            for (at, times) in met.into_iter().enumerate() {
                assert_eq!(times, usize::from(at / units < at % units), "{at} of {units}");
            }
        }
    }
}
