//! Arithmetic with the semantics of PTX, as functions of bits. A register is 64 bits; a function reads as many low
//! bits as its type has and returns zeros above, so nothing depends on what a wider register holds.

mod compare;
mod convert;
mod float;
mod half;
mod int;

pub use self::convert::{Convert, Rounding};
pub use self::half::{bf16_of, f16_of, tf32_of, widen_bf16, widen_f16};

/// An operation of up to three operands.
pub type Alu = fn(u64, u64, u64) -> u64;
/// A comparison.
pub type Test = fn(u64, u64) -> bool;

/// The function of an instruction and how many operands it has: `operation("add.rn.f32")`. `None` when it is unknown.
///
/// ```
/// let (add, operands) = ptx_sim::operation("add.s32").unwrap();
/// assert_eq!((add(u64::from(u32::MAX), 2, 0), operands), (1, 2));
/// assert!(ptx_sim::operation("add.s31").is_none());
/// ```
#[must_use]
pub fn operation(name: &str) -> Option<(Alu, usize)> {
    let parts: Vec<&str> = name.split('.').collect();
    let kind = *parts.last()?;
    let middle = &parts[1..parts.len().max(2) - 1];
    match kind {
        "f32" | "f64" => {
            float::operation(parts[0], middle, kind).or_else(|| int::bits(parts[0], middle, kind))
        }
        "f16x2" | "bf16x2" => half::operation(parts[0], middle, kind),
        "pred" => int::predicate(parts[0]).filter(|_| middle.is_empty()),
        _ => int::operation(parts[0], middle, kind).or_else(|| int::bits(parts[0], middle, kind)),
    }
    // `cvt` of two singles to a packed pair ends in the type of its sources.
    .or_else(|| {
        if parts[0] == "cvt" { half::operation(parts[0], &parts[1..parts.len() - 1], kind) } else { None }
    })
}

/// The comparison of `setp.<name>.<kind>`.
///
/// ```
/// let below = ptx_sim::comparison("ltu", "f32").unwrap();
/// assert!(below(f32::NAN.to_bits().into(), 0));
/// ```
#[must_use]
pub fn comparison(name: &str, kind: &str) -> Option<Test> {
    compare::comparison(name, kind)
}

/// The function `new = f(old, b, c)` of an atomic or a warp reduction.
pub(crate) fn atomic(name: &str, kind: &str) -> Option<Alu> {
    match (name, kind) {
        ("add", "f32" | "f64") => operation(&format!("add.rn.{kind}")).map(|(f, _)| f),
        ("add" | "min" | "max", _) => operation(&format!("{name}.{kind}")).map(|(f, _)| f),
        ("and" | "or" | "xor", "b32" | "b64") => operation(&format!("{name}.{kind}")).map(|(f, _)| f),
        ("exch", "b32" | "b64") => Some(|_, b, _| b),
        ("cas", "b32") => Some(|old, b, c| if old as u32 == b as u32 { c } else { old }),
        ("cas", "b64") => Some(|old, b, c| if old == b { c } else { old }),
        ("inc", "u32") => Some(|old, b, _| if old as u32 >= b as u32 { 0 } else { old + 1 }),
        ("dec", "u32") => {
            Some(
                |old, b, _| {
                    if old as u32 == 0 || old as u32 > b as u32 { b } else { u64::from(old as u32 - 1) }
                },
            )
        }
        _ => None,
    }
}
