//! `cvt`: between integers, singles, doubles and the short formats.

use super::half::{bf16_of, f16_of, tf32_of, widen_bf16, widen_f16};

/// How a value between two representable ones is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, ties to even.
    Nearest,
    /// To the nearest, ties away from zero.
    NearestAway,
    /// Towards zero.
    Zero,
    /// Towards minus infinity.
    Down,
    /// Towards plus infinity.
    Up,
}

/// A type of `cvt`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Signed(u32),
    Unsigned(u32),
    F16,
    Bf16,
    F32,
    F64,
    Tf32,
}

/// A conversion.
#[derive(Clone, Copy, Debug)]
pub struct Convert {
    to: Kind,
    from: Kind,
    rounding: Rounding,
    /// The rounding is to an integral value.
    integral: bool,
    flush: bool,
    saturate: bool,
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "s8" => Kind::Signed(8),
        "s16" => Kind::Signed(16),
        "s32" => Kind::Signed(32),
        "s64" => Kind::Signed(64),
        "u8" | "b8" => Kind::Unsigned(8),
        "u16" | "b16" => Kind::Unsigned(16),
        "u32" | "b32" => Kind::Unsigned(32),
        "u64" | "b64" => Kind::Unsigned(64),
        "f16" => Kind::F16,
        "bf16" => Kind::Bf16,
        "f32" => Kind::F32,
        "f64" => Kind::F64,
        "tf32" => Kind::Tf32,
        _ => return None,
    })
}

/// `x` rounded to an integral value.
fn integral(x: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Nearest => x.round_ties_even(),
        Rounding::NearestAway => x.round(),
        Rounding::Zero => x.trunc(),
        Rounding::Down => x.floor(),
        Rounding::Up => x.ceil(),
    }
}

impl Convert {
    /// Reads `cvt.<modifiers>.<to>.<from>`.
    ///
    /// ```
    /// let rule = ptx_sim::Convert::new("cvt.rzi.s32.f32").unwrap();
    /// assert_eq!(rule.apply(u64::from((-2.7f32).to_bits())) as u32 as i32, -2);
    /// ```
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('.').collect();
        let [first, middle @ .., to, from] = parts.as_slice() else { return None };
        if *first != "cvt" {
            return None;
        }
        let (to, from) = (kind(to)?, kind(from)?);
        let mut rule =
            Self { to, from, rounding: Rounding::Nearest, integral: false, flush: false, saturate: false };
        let mut rounded = false;
        for word in middle {
            match *word {
                "ftz" => rule.flush = true,
                "sat" => rule.saturate = true,
                _ => {
                    rule.integral = word.len() == 3 && word.ends_with('i');
                    rule.rounding = match *word {
                        "rn" | "rni" => Rounding::Nearest,
                        "rna" => Rounding::NearestAway,
                        "rz" | "rzi" => Rounding::Zero,
                        "rm" | "rmi" => Rounding::Down,
                        "rp" | "rpi" => Rounding::Up,
                        _ => return None,
                    };
                    rounded = true;
                }
            }
        }
        let float = |kind| !matches!(kind, Kind::Signed(_) | Kind::Unsigned(_));
        let modelled = match (from, to) {
            (_, Kind::Tf32) => from == Kind::F32 && rule.rounding == Rounding::NearestAway,
            (Kind::Tf32, _) => false,
            // Only these two roundings are modelled where the result has fewer bits.
            (_, Kind::F16 | Kind::Bf16) if from == Kind::F32 => {
                rounded && matches!(rule.rounding, Rounding::Nearest | Rounding::Zero)
            }
            (Kind::F64, Kind::F32) => rounded && rule.rounding != Rounding::NearestAway,
            (_, Kind::F16 | Kind::Bf16) => false,
            (Kind::F16 | Kind::Bf16, _) => to == Kind::F32,
            _ if !float(from) && float(to) => {
                rounded && !rule.integral && rule.rounding != Rounding::NearestAway
            }
            _ if float(from) && !float(to) => rule.integral,
            _ => true,
        };
        modelled.then_some(rule)
    }

    /// The converted bits. A signed result is extended to 32 bits, so that a wider register holds its value.
    #[must_use]
    pub fn apply(&self, bits: u64) -> u64 {
        let value = match self.from {
            Kind::Signed(width) => {
                return self.integer(i128::from((bits << (64 - width)) as i64 >> (64 - width)));
            }
            Kind::Unsigned(width) => return self.integer(i128::from(bits & u64::MAX >> (64 - width))),
            Kind::F16 => f64::from(widen_f16(bits as u16)),
            Kind::Bf16 => f64::from(widen_bf16(bits as u16)),
            Kind::F64 => f64::from_bits(bits),
            Kind::F32 | Kind::Tf32 => {
                let x = f32::from_bits(bits as u32);
                f64::from(if self.flush { super::float::flush(x) } else { x })
            }
        };
        let value = if self.integral { integral(value, self.rounding) } else { value };
        let value = if self.saturate && !matches!(self.to, Kind::Signed(_) | Kind::Unsigned(_)) {
            if value > 0.0 { value.min(1.0) } else { 0.0 }
        } else {
            value
        };
        match self.to {
            Kind::Signed(_) | Kind::Unsigned(_) if value.is_nan() => self.nan(),
            // `as` saturates, and 128 bits hold every limit.
            Kind::Signed(_) | Kind::Unsigned(_) => self.clamped(value as i128),
            Kind::F64 => value.to_bits(),
            Kind::F32 => self.single(value, 0),
            Kind::F16 => u64::from(f16_of(value as f32, self.rounding)),
            Kind::Bf16 => u64::from(bf16_of(value as f32, self.rounding)),
            Kind::Tf32 => u64::from(tf32_of(value as f32).to_bits()),
        }
    }

    /// NaN as an integer: the top bit alone where a type of 64 bits is involved, zero otherwise.
    fn nan(&self) -> u64 {
        match self.to {
            Kind::Signed(width) | Kind::Unsigned(width) if width == 64 || self.from == Kind::F64 => {
                1 << (width - 1)
            }
            _ => 0,
        }
    }

    fn clamped(&self, value: i128) -> u64 {
        match self.to {
            Kind::Signed(width) => {
                let value = value.clamp(-1 << (width - 1), (1 << (width - 1)) - 1) as i64;
                if width == 64 { value as u64 } else { u64::from(value as i32 as u32) }
            }
            Kind::Unsigned(width) => value.clamp(0, (1 << width) - 1) as u64,
            _ => 0,
        }
    }

    fn integer(&self, value: i128) -> u64 {
        match self.to {
            Kind::Signed(_) | Kind::Unsigned(_) if self.saturate => self.clamped(value),
            Kind::Signed(64) | Kind::Unsigned(64) => value as u64,
            // Without saturation the low bits are taken.
            Kind::Signed(width) => u64::from(((value as i64) << (64 - width) >> (64 - width)) as i32 as u32),
            Kind::Unsigned(width) => value as u64 & u64::MAX >> (64 - width),
            Kind::F64 => {
                let near = value as f64;
                self.stepped(near, value - near as i128).to_bits()
            }
            // A 64-bit integer may not fit a double, so its rest decides ties.
            _ if self.rounding == Rounding::Nearest => u64::from((value as f32).to_bits()),
            _ => {
                let near = value as f64;
                self.single(near, value - near as i128)
            }
        }
    }

    /// A double moved one step where the rounding asks for it.
    fn stepped(&self, near: f64, rest: i128) -> f64 {
        match self.rounding {
            Rounding::Zero if rest < 0 && near > 0.0 => near.next_down(),
            Rounding::Zero if rest > 0 && near < 0.0 => near.next_up(),
            Rounding::Down if rest < 0 => near.next_down(),
            Rounding::Up if rest > 0 => near.next_up(),
            _ => near,
        }
    }

    /// `value + rest` as a single.
    fn single(&self, value: f64, rest: i128) -> u64 {
        let near = value as f32;
        let difference = value - f64::from(near);
        let (below, above) = (
            difference < 0.0 || difference == 0.0 && rest < 0,
            difference > 0.0 || difference == 0.0 && rest > 0,
        );
        let result = match self.rounding {
            _ if self.integral => near,
            Rounding::Zero if near > 0.0 && below => near.next_down(),
            Rounding::Zero if near < 0.0 && above => near.next_up(),
            Rounding::Down if below => near.next_down(),
            Rounding::Up if above => near.next_up(),
            _ => near,
        };
        let result = if self.flush { super::float::flush(result) } else { result };
        u64::from(if result.is_nan() { 0x7fff_ffff } else { result.to_bits() })
    }
}
