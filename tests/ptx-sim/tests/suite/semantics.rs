//! Instructions against Rust's own arithmetic, over values where types differ most.

use ptx_sim::{Convert, Rounding, bf16_of, comparison, f16_of, operation, widen_f16};

const BITS: [u64; 12] = [
    0,
    1,
    2,
    7,
    0x7f,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xdead_beef_8000_0001,
];

fn f(x: f32) -> u64 {
    u64::from(x.to_bits())
}

/// One operation on all pairs.
fn pairs(name: &str, expected: impl Fn(u64, u64) -> u64) {
    let (function, _) = operation(name).unwrap_or_else(|| panic!("{name} is unknown"));
    for a in BITS {
        for b in BITS {
            assert_eq!(function(a, b, 0), expected(a, b), "{name} of {a:#x} and {b:#x}");
        }
    }
}

#[test]
fn integers_wrap_and_shift_as_ptx_says() {
    pairs("add.s32", |a, b| (a as u32).wrapping_add(b as u32).into());
    pairs("sub.u64", u64::wrapping_sub);
    pairs("mul.lo.s32", |a, b| (a as i32).wrapping_mul(b as i32) as u32 as u64);
    pairs("mul.hi.u64", |a, b| ((u128::from(a) * u128::from(b)) >> 64) as u64);
    pairs("mul.hi.s64", |a, b| ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64);
    pairs("mul.hi.u32", |a, b| ((a & 0xffff_ffff) * (b & 0xffff_ffff)) >> 32);
    pairs("mul.wide.s32", |a, b| (i64::from(a as i32) * i64::from(b as i32)) as u64);
    pairs("mul.wide.u16", |a, b| (a & 0xffff) * (b & 0xffff));
    pairs("min.s32", |a, b| (a as i32).min(b as i32) as u32 as u64);
    pairs("max.u32", |a, b| (a as u32).max(b as u32).into());
    pairs("shl.b32", |a, b| (a as u32).checked_shl(b as u32).unwrap_or(0).into());
    pairs("shr.u32", |a, b| (a as u32).checked_shr(b as u32).unwrap_or(0).into());
    pairs("shr.s32", |a, b| ((a as i32) >> (b as u32).min(31)) as u32 as u64);
    pairs("shr.s64", |a, b| ((a as i64) >> (b as u32).min(63)) as u64);
    pairs("div.s32", |a, b| {
        (a as i32).checked_div(b as i32).unwrap_or(if b as i32 == 0 { -1 } else { i32::MIN }) as u32 as u64
    });
    pairs("rem.u32", |a, b| (a as u32).checked_rem(b as u32).unwrap_or(a as u32).into());
    pairs("popc.b64", |a, _| a.count_ones().into());
    pairs("clz.b32", |a, _| (a as u32).leading_zeros().into());
    pairs("brev.b32", |a, _| (a as u32).reverse_bits().into());
    pairs("not.b32", |a, _| (!a as u32).into());
    pairs("abs.s32", |a, _| (a as i32).wrapping_abs() as u32 as u64);
    pairs(
        "bfind.u32",
        |a, _| if a as u32 == 0 { 0xffff_ffff } else { 31 - u64::from((a as u32).leading_zeros()) },
    );
    // A shift by the third operand, zero here, leaves the upper word.
    pairs("shf.l.wrap.b32", |_, b| b & 0xffff_ffff);
}

#[test]
fn three_operands_and_fields() {
    let run = |name: &str, a: u64, b: u64, c: u64| operation(name).unwrap().0(a, b, c);
    assert_eq!(run("mad.lo.s32", 0xffff_ffff, 3, 5), 2);
    assert_eq!(run("mad.wide.u32", 0xffff_ffff, 0xffff_ffff, 1), 0xffff_fffe_0000_0002);
    assert_eq!(run("bfe.u32", 0xabcd_1234, 8, 8), 0x12);
    assert_eq!(run("bfe.s32", 0xabcd_1284, 0, 8), 0xffff_ff84);
    assert_eq!(run("bfe.u32", 0xffff_ffff, 28, 16), 15);
    assert_eq!(run("prmt.b32", 0x3322_1100, 0x7766_5544, 0x7140), 0x7711_4400);
    assert_eq!(run("prmt.b32", 0x80, 0, 0x0008), 0x8080_80ff);
    assert_eq!(run("shf.l.wrap.b32", 0x8000_0000, 1, 1), 3);
    assert_eq!(run("shf.r.clamp.b32", 1, 0x8000_0001, 40), 0x8000_0001);
    assert_eq!(run("selp.b32", 1, 2, 0), 2);
    assert_eq!(run("slct.u32.s32", 1, 2, 0x8000_0000), 2);
}

#[test]
fn rounding_modes_bracket_the_exact_value() {
    let values = [1.0f32, -1.0, 1e-8, -3.3e-9, 16_777_216.0, 0.1, f32::MAX, f32::MIN_POSITIVE, 0.0];
    for a in values {
        for b in values {
            for (name, exact) in [("add", f64::from(a) + f64::from(b)), ("mul", f64::from(a) * f64::from(b))]
            {
                let run = |mode: &str| {
                    f32::from_bits(operation(&format!("{name}.{mode}.f32")).unwrap().0(f(a), f(b), 0) as u32)
                };
                let near = if name == "add" { a + b } else { a * b };
                assert_eq!(run("rn").to_bits(), near.to_bits());
                let (down, up, zero) = (run("rm"), run("rp"), run("rz"));
                assert!(f64::from(down) <= exact && exact <= f64::from(up), "{name} {a} {b}: {down} {up}");
                assert!(down == up || down.next_up() == up, "{name} {a} {b}: {down} {up}");
                assert_eq!(zero, if exact < 0.0 { up } else { down });
            }
        }
    }
    // Below half an ulp of a double the sum's error decides.
    let run = |name: &str| operation(name).unwrap().0(f(1.0), f(-1e-30), 0) as u32;
    assert_eq!((run("add.rz.f32"), run("add.rn.f32")), (0x3f7f_ffff, 0x3f80_0000));
    let fma = operation("fma.rm.f32").unwrap().0;
    assert_eq!(fma(f(1.0), f(1.0), f(-1e-30)) as u32, 0x3f7f_ffff);
}

#[test]
fn subnormals_flush_and_nan_has_rules() {
    let run = |name: &str, a: f32, b: f32| operation(name).unwrap().0(f(a), f(b), 0) as u32;
    let tiny = f32::from_bits(3);
    assert_eq!(run("add.ftz.f32", -tiny, 0.0), 0);
    assert_eq!(run("mul.ftz.f32", -tiny, 1.0), 0x8000_0000);
    assert_eq!(run("mul.f32", tiny, 1.0), 3);
    assert_eq!(run("add.f32", f32::NAN, 1.0), 0x7fff_ffff);
    assert_eq!(run("add.sat.f32", 0.7, 0.7), 1f32.to_bits());
    assert_eq!(run("add.sat.f32", f32::NAN, 0.7), 0);
    assert_eq!(run("min.f32", f32::NAN, 2.0), 2f32.to_bits());
    assert_eq!(run("max.NaN.f32", f32::NAN, 2.0), 0x7fff_ffff);
    assert_eq!(run("min.f32", 0.0, -0.0), 0x8000_0000);
    assert_eq!(run("max.f32", -0.0, 0.0), 0);
    assert_eq!(run("ex2.approx.ftz.f32", -130.0, 0.0), 0);
    assert_eq!(run("lg2.approx.f32", 8.0, 0.0), 3f32.to_bits());
    assert_eq!(run("rsqrt.approx.f32", 0.25, 0.0), 2f32.to_bits());
    assert_eq!(run("sqrt.rn.f32", 2.0, 0.0), 2f32.sqrt().to_bits());
    assert_eq!(run("div.rn.f32", 1.0, 3.0), (1f32 / 3.0).to_bits());
}

#[test]
fn comparisons_know_unordered_operands() {
    for (name, with_nan, equal) in [
        ("lt", false, false),
        ("leu", true, true),
        ("eq", false, true),
        ("neu", true, false),
        ("num", false, true),
        ("ne", false, false),
        ("equ", true, true),
    ] {
        let test = comparison(name, "f32").unwrap();
        assert_eq!((test(f(f32::NAN), f(1.0)), test(f(1.0), f(1.0))), (with_nan, equal), "{name}");
    }
    assert!(comparison("lt", "s32").unwrap()(0xffff_ffff, 0));
    assert!(!comparison("lt", "u32").unwrap()(0xffff_ffff, 0));
    assert!(comparison("hi", "u64").unwrap()(u64::MAX, 0));
    assert!(comparison("lt", "b32").is_none());
}

#[test]
fn conversions_saturate_and_round() {
    for (name, bits, expected) in [
        ("cvt.rzi.s32.f32", f(-2.7), 0xffff_fffe),
        ("cvt.rzi.s32.f32", f(3e9), 0x7fff_ffff),
        ("cvt.rzi.u32.f32", f(-1.0), 0),
        ("cvt.rzi.s32.f32", f(f32::NAN), 0),
        ("cvt.rni.s32.f32", f(2.5), 2),
        ("cvt.rpi.f32.f32", f(2.1), f(3.0)),
        ("cvt.rmi.f32.f32", f(-2.1), f(-3.0)),
        ("cvt.rn.f32.s32", 0xffff_ffff, f(-1.0)),
        ("cvt.rn.f32.u64", u64::MAX, f(1.844_674_4e19)),
        ("cvt.rz.f32.u32", 0xffff_ffff, f(4_294_967_040.0)),
        ("cvt.f64.f32", f(0.1), f64::from(0.1f32).to_bits()),
        ("cvt.rn.f32.f64", 0.1f64.to_bits(), f(0.1)),
        ("cvt.s64.s32", 0xffff_ffff, u64::MAX),
        ("cvt.u64.u32", u64::MAX, 0xffff_ffff),
        ("cvt.u32.u16", 0x1_ffff, 0xffff),
        ("cvt.s32.s8", 0x180, 0xffff_ff80),
        ("cvt.sat.u8.s32", 300, 255),
        ("cvt.sat.f32.f32", f(1.5), f(1.0)),
        ("cvt.rna.tf32.f32", 0x3f80_1000, 0x3f80_2000),
        ("cvt.rn.bf16.f32", 0x3f80_8000, 0x3f80),
        ("cvt.rn.f16.f32", f(1.0), 0x3c00),
        ("cvt.f32.f16", 0xc000, f(-2.0)),
    ] {
        let rule = Convert::new(name).unwrap_or_else(|| panic!("{name} is unknown"));
        assert_eq!(rule.apply(bits), expected, "{name} of {bits:#x}");
    }
    assert!(Convert::new("cvt.s32.f32").is_none(), "a rounding is required");
}

#[test]
fn short_formats_round_trip_and_round_to_the_nearest() {
    for bits in 0..=u16::MAX {
        let wide = widen_f16(bits);
        if !wide.is_nan() {
            assert_eq!(f16_of(wide, Rounding::Nearest), bits);
        }
        let wide = f32::from_bits(u32::from(bits) << 16);
        if !wide.is_nan() {
            assert_eq!(bf16_of(wide, Rounding::Nearest), bits);
        }
    }
    for (x, expected) in [
        (65_519.0, 0x7bff),
        (65_520.0, 0x7c00),
        (1e-8, 0),
        (5.97e-8, 1),
        (1.000_488_3, 0x3c00),
        (1.001_464_9, 0x3c02),
    ] {
        assert_eq!(f16_of(x, Rounding::Nearest), expected, "{x}");
    }
    assert_eq!(f16_of(1e9, Rounding::Zero), 0x7bff);
}
