//! Randomness as a function of where you are: Philox 4x32-10, a counter-based generator without state.
//!
//! Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A draw depends on
//! `(seed, stream, step, item, index)` and on nothing else: not on the number of threads, on tiling or on what was
//! drawn before. Replaying one anchor alone gives its draws again.

use crate::math::{Scalar, sin_cos};

/// Ten rounds of Philox on a 128-bit counter with a 64-bit key.
///
/// ```
/// // Known-answer vector of the authors' reference implementation: counter 0, key 0.
/// let words = nearfar_core::philox4x32_10([0; 4], [0; 2]);
/// assert_eq!(words, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
/// ```
#[must_use]
pub const fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    let mut round = 0;
    while round < 10 {
        let p0 = 0xD251_1F53_u64 * counter[0] as u64;
        let p1 = 0xCD9E_8D57_u64 * counter[2] as u64;
        counter = [
            (p1 >> 32) as u32 ^ counter[1] ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ counter[3] ^ key[1],
            p0 as u32,
        ];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        round += 1;
    }
    counter
}

/// What a random number is for. Two streams never share a counter, so a change in one leaves the others alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum Stream {
    /// Initial weights of a network: item = parameter tensor, index = element.
    Init = 1,
    /// Order of classes in a pass: item = class.
    Classes = 2,
    /// Order of samples in a class: item = class or sample.
    Samples = 3,
    /// Choice of negatives: item = anchor, index = draw.
    Negatives = 4,
    /// Second negative of a quadruplet: item = anchor, index = draw.
    SecondNegatives = 5,
    /// Augmentation of inputs: item = place in the batch, index = parameter.
    Augment = 6,
    /// Split of classes into parts: item = class.
    Split = 7,
    /// Clustering: item = centre.
    Cluster = 8,
    /// Pairs that a boundary is fitted to: item = anchor, index = draw.
    Boundary = 9,
    /// Resampled classes of a confidence interval: item = resample, index = draw.
    Bootstrap = 10,
    /// Points that are simulated for a figure: item = point, index = number.
    Simulation = 11,
    /// Candidates in the sample of a search: item = stretch of candidates. No result depends on it.
    Search = 12,
}

/// The place of a random number: a seed, what it is for, and the step.
///
/// ```
/// use nearfar_core::{Key, Stream};
/// let key = Key::new(7, Stream::Negatives, 100);
/// // The third draw of anchor 5 is the same whenever it is asked for.
/// assert_eq!(key.uniform(5, 2), key.uniform(5, 2));
/// assert!(key.uniform(5, 2) >= 0.0 && key.uniform(5, 2) < 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    seed: u64,
    stream: Stream,
    step: u32,
}

impl Key {
    /// A place for all items of one stream at one step.
    #[must_use]
    pub const fn new(seed: u64, stream: Stream, step: u32) -> Self {
        Self { seed, stream, step }
    }

    /// The same seed and step, for another purpose.
    #[must_use]
    pub const fn with_stream(self, stream: Stream) -> Self {
        Self { stream, ..self }
    }

    /// The seed of this key.
    #[must_use]
    pub const fn seed(self) -> u64 {
        self.seed
    }

    /// What it is for.
    #[must_use]
    pub const fn stream(self) -> Stream {
        self.stream
    }

    /// The step.
    #[must_use]
    pub const fn step(self) -> u32 {
        self.step
    }

    /// 128 random bits of `(item, index)`.
    #[must_use]
    pub const fn words(self, item: u32, index: u32) -> [u32; 4] {
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        philox4x32_10([item, index, self.step, self.stream as u32], key)
    }

    /// Uniform in `[0, 1)` with 53 random bits.
    #[must_use]
    pub fn uniform(self, item: u32, index: u32) -> f64 {
        let [a, b, ..] = self.words(item, index);
        let bits = (u64::from(a) << 21) | (u64::from(b) >> 11);
        bits as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform among `0..count` (`count >= 1`), by a 64 x 64 bit multiplication; the bias is below `count / 2^64`.
    #[must_use]
    pub fn below(self, item: u32, index: u32, count: usize) -> usize {
        let [a, b, ..] = self.words(item, index);
        let bits = (u64::from(a) << 32) | u64::from(b);
        ((u128::from(bits) * count as u128) >> 64) as usize
    }

    /// Two independent standard normal numbers, by Box and Muller.
    #[must_use]
    pub fn normals(self, item: u32, index: u32) -> [f64; 2] {
        let [a, b, c, d] = self.words(item, index);
        let scale = 1.0 / (1_u64 << 53) as f64;
        // 1 - u lies in (0, 1]: its logarithm is finite.
        let u = 1.0 - ((u64::from(a) << 21) | (u64::from(b) >> 11)) as f64 * scale;
        let v = ((u64::from(c) << 21) | (u64::from(d) >> 11)) as f64 * scale;
        let radius = Scalar::sqrt(-2.0 * Scalar::ln(u));
        let (sin, cos) = sin_cos(2.0 * core::f64::consts::PI * v);
        [radius * cos, radius * sin]
    }
}

/// Shuffles `items` in place: a Fisher-Yates pass whose swaps are draws `(item, index 0..)` of `key`.
///
/// ```
/// use nearfar_core::{Key, Stream, shuffle};
/// let mut order = [0, 1, 2, 3, 4];
/// shuffle(&mut order, Key::new(1, Stream::Classes, 0), 0);
/// let mut sorted = order;
/// sorted.sort();
/// assert_eq!(sorted, [0, 1, 2, 3, 4]);
/// ```
pub fn shuffle<I>(items: &mut [I], key: Key, item: u32) {
    for last in (1..items.len()).rev() {
        let other = key.below(item, last as u32, last + 1);
        items.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_reference_vectors() {
        // Random123, kat_vectors, philox4x32-10.
        assert_eq!(
            philox4x32_10([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32_10([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let key = Key::new(3, Stream::Init, 0);
        let n = 20_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for i in 0..n {
            for z in key.normals(0, i) {
                sum += z;
                squares += z * z;
            }
        }
        let count = f64::from(2 * n);
        // Five standard errors: 1/sqrt(count) for the mean, sqrt(2/count) for the variance.
        assert!((sum / count).abs() < 5.0 / count.sqrt());
        assert!((squares / count - 1.0).abs() < 5.0 * (2.0 / count).sqrt());
    }
}
