//! Singles and doubles: rounding modes, flushing of subnormal numbers, saturation, and the rules for NaN.
//!
//! A single's result with a directed rounding comes from doubles: sums and products of singles have an exact error
//! term there. The approximate functions are computed in double and rounded: they are at least as near as a device's.

use super::Alu;

/// The one NaN that operations on singles return.
const NAN: u32 = 0x7fff_ffff;

pub(super) fn f(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

fn d(bits: u64) -> f64 {
    f64::from_bits(bits)
}

/// A subnormal number becomes the zero of its sign.
pub(super) fn flush(x: f32) -> f32 {
    if x.is_subnormal() { f32::from_bits(x.to_bits() & 1 << 31) } else { x }
}

fn input<const FTZ: bool>(bits: u64) -> f32 {
    if FTZ { flush(f(bits)) } else { f(bits) }
}

fn output<const FTZ: bool, const SAT: bool>(x: f32) -> u64 {
    let x = if FTZ { flush(x) } else { x };
    if SAT {
        // NaN saturates to zero.
        return u64::from(if x > 0.0 { x.min(1.0) } else { 0.0 }.to_bits());
    }
    u64::from(if x.is_nan() { NAN } else { x.to_bits() })
}

/// The roundings as constants, since a function's generic parameter cannot be an enumeration.
const RN: u8 = 0;
const RZ: u8 = 1;
const RM: u8 = 2;
const RP: u8 = 3;

/// `sum + error`, an exact value, as a single.
fn directed<const R: u8>(sum: f64, error: f64) -> f32 {
    let near = sum as f32;
    if sum.is_nan() || sum.is_infinite() {
        return near;
    }
    // The error is below half an ulp of the double, so it decides only when the double itself is a single.
    let rest = sum - f64::from(near);
    let rest = if rest == 0.0 { error } else { rest };
    let (below, above) = (rest < 0.0, rest > 0.0);
    match R {
        RZ if near > 0.0 && below => near.next_down(),
        RZ if near < 0.0 && above => near.next_up(),
        RM if below => near.next_down(),
        RP if above => near.next_up(),
        _ => near,
    }
}

/// Knuth's sum: the rounded sum and its exact error.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

fn sum32<const R: u8>(a: f64, b: f64) -> f32 {
    let (sum, error) = two_sum(a, b);
    if sum == 0.0 && R == RM && (a != 0.0 || a.is_sign_positive() != b.is_sign_positive()) {
        return -0.0; // an exact zero rounds down to the negative one
    }
    directed::<R>(sum, error)
}

fn add<const R: u8, const FTZ: bool, const SAT: bool>(a: u64, b: u64, _: u64) -> u64 {
    let (a, b) = (input::<FTZ>(a), input::<FTZ>(b));
    output::<FTZ, SAT>(if R == RN { a + b } else { sum32::<R>(a.into(), b.into()) })
}

fn sub<const R: u8, const FTZ: bool, const SAT: bool>(a: u64, b: u64, c: u64) -> u64 {
    add::<R, FTZ, SAT>(a, b ^ 1 << 31, c)
}

fn mul<const R: u8, const FTZ: bool, const SAT: bool>(a: u64, b: u64, _: u64) -> u64 {
    let (a, b) = (input::<FTZ>(a), input::<FTZ>(b));
    output::<FTZ, SAT>(if R == RN { a * b } else { directed::<R>(f64::from(a) * f64::from(b), 0.0) })
}

fn fma<const R: u8, const FTZ: bool, const SAT: bool>(a: u64, b: u64, c: u64) -> u64 {
    let (a, b, c) = (input::<FTZ>(a), input::<FTZ>(b), input::<FTZ>(c));
    output::<FTZ, SAT>(if R == RN {
        a.mul_add(b, c)
    } else {
        sum32::<R>(f64::from(a) * f64::from(b), c.into())
    })
}

/// The smaller one; of a NaN and a number the number, unless `QUIET` asks for the NaN; -0 is below +0.
fn extreme<const LEAST: bool, const QUIET: bool>(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return if QUIET || (a.is_nan() && b.is_nan()) {
            f64::NAN
        } else if a.is_nan() {
            b
        } else {
            a
        };
    }
    if a == b {
        return if a.is_sign_negative() == LEAST { a } else { b };
    }
    if (a < b) == LEAST { a } else { b }
}

fn extreme32<const LEAST: bool, const QUIET: bool, const FTZ: bool>(a: u64, b: u64, _: u64) -> u64 {
    let value = extreme::<LEAST, QUIET>(input::<FTZ>(a).into(), input::<FTZ>(b).into());
    output::<FTZ, false>(value as f32)
}

/// A function of doubles, on singles and rounded once.
macro_rules! unary {
    ($ftz:expr, $function:expr) => {
        if $ftz {
            (|a, _, _| output::<true, false>($function(f64::from(input::<true>(a))) as f32), 1)
        } else {
            (|a, _, _| output::<false, false>($function(f64::from(f(a))) as f32), 1)
        }
    };
}

/// All the variants of a function of singles.
macro_rules! variants {
    ($function:ident, $round:expr, $ftz:expr, $sat:expr, $count:literal) => {{
        let function: Alu = match ($round, $ftz, $sat) {
            (RN, false, false) => $function::<RN, false, false>,
            (RN, false, true) => $function::<RN, false, true>,
            (RN, true, false) => $function::<RN, true, false>,
            (RN, true, true) => $function::<RN, true, true>,
            (RZ, false, false) => $function::<RZ, false, false>,
            (RZ, true, false) => $function::<RZ, true, false>,
            (RM, false, false) => $function::<RM, false, false>,
            (RM, true, false) => $function::<RM, true, false>,
            (RP, false, false) => $function::<RP, false, false>,
            (RP, true, false) => $function::<RP, true, false>,
            _ => return None,
        };
        (function, $count)
    }};
}

/// A double's reciprocal as a device approximates it: 20 bits, the lower half zero, subnormal numbers flushed.
fn coarse(x: f64) -> u64 {
    let flushed = |x: f64| if x.is_subnormal() { 0.0f64.copysign(x) } else { x };
    let y = flushed(1.0 / flushed(x));
    if y.is_nan() { y.to_bits() } else { y.to_bits() & !0xffff_ffff }
}

/// Operations of floating-point types.
pub(super) fn operation(name: &str, middle: &[&str], kind: &str) -> Option<(Alu, usize)> {
    let (mut round, mut ftz, mut sat, mut quiet, mut approx, mut exact) =
        (RN, false, false, false, false, false);
    for word in middle {
        match *word {
            "rn" => exact = true,
            "rz" => (round, exact) = (RZ, true),
            "rm" => (round, exact) = (RM, true),
            "rp" => (round, exact) = (RP, true),
            "ftz" => ftz = true,
            "sat" => sat = true,
            "NaN" => quiet = true,
            "approx" | "full" => approx = true,
            _ => return None,
        }
    }
    if approx && exact || round != RN && !matches!(name, "add" | "sub" | "mul" | "fma" | "mad") {
        return None;
    }
    if kind == "f64" {
        return if round == RN && !sat { double(name, ftz, approx, exact) } else { None };
    }
    Some(match name {
        "add" => variants!(add, round, ftz, sat, 2),
        "sub" => variants!(sub, round, ftz, sat, 2),
        "mul" => variants!(mul, round, ftz, sat, 2),
        "fma" | "mad" if exact => variants!(fma, round, ftz, sat, 3),
        _ if sat => return None,
        "div" if approx || exact => {
            if ftz {
                (|a, b, _| output::<true, false>(input::<true>(a) / input::<true>(b)), 2)
            } else {
                (|a, b, _| output::<false, false>(f(a) / f(b)), 2)
            }
        }
        "min" | "max" => {
            let function: Alu = match (name, quiet, ftz) {
                ("min", false, false) => extreme32::<true, false, false>,
                ("min", false, true) => extreme32::<true, false, true>,
                ("min", true, false) => extreme32::<true, true, false>,
                ("min", true, true) => extreme32::<true, true, true>,
                (_, false, false) => extreme32::<false, false, false>,
                (_, false, true) => extreme32::<false, false, true>,
                (_, true, false) => extreme32::<false, true, false>,
                (_, true, true) => extreme32::<false, true, true>,
            };
            (function, 2)
        }
        "abs" => unary!(ftz, f64::abs),
        "neg" => unary!(ftz, |x: f64| -x),
        "sqrt" if approx || exact => unary!(ftz, f64::sqrt),
        "rcp" if approx || exact => unary!(ftz, |x: f64| 1.0 / x),
        "rsqrt" if approx => unary!(ftz, |x: f64| 1.0 / x.sqrt()),
        "ex2" if approx => unary!(ftz, f64::exp2),
        "lg2" if approx => unary!(ftz, f64::log2),
        "sin" if approx => unary!(ftz, f64::sin),
        "cos" if approx => unary!(ftz, f64::cos),
        "tanh" if approx => unary!(ftz, f64::tanh),
        "copysign" => (|a, b, _| (b & 0x7fff_ffff) | (a & 0x8000_0000), 2),
        _ => return None,
    })
}

fn double(name: &str, ftz: bool, approx: bool, exact: bool) -> Option<(Alu, usize)> {
    Some(match name {
        "rcp" if approx && ftz => (|a, _, _| coarse(d(a)), 1),
        "rsqrt" if approx => (|a, _, _| (1.0 / d(a).sqrt()).to_bits(), 1),
        _ if approx || ftz => return None,
        "add" => (|a, b, _| (d(a) + d(b)).to_bits(), 2),
        "sub" => (|a, b, _| (d(a) - d(b)).to_bits(), 2),
        "mul" => (|a, b, _| (d(a) * d(b)).to_bits(), 2),
        "fma" | "mad" if exact => (|a, b, c| d(a).mul_add(d(b), d(c)).to_bits(), 3),
        "div" if exact => (|a, b, _| (d(a) / d(b)).to_bits(), 2),
        "rcp" if exact => (|a, _, _| (1.0 / d(a)).to_bits(), 1),
        "sqrt" if exact => (|a, _, _| d(a).sqrt().to_bits(), 1),
        "min" => (|a, b, _| extreme::<true, false>(d(a), d(b)).to_bits(), 2),
        "max" => (|a, b, _| extreme::<false, false>(d(a), d(b)).to_bits(), 2),
        "abs" => (|a, _, _| a & !(1 << 63), 1),
        "neg" => (|a, _, _| a ^ 1 << 63, 1),
        "copysign" => (|a, b, _| (b & !(1 << 63)) | (a & 1 << 63), 2),
        _ => return None,
    })
}
