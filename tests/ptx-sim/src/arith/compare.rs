//! Comparisons. `ltu` and its kin are true for unordered operands, `lt` and its kin false.

use super::Test;

/// The five orders of one type.
macro_rules! orders {
    ($of:expr, $name:expr) => {
        match $name {
            "eq" => Some((|a, b| $of(a) == $of(b)) as Test),
            "lt" => Some((|a, b| $of(a) < $of(b)) as Test),
            "le" => Some((|a, b| $of(a) <= $of(b)) as Test),
            "gt" => Some((|a, b| $of(a) > $of(b)) as Test),
            "ge" => Some((|a, b| $of(a) >= $of(b)) as Test),
            _ => None,
        }
    };
}

/// Those of a floating-point type, with what they say of NaN.
macro_rules! float_orders {
    ($of:expr, $name:expr) => {
        orders!($of, $name).or_else(|| match $name {
            "ne" => Some((|a, b| $of(a) < $of(b) || $of(a) > $of(b)) as Test),
            "equ" => Some((|a, b| !($of(a) < $of(b) || $of(a) > $of(b))) as Test),
            "neu" => Some((|a, b| $of(a) != $of(b)) as Test),
            "ltu" => Some((|a, b| !($of(a) >= $of(b))) as Test),
            "leu" => Some((|a, b| !($of(a) > $of(b))) as Test),
            "gtu" => Some((|a, b| !($of(a) <= $of(b))) as Test),
            "geu" => Some((|a, b| !($of(a) < $of(b))) as Test),
            "num" => Some((|a, b| !$of(a).is_nan() && !$of(b).is_nan()) as Test),
            "nan" => Some((|a, b| $of(a).is_nan() || $of(b).is_nan()) as Test),
            _ => None,
        })
    };
}

fn f32_of(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

/// With subnormal numbers taken as zero.
fn f32_flushed(bits: u64) -> f32 {
    super::float::flush(f32_of(bits))
}

/// See [`super::comparison`]; `ftz.f32` is a kind of its own.
pub(super) fn comparison(name: &str, kind: &str) -> Option<Test> {
    // The unsigned orders have names of their own too.
    let name = match (name, kind.as_bytes().first()) {
        ("lo", Some(b'u')) => "lt",
        ("ls", Some(b'u')) => "le",
        ("hi", Some(b'u')) => "gt",
        ("hs", Some(b'u')) => "ge",
        _ => name,
    };
    macro_rules! int_orders {
        ($t:ty) => {
            orders!(|x: u64| x as $t, name)
                .or_else(|| if name == "ne" { Some((|a, b| a as $t != b as $t) as Test) } else { None })
        };
    }
    match kind {
        "f32" => float_orders!(f32_of, name),
        "ftz.f32" => float_orders!(f32_flushed, name),
        "f64" => float_orders!(f64::from_bits, name),
        "b16" | "b32" | "b64" if !matches!(name, "eq" | "ne") => None,
        "u16" | "b16" => int_orders!(u16),
        "s16" => int_orders!(i16),
        "u32" | "b32" => int_orders!(u32),
        "s32" => int_orders!(i32),
        "u64" | "b64" => int_orders!(u64),
        "s64" => int_orders!(i64),
        _ => None,
    }
}
