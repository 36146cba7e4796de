//! Integers, bits and predicates.

use super::Alu;

/// An integer type of PTX.
trait Int: Copy + Ord {
    const BITS: u32;
    fn of(bits: u64) -> Self;
    fn bits(self) -> u64;
    /// Every value of every type fits; products of 64 bits wrap at 128, which leaves both halves right.
    fn wide(self) -> i128;
}

macro_rules! int {
    ($($t:ty: $u:ty),*) => {$(
        impl Int for $t {
            const BITS: u32 = <$t>::BITS;
            fn of(bits: u64) -> Self { bits as $t }
            fn bits(self) -> u64 { self as $u as u64 }
            fn wide(self) -> i128 { self as i128 }
        }
    )*};
}
int!(u16: u16, i16: u16, u32: u32, i32: u32, u64: u64, i64: u64);

/// A result cut to a type.
fn cut<T: Int>(wide: i128) -> u64 {
    T::of(wide as u64).bits()
}

fn product<T: Int>(a: u64, b: u64) -> i128 {
    T::of(a).wide().wrapping_mul(T::of(b).wide())
}

/// Division by zero gives all ones, and the most negative number divided by -1 itself, as devices do.
fn div<T: Int>(a: u64, b: u64, _: u64) -> u64 {
    let (a, b) = (T::of(a).wide(), T::of(b).wide());
    cut::<T>(if b == 0 { -1 } else { a / b })
}

fn rem<T: Int>(a: u64, b: u64, _: u64) -> u64 {
    let (a, b) = (T::of(a).wide(), T::of(b).wide());
    cut::<T>(if b == 0 { a } else { a % b })
}

/// Saturates to the type's range; PTX has it for `s32` only.
fn sat32(wide: i128) -> u64 {
    wide.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i32 as u32 as u64
}

fn shl<T: Int>(a: u64, b: u64, _: u64) -> u64 {
    let by = b as u32;
    if by >= T::BITS { 0 } else { cut::<T>(T::of(a).wide() << by) }
}

/// A signed type fills with its sign, since `wide` has extended it.
fn shr<T: Int>(a: u64, b: u64, _: u64) -> u64 {
    cut::<T>(T::of(a).wide() >> (b as u32).min(T::BITS))
}

/// Bit field extraction: position and length are the low 8 bits; a signed field is extended with its top bit, and
/// bits beyond the register are copies of the sign.
fn bfe<T: Int>(a: u64, b: u64, c: u64) -> u64 {
    let (position, length) = ((b & 255) as u32, (c & 255) as u32);
    if length == 0 {
        return 0;
    }
    let value = T::of(a).wide() >> position.min(T::BITS);
    let length = length.min(T::BITS);
    let signed = T::of(u64::MAX).wide() < 0;
    let shift = 128 - length;
    // A signed field that reaches past the top ends in copies of the sign already.
    cut::<T>(if signed { (value << shift) >> shift } else { ((value as u128) << shift >> shift) as i128 })
}

fn bfind<T: Int>(a: u64) -> u64 {
    let value = T::of(a);
    // A negative number is searched for its highest zero.
    let bits = if value.wide() < 0 { T::of(!a).bits() } else { value.bits() };
    if bits == 0 { u64::from(u32::MAX) } else { u64::from(63 - bits.leading_zeros()) }
}

/// The functions of one type.
fn typed<T: Int>(name: &str, middle: &[&str]) -> Option<(Alu, usize)> {
    Some(match (name, middle) {
        ("add", []) => (|a, b, _| cut::<T>(T::of(a).wide() + T::of(b).wide()), 2),
        ("sub", []) => (|a, b, _| cut::<T>(T::of(a).wide() - T::of(b).wide()), 2),
        ("mul", ["lo"]) => (|a, b, _| cut::<T>(product::<T>(a, b)), 2),
        ("mul", ["hi"]) => (|a, b, _| cut::<T>(product::<T>(a, b) >> T::BITS), 2),
        ("mad", ["lo"]) => (|a, b, c| cut::<T>(product::<T>(a, b).wrapping_add(T::of(c).wide())), 3),
        ("mad", ["hi"]) => (|a, b, c| cut::<T>((product::<T>(a, b) >> T::BITS) + T::of(c).wide()), 3),
        ("mul", ["wide"]) if T::BITS == 16 => (|a, b, _| product::<T>(a, b) as u32 as u64, 2),
        ("mul", ["wide"]) if T::BITS == 32 => (|a, b, _| product::<T>(a, b) as u64, 2),
        ("mad", ["wide"]) if T::BITS == 16 => {
            (|a, b, c| (product::<T>(a, b) as u32).wrapping_add(c as u32) as u64, 3)
        }
        ("mad", ["wide"]) if T::BITS == 32 => (|a, b, c| (product::<T>(a, b) as u64).wrapping_add(c), 3),
        ("mul24", ["lo"]) if T::BITS == 32 => (|a, b, _| cut::<T>(product::<T>(a << 8, b << 8) >> 16), 2),
        ("div", []) => (div::<T>, 2),
        ("rem", []) => (rem::<T>, 2),
        ("min", []) => (|a, b, _| T::of(a).min(T::of(b)).bits(), 2),
        ("max", []) => (|a, b, _| T::of(a).max(T::of(b)).bits(), 2),
        ("abs", []) => (|a, _, _| cut::<T>(T::of(a).wide().abs()), 1),
        ("neg", []) => (|a, _, _| cut::<T>(-T::of(a).wide()), 1),
        ("shr", []) => (shr::<T>, 2),
        ("bfe", []) if T::BITS >= 32 => (bfe::<T>, 3),
        ("bfind", []) if T::BITS >= 32 => (|a, _, _| bfind::<T>(a), 1),
        ("bfind", ["shiftamt"]) if T::BITS >= 32 => (
            |a, _, _| match bfind::<T>(a) {
                found if found < 64 => u64::from(T::BITS - 1) - found,
                none => none,
            },
            1,
        ),
        ("sad", []) => (|a, b, c| cut::<T>((T::of(a).wide() - T::of(b).wide()).abs() + T::of(c).wide()), 3),
        _ => return None,
    })
}

/// Operations of integer types and of untyped bits.
pub(super) fn operation(name: &str, middle: &[&str], kind: &str) -> Option<(Alu, usize)> {
    match (name, middle, kind) {
        ("add", ["sat"], "s32") => Some((|a, b, _| sat32(i128::from(a as i32) + i128::from(b as i32)), 2)),
        ("sub", ["sat"], "s32") => Some((|a, b, _| sat32(i128::from(a as i32) - i128::from(b as i32)), 2)),
        (_, _, "u16") => typed::<u16>(name, middle),
        (_, _, "s16") => typed::<i16>(name, middle),
        (_, _, "u32") => typed::<u32>(name, middle),
        (_, _, "s32") => typed::<i32>(name, middle),
        (_, _, "u64") => typed::<u64>(name, middle),
        (_, _, "s64") => typed::<i64>(name, middle),
        // Shifts are written with untyped bits.
        ("shr", [], "b16") => typed::<u16>(name, middle),
        ("shr", [], "b32") => typed::<u32>(name, middle),
        ("shr", [], "b64") => typed::<u64>(name, middle),
        _ => None,
    }
}

fn mask(kind: &str) -> Option<u64> {
    Some(match kind {
        "b8" | "u8" | "s8" => 0xff,
        "b16" | "u16" | "s16" => 0xffff,
        "b32" | "u32" | "s32" | "f32" => 0xffff_ffff,
        "b64" | "u64" | "s64" | "f64" => u64::MAX,
        _ => return None,
    })
}

/// Byte permutation; with bit 3 of a selector the byte becomes copies of its sign.
fn prmt(a: u64, b: u64, c: u64) -> u64 {
    let bytes = (a & 0xffff_ffff) | b << 32;
    (0..4).fold(0, |result, place| {
        let selector = c >> (4 * place);
        let byte = bytes >> (8 * (selector & 7)) & 255;
        let byte = if selector & 8 == 0 {
            byte
        } else if byte & 128 == 0 {
            0
        } else {
            255
        };
        result | byte << (8 * place)
    })
}

/// The upper half of a pair shifted left, or the lower half of one shifted right.
fn funnel(a: u64, b: u64, shift: u64, left: bool) -> u64 {
    let both = (a & 0xffff_ffff) | b << 32;
    if left { (both << shift) >> 32 } else { (both >> shift) & 0xffff_ffff }
}

/// Operations that look at bits only.
pub(super) fn bits(name: &str, middle: &[&str], kind: &str) -> Option<(Alu, usize)> {
    macro_rules! by_width {
        ($count:literal, |$a:ident, $b:ident, $c:ident| $body:expr) => {
            match mask(kind)? {
                0xffff => (
                    |$a, $b, $c| {
                        let _ = ($b, $c);
                        ($body) as u16 as u64
                    },
                    $count,
                ),
                0xffff_ffff => (
                    |$a, $b, $c| {
                        let _ = ($b, $c);
                        ($body) as u32 as u64
                    },
                    $count,
                ),
                u64::MAX => (
                    |$a, $b, $c| {
                        let _ = ($b, $c);
                        $body
                    },
                    $count,
                ),
                _ => return None,
            }
        };
    }
    Some(match (name, middle, kind) {
        ("mov", [], _) => by_width!(1, |a, b, c| a),
        ("selp", [], _) => by_width!(3, |a, b, c| if c & 1 == 1 { a } else { b }),
        ("slct", ["b32" | "u32" | "s32" | "f32"], "s32") => {
            (|a, b, c| if c as i32 >= 0 { a } else { b } & 0xffff_ffff, 3)
        }
        ("and", [], "b16" | "b32" | "b64") => by_width!(2, |a, b, c| a & b),
        ("or", [], "b16" | "b32" | "b64") => by_width!(2, |a, b, c| a | b),
        ("xor", [], "b16" | "b32" | "b64") => by_width!(2, |a, b, c| a ^ b),
        ("not", [], "b16" | "b32" | "b64") => by_width!(1, |a, b, c| !a),
        ("cnot", [], "b16" | "b32") => by_width!(1, |a, b, c| u64::from(a as u32 == 0)),
        ("shl", [], "b16") => (shl::<u16>, 2),
        ("shl", [], "b32") => (shl::<u32>, 2),
        ("shl", [], "b64") => (shl::<u64>, 2),
        ("popc", [], "b32") => (|a, _, _| u64::from((a as u32).count_ones()), 1),
        ("popc", [], "b64") => (|a, _, _| u64::from(a.count_ones()), 1),
        ("clz", [], "b32") => (|a, _, _| u64::from((a as u32).leading_zeros()), 1),
        ("clz", [], "b64") => (|a, _, _| u64::from(a.leading_zeros()), 1),
        ("brev", [], "b32") => (|a, _, _| u64::from((a as u32).reverse_bits()), 1),
        ("brev", [], "b64") => (|a, _, _| a.reverse_bits(), 1),
        ("prmt", [], "b32") => (prmt, 3),
        ("shf", ["l", "wrap"], "b32") => (|a, b, c| funnel(a, b, c & 31, true), 3),
        ("shf", ["r", "wrap"], "b32") => (|a, b, c| funnel(a, b, c & 31, false), 3),
        ("shf", ["l", "clamp"], "b32") => (|a, b, c| funnel(a, b, (c & 0xffff_ffff).min(32), true), 3),
        ("shf", ["r", "clamp"], "b32") => (|a, b, c| funnel(a, b, (c & 0xffff_ffff).min(32), false), 3),
        _ => return None,
    })
}

/// Operations of predicates.
pub(super) fn predicate(name: &str) -> Option<(Alu, usize)> {
    Some(match name {
        "mov" => (|a, _, _| a & 1, 1),
        "and" => (|a, b, _| a & b & 1, 2),
        "or" => (|a, b, _| (a | b) & 1, 2),
        "xor" => (|a, b, _| (a ^ b) & 1, 2),
        "not" => (|a, _, _| !a & 1, 1),
        _ => return None,
    })
}
