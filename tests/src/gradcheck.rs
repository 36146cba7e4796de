//! Central differences, which know that a loss has kinks.

/// Step of the differences: the square root of rounding would be best for a kinked loss of order 1, a little more
/// keeps the noise of long sums down.
const STEP: f64 = 1e-6;

/// Compares `gradient` with differences of `value` around `at`; returns the largest error and how many coordinates
/// were skipped because the two one-sided differences disagree: a kink lies between.
#[must_use]
pub fn check(at: &[f64], gradient: &[f64], mut value: impl FnMut(&[f64]) -> f64) -> (f64, usize) {
    let (mut worst, mut skipped) = (0.0_f64, 0);
    let middle = value(at);
    let mut moved = at.to_vec();
    for i in 0..at.len() {
        let mut side = |step: f64| {
            moved[i] = at[i] + step;
            let v = value(&moved);
            moved[i] = at[i];
            v
        };
        let (up, down) = (side(STEP), side(-STEP));
        let (right, left) = ((up - middle) / STEP, (middle - down) / STEP);
        // Smooth: the two differ by curvature times the step. At a kink they differ by the jump of the slope.
        if (right - left).abs() > 1e-3 * (1.0 + right.abs()) {
            skipped += 1;
            continue;
        }
        let scale = 1.0_f64.max(gradient[i].abs());
        worst = worst.max(((up - down) / (2.0 * STEP) - gradient[i]).abs() / scale);
    }
    (worst, skipped)
}
