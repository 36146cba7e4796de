//! The short floating-point formats: f16, bf16 and tf32.

use super::Alu;
use super::convert::Rounding;

/// A single as a short format with `fraction` bits, `exponent` bits and its bias, rounded by `rounding` (to nearest
/// even, or to zero). The bits come back right-aligned.
fn shorten(x: f32, exponent: u32, fraction: u32, rounding: Rounding) -> u32 {
    let (bits, sign) = (x.to_bits(), x.to_bits() >> 31 << (exponent + fraction));
    let top = (1u32 << exponent) - 1;
    if x.is_nan() {
        return (1 << (exponent + fraction)) - 1; // the canonical NaN is all ones below the sign
    }
    let magnitude = bits & 0x7fff_ffff;
    let bias = (1i32 << (exponent - 1)) - 1;
    let power = (magnitude >> 23) as i32 - 127 + bias;
    let (significand, drop) = if power > 0 {
        // Normal there: exponent and fraction are one number, so that a carry is right by itself.
        ((power as u64) << 23 | u64::from(magnitude & 0x7f_ffff), 23 - fraction)
    } else {
        let implicit = if magnitude >> 23 == 0 { 0 } else { 1u64 << 23 };
        // A subnormal single keeps the exponent of the smallest normal one.
        let power = if implicit == 0 { power + 1 } else { power };
        (implicit | u64::from(magnitude & 0x7f_ffff), (23 - fraction + (1 - power) as u32).min(40))
    };
    let (kept, rest, half) = (significand >> drop, significand & ((1 << drop) - 1), 1u64 << drop >> 1);
    let up = match rounding {
        Rounding::Nearest => rest > half || (rest == half && half > 0 && kept & 1 == 1),
        Rounding::NearestAway => rest >= half && half > 0,
        _ => false,
    };
    let result = kept + u64::from(up);
    if result >= u64::from(top) << fraction && !x.is_infinite() && rounding == Rounding::Zero {
        return sign | ((top << fraction) - 1); // the largest finite number
    }
    sign | result.min(u64::from(top) << fraction) as u32
}

/// A single as f16.
#[must_use]
pub fn f16_of(x: f32, rounding: Rounding) -> u16 {
    shorten(x, 5, 10, rounding) as u16
}

/// A single as bf16.
#[must_use]
pub fn bf16_of(x: f32, rounding: Rounding) -> u16 {
    shorten(x, 8, 7, rounding) as u16
}

/// A single as tf32, which is a single with 13 low bits zero; ties go away from zero.
#[must_use]
pub fn tf32_of(x: f32) -> f32 {
    if x.is_nan() {
        f32::from_bits(0x7fff_ffff)
    } else {
        f32::from_bits(shorten(x, 8, 10, Rounding::NearestAway) << 13)
    }
}

/// An f16 as a single.
#[must_use]
pub fn widen_f16(bits: u16) -> f32 {
    let (sign, power, fraction) =
        (u32::from(bits >> 15) << 31, u32::from(bits >> 10 & 31), u32::from(bits & 0x3ff));
    let magnitude = match power {
        0 => return f32::from_bits(sign | (fraction as f32 * f32::from_bits(0x3380_0000)).to_bits()), // times 2^-24
        31 => 0x7f80_0000 | fraction << 13,
        _ => (power + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// A bf16 as a single.
#[must_use]
pub fn widen_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// `cvt.rn.bf16x2.f32 d, a, b`: a goes to the upper half.
fn pair(a: u64, b: u64, shorten: fn(f32, Rounding) -> u16, rounding: Rounding) -> u64 {
    let half = |bits: u64| u64::from(shorten(f32::from_bits(bits as u32), rounding));
    half(a) << 16 | half(b)
}

/// Conversions of pairs, named by the type of their sources as the last part.
pub(super) fn operation(name: &str, middle: &[&str], kind: &str) -> Option<(Alu, usize)> {
    Some(match (name, middle, kind) {
        ("cvt", ["rn", "f16x2"], "f32") => (|a, b, _| pair(a, b, f16_of, Rounding::Nearest), 2),
        ("cvt", ["rz", "f16x2"], "f32") => (|a, b, _| pair(a, b, f16_of, Rounding::Zero), 2),
        ("cvt", ["rn", "bf16x2"], "f32") => (|a, b, _| pair(a, b, bf16_of, Rounding::Nearest), 2),
        ("cvt", ["rz", "bf16x2"], "f32") => (|a, b, _| pair(a, b, bf16_of, Rounding::Zero), 2),
        _ => return None,
    })
}
