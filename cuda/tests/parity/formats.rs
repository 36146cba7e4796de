//! What tensor cores multiply, written down a second time: how operands are rounded, and what a product may lose by it.

use std::sync::OnceLock;

use nearfar_cuda::{Cuda, Precision};

use crate::bench::device;

/// What tensor cores multiply, and what is said of it.
pub(crate) struct Format {
    pub(crate) precision: Precision,
    /// Finite numbers as operands.
    pub(crate) rounded: fn(&[f32]) -> Vec<f32>,
    /// What a product may lose of the sizes of its terms, both operands of each being rounded.
    pub(crate) loss: f32,
    /// Numbers that tell how it rounds, and what each becomes.
    pub(crate) told: &'static [(f32, f32)],
    cuda: OnceLock<Cuda>,
}

/// Half of the last place of a number from 1 to 2.
const HALF_TF32: f32 = 1.0 / 2048.0;
const HALF_BF16: f32 = 1.0 / 256.0;
const INF: f32 = f32::INFINITY;

static FORMATS: [Format; 2] = [
    Format {
        precision: Precision::Tf32,
        // 10 bits behind the point, ties away from zero.
        rounded: |values| values.iter().map(|v| f32::from_bits((v.to_bits() + 0x1000) & !0x1fff)).collect(),
        loss: 2.0 * HALF_TF32 + HALF_TF32 * HALF_TF32,
        told: &[
            (1.0 + HALF_TF32, 1.0 + 2.0 * HALF_TF32),
            (-1.0 - HALF_TF32, -1.0 - 2.0 * HALF_TF32),
            (1.0 + 0.9 * HALF_TF32, 1.0),
            (1.0 + 1.1 * HALF_TF32, 1.0 + 2.0 * HALF_TF32),
            (0.1, 0.099_975_586),
            // Half way from the largest finite one to the next power of two, and the number before.
            (f32::from_bits(0x7f7f_f000), INF),
            (f32::from_bits(0x7f7f_efff), f32::from_bits(0x7f7f_e000)),
            (f32::MAX, INF),
        ],
        cuda: OnceLock::new(),
    },
    Format {
        precision: Precision::Bf16,
        // 7 bits behind the point, ties to even.
        rounded: |values| {
            let nearest = |bits: u32| (bits + 0x7fff + (bits >> 16 & 1)) & !0xffff;
            values.iter().map(|v| f32::from_bits(nearest(v.to_bits()))).collect()
        },
        loss: 2.0 * HALF_BF16 + HALF_BF16 * HALF_BF16,
        told: &[
            (1.0 + HALF_BF16, 1.0),
            (-1.0 - HALF_BF16, -1.0),
            (1.0 + 3.0 * HALF_BF16, 1.0 + 4.0 * HALF_BF16),
            (-1.0 - 3.0 * HALF_BF16, -1.0 - 4.0 * HALF_BF16),
            (1.0 + 0.9 * HALF_BF16, 1.0),
            (1.0 + 1.1 * HALF_BF16, 1.0 + 2.0 * HALF_BF16),
            (0.1, 0.100_097_656),
            (f32::from_bits(0x7f7f_8000), INF),
            (f32::from_bits(0x7f7f_7fff), f32::from_bits(0x7f7f_0000)),
            (f32::MAX, INF),
        ],
        cuda: OnceLock::new(),
    },
];

/// Runs a test in each format, if there is a device.
pub(crate) fn each(test: impl Fn(&Format, &Cuda)) {
    for format in &FORMATS {
        if device().is_some() {
            test(format, format.cuda.get_or_init(|| Cuda::new(0).unwrap().with_precision(format.precision)));
        }
    }
}
