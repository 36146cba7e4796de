//! What the shipped kernels ask of roundings and conversions, in tables and against exact integer arithmetic.

use ptx_sim::{Convert, operation};

use crate::noise;

fn f(x: f32) -> u64 {
    u64::from(x.to_bits())
}

#[test]
fn the_highest_bit_is_found_and_how_far_it_is_from_the_top() {
    for (kind, bits, place, shift) in [
        ("u32", 0, u32::MAX, u32::MAX),
        ("u32", 1, 0, 31),
        ("u32", 0x8000_0000, 31, 0),
        // What lies above in a wider register is not looked at.
        ("u32", 0xffff_0000_0000_0100, 8, 23),
        ("s32", 0x7fff_ffff, 30, 1),
        ("s32", 0xffff_ffff, u32::MAX, u32::MAX),
        ("s32", 0xffff_fffe, 0, 31),
        ("s32", 0x8000_0000, 30, 1),
        ("u64", 1 << 40, 40, 23),
        ("u64", u64::MAX, 63, 0),
        ("s64", u64::MAX, u32::MAX, u32::MAX),
        ("s64", 1 << 63, 62, 1),
    ] {
        let run = |name: &str| operation(&format!("{name}.{kind}")).unwrap().0(bits, 0, 0);
        assert_eq!(run("bfind"), u64::from(place), "bfind.{kind} of {bits:#x}");
        assert_eq!(run("bfind.shiftamt"), u64::from(shift), "bfind.shiftamt.{kind} of {bits:#x}");
    }
    assert!(operation("bfind.shiftamt.b32").is_none());
}

#[test]
fn saturation_keeps_to_zero_and_one() {
    for (x, kept, flushed) in [
        (0.0f32, 0.0f32, 0.0f32),
        (-0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        (0.3, 0.3, 0.3),
        (1f32.next_down(), 1f32.next_down(), 1f32.next_down()),
        (1f32.next_up(), 1.0, 1.0),
        (-1e-30, 0.0, 0.0),
        (f32::from_bits(3), f32::from_bits(3), 0.0),
        (f32::INFINITY, 1.0, 1.0),
        (f32::NEG_INFINITY, 0.0, 0.0),
        (f32::NAN, 0.0, 0.0),
        (-f32::NAN, 0.0, 0.0),
    ] {
        for (name, expected) in [("cvt.sat.f32.f32", kept), ("cvt.ftz.sat.f32.f32", flushed)] {
            assert_eq!(Convert::new(name).unwrap().apply(f(x)), f(expected), "{name} of {x}");
        }
    }
    let rule = Convert::new("cvt.sat.f64.f64").unwrap();
    for (x, expected) in [(1.5, 1.0), (f64::NAN, 0.0), (-0.0, 0.0), (0.25, 0.25f64)] {
        assert_eq!(rule.apply(x.to_bits()), expected.to_bits(), "cvt.sat.f64.f64 of {x}");
    }
}

/// A number as a multiple of 2^-100. Exact if its magnitude is from 2^-77 to 2^26, or it is zero.
fn exact(x: f32) -> i128 {
    let shift = (x.to_bits() >> 23 & 255) as i32 - 150 + 100;
    let digits = i128::from(x.to_bits() & 0x7f_ffff | 1 << 23);
    let size = if x == 0.0 { 0 } else { digits << shift };
    if x < 0.0 { -size } else { size }
}

/// `a b` likewise, for digits that lie at 2^-50 and above in each.
fn exact_product(a: f32, b: f32) -> i128 {
    (exact(a) >> 50) * (exact(b) >> 50)
}

#[test]
fn directed_fused_products_bracket_the_exact_value() {
    let run = |mode: &str, a: f32, b: f32, c: f32| {
        f32::from_bits(operation(&format!("fma.{mode}.f32")).unwrap().0(f(a), f(b), f(c)) as u32)
    };
    let (a, b, c) = (noise(3000, 1), noise(3000, 2), noise(3000, 3));
    for at in 0..3000 {
        // Terms of one size, terms far apart, and differences that are all but nothing.
        let (a, b) = (a[at] * 2f32.powi(at as i32 % 9), b[at]);
        let c = match at % 3 {
            0 => c[at],
            1 => c[at] * 2f32.powi(-(at as i32 % 50)),
            _ => -(a * b),
        };
        let value = exact_product(a, b) + exact(c);
        let (down, up) = (run("rm", a, b, c), run("rp", a, b, c));
        assert!(exact(down) <= value && value <= exact(up), "{a} * {b} + {c}: {down} {up}");
        assert!(down == up || down.next_up() == up, "{a} * {b} + {c}: {down} {up}");
        assert_eq!(down == up, exact(down) == value, "{a} * {b} + {c}: {down} {up}");
        assert_eq!(run("rz", a, b, c), if value < 0 { up } else { down });
        assert_eq!(run("rn", a, b, c), a.mul_add(b, c));
    }
    let tiny = f32::from_bits(1);
    for (mode, a, b, c, expected) in [
        // An exact zero of terms with unlike signs is negative when rounded down.
        ("rm", 1.0, 1.0, -1.0, -0.0),
        ("rp", 1.0, 1.0, -1.0, 0.0),
        ("rz", 1.0, 1.0, -1.0, 0.0),
        ("rm", 0.0, 1.0, 0.0, 0.0),
        ("rm", 0.0, -1.0, 0.0, -0.0),
        ("rp", 0.0, -1.0, -0.0, -0.0),
        ("rm", f32::MAX, 2.0, 0.0, f32::MAX),
        ("rp", f32::MAX, 2.0, 0.0, f32::INFINITY),
        ("rm", f32::MAX, -2.0, 0.0, f32::NEG_INFINITY),
        ("rz", f32::MAX, -2.0, 0.0, f32::MIN),
        ("rm", f32::INFINITY, 1.0, 1.0, f32::INFINITY),
        // Products far below the smallest number still have a sign.
        ("rm", -tiny, tiny, 0.0, -tiny),
        ("rp", tiny, tiny, 0.0, tiny),
        ("rm", tiny, tiny, 0.0, 0.0),
        ("rm", 1.0, 1.0, -tiny, 1f32.next_down()),
        // 12582912 and more is where the last digit is one: so an exponential takes an integer part.
        ("rm", 0.25, 252.0, 12_582_912.0, 12_582_975.0),
        ("rm", 0.251, 252.0, 12_582_912.0, 12_582_975.0),
        ("rm", 0.249, 252.0, 12_582_912.0, 12_582_974.0),
    ] {
        assert_eq!(run(mode, a, b, c).to_bits(), f32::to_bits(expected), "fma.{mode} {a} {b} {c}");
    }
    assert!(run("rm", f32::INFINITY, 1.0, f32::NEG_INFINITY).is_nan());
    let flushed = operation("fma.rm.ftz.f32").unwrap().0;
    assert_eq!(flushed(f(tiny), f(1.0), f(0.0)), 0);
}

#[test]
fn doubles_become_integers_in_every_rounding() {
    let halves = [-2.5f64, -2.4, -0.5, -0.1, 0.0, 0.5, 1.5, 2.4, 2.5, 2.6];
    for (mode, expected) in [
        ("rni", [-2, -2, 0, 0, 0, 0, 2, 2, 2, 3]),
        ("rzi", [-2, -2, 0, 0, 0, 0, 1, 2, 2, 2]),
        ("rmi", [-3, -3, -1, -1, 0, 0, 1, 2, 2, 2]),
        ("rpi", [-2, -2, 0, 0, 0, 1, 2, 3, 3, 3]),
    ] {
        for (x, expected) in halves.into_iter().zip::<[i32; 10]>(expected) {
            for (kind, expected) in [
                ("s64", i64::from(expected) as u64),
                ("s32", u64::from(expected as u32)),
                ("u64", expected.max(0) as u64),
                ("u32", expected.max(0) as u64),
            ] {
                let name = format!("cvt.{mode}.{kind}.f64");
                assert_eq!(Convert::new(&name).unwrap().apply(x.to_bits()), expected, "{name} of {x}");
            }
        }
    }
    for (kind, least, greatest, nan) in [
        ("u8", 0, 255, 0x80),
        ("u16", 0, 0xffff, 0x8000),
        ("u32", 0, 0xffff_ffff, 0x8000_0000),
        ("s32", 0x8000_0000, 0x7fff_ffff, 0x8000_0000),
        ("u64", 0, u64::MAX, 1 << 63),
        ("s64", 1 << 63, (1 << 63) - 1, 1 << 63),
    ] {
        let rule = Convert::new(&format!("cvt.rzi.{kind}.f64")).unwrap();
        for (x, expected) in [
            (-1e30, least),
            (1e30, greatest),
            (f64::NEG_INFINITY, least),
            (f64::INFINITY, greatest),
            (f64::NAN, nan),
        ] {
            assert_eq!(rule.apply(x.to_bits()), expected, "cvt.rzi.{kind}.f64 of {x}");
        }
    }
    // Digits that a single would have lost.
    let rule = |name: &str, x: f64| Convert::new(name).unwrap().apply(x.to_bits());
    assert_eq!(rule("cvt.rzi.u32.f64", 4_294_967_294.999), 4_294_967_294);
    assert_eq!(rule("cvt.rzi.s64.f64", 9_007_199_254_740_993.0), 9_007_199_254_740_992);
    assert!(Convert::new("cvt.rn.s32.f64").is_none(), "a rounding to an integer is required");
}
