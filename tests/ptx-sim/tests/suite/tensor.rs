//! What the shipped products ask of tensor cores: the layouts of fragments as the manual writes them down, the rounding
//! to bf16 by its definition, and numbers that are not ordinary.

use ptx_sim::{Convert, operation};

use crate::{Bench, noise};

/// One mma of a warp: each lane's registers lie together in memory.
fn module(shape_and_types: &str) -> String {
    format!(
        ".version 8.0
.target sm_80
.address_size 64
.visible .entry one(.param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d)
{{
.reg .b32 %r<8>;
.reg .f32 %f<5>;
.reg .b64 %p<10>;
ld.param.u64 %p0, [a];
ld.param.u64 %p1, [b];
ld.param.u64 %p2, [c];
ld.param.u64 %p3, [d];
mov.u32 %r7, %tid.x;
mul.wide.u32 %p4, %r7, 16;
mul.wide.u32 %p5, %r7, 8;
add.s64 %p6, %p0, %p4;
add.s64 %p7, %p1, %p5;
add.s64 %p8, %p2, %p4;
add.s64 %p9, %p3, %p4;
ld.global.v4.u32 {{%r1, %r2, %r3, %r4}}, [%p6];
ld.global.v2.u32 {{%r5, %r6}}, [%p7];
ld.global.v4.f32 {{%f1, %f2, %f3, %f4}}, [%p8];
mma.sync.aligned.{shape_and_types} {{%f1, %f2, %f3, %f4}}, {{%r1, %r2, %r3, %r4}}, {{%r5, %r6}}, {{%f1, %f2, %f3, %f4}};
st.global.v4.f32 [%p9], {{%f1, %f2, %f3, %f4}};
ret;
}}
"
    )
}

/// Row and column of element `i` of a lane, by the formulas of the PTX manual: operands of 16 bits, two to a register,
/// the first in the lower half.
fn short_a(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let row = if i < 2 || (4..6).contains(&i) { group } else { group + 8 };
    let column = thread * 2 + (i & 1);
    (row, if i < 4 { column } else { column + 8 })
}

fn short_b(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let row = thread * 2 + (i & 1);
    (if i < 2 { row } else { row + 8 }, group)
}

/// Operands of tf32, one to a register.
fn tf32_a(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let row = if i == 0 || i == 2 { group } else { group + 8 };
    (row, if i < 2 { thread } else { thread + 4 })
}

fn tf32_b(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    (if i == 0 { thread } else { thread + 4 }, group)
}

/// Sums, of every type.
fn sums(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    (if i < 2 { group } else { group + 8 }, thread * 2 + (i & 1))
}

type Layout = fn(usize, usize) -> (usize, usize);

/// Registers of all lanes, `count` to a lane, filled from a matrix with rows of `columns` numbers.
fn registers(
    matrix: &[f32],
    columns: usize,
    count: usize,
    packed: usize,
    layout: Layout,
    bits: fn(f32) -> u32,
) -> Vec<u32> {
    let element = |lane: usize, i: usize| {
        let (row, column) = layout(lane, i);
        bits(matrix[row * columns + column])
    };
    (0..32 * count)
        .map(|at| {
            (0..packed)
                .fold(0, |word, half| word | element(at / count, at % count * packed + half) << (16 * half))
        })
        .collect()
}

fn multiply(shape_and_types: &str, a: &[u32], b: &[u32], c: &[u32]) -> Vec<f32> {
    let mut bench = Bench::new(&module(shape_and_types));
    let [a, b, c] = [a, b, c].map(|words| bench.put(words, u32::to_le_bytes));
    let d = bench.room(512);
    bench.run("one", [1; 3], [32, 1, 1], &[&a, &b, &c, &d]).unwrap();
    bench.floats_of(&d, 128)
}

/// The upper half: exact for numbers of a few bits.
fn bf16(v: f32) -> u32 {
    v.to_bits() >> 16
}

#[test]
fn fragments_lie_as_the_manual_says() {
    // Whole numbers from -8 to 8: exact in every type, and so are the sums.
    let whole = |count, seed| noise(count, seed).iter().map(|v| (8.0 * v).round()).collect::<Vec<f32>>();
    let f16 = |v| u32::from(ptx_sim::f16_of(v, ptx_sim::Rounding::Nearest));
    for (name, k, packed, layout_a, layout_b, bits) in [
        (
            "m16n8k8.row.col.f32.tf32.tf32.f32",
            8,
            1,
            tf32_a as Layout,
            tf32_b as Layout,
            f32::to_bits as fn(f32) -> u32,
        ),
        ("m16n8k16.row.col.f32.bf16.bf16.f32", 16, 2, short_a, short_b, bf16),
        ("m16n8k16.row.col.f32.f16.f16.f32", 16, 2, short_a, short_b, f16),
    ] {
        let (a, b, c) = (whole(16 * k, 1), whole(k * 8, 2), whole(16 * 8, 3));
        let d = multiply(
            name,
            &registers(&a, k, 4, packed, layout_a, bits),
            &registers(&b, 8, 2, packed, layout_b, bits),
            &registers(&c, 8, 4, 1, sums, f32::to_bits),
        );
        for (at, d) in d.iter().enumerate() {
            let (row, column) = sums(at / 4, at % 4);
            let products = (0..k).map(|i| a[row * k + i] * b[i * 8 + column]);
            assert_eq!(*d, c[row * 8 + column] + products.sum::<f32>(), "{name}: row {row}, column {column}");
        }
    }
}

#[test]
fn bf16_sums_hold_infinities_nan_and_products_of_subnormal_numbers() {
    let tiny = f32::from_bits(1 << 16);
    for (x, y, c, expected) in [
        (f32::INFINITY, 2.0, 1.0, f32::INFINITY),
        (f32::INFINITY, -2.0, 1.0, f32::NEG_INFINITY),
        (f32::INFINITY, 1.0, f32::NEG_INFINITY, f32::NAN),
        (f32::INFINITY, 0.0, 1.0, f32::NAN),
        (f32::NAN, 1.0, 1.0, f32::NAN),
        (1.0, 1.0, f32::NAN, f32::NAN),
        // 2^-133 is the least bf16 there is.
        (tiny, 1024.0, 0.0, 2f32.powi(-123)),
        (tiny, 1.0, 0.0, tiny),
        // Largest of all, squared.
        (f32::from_bits(0x7f7f_0000), f32::from_bits(0x7f7f_0000), 0.0, f32::INFINITY),
        (1.0, 1.0, 2f32.powi(-24), 1.0),
        (1.0, 1.0, 2f32.powi(-24) + 2f32.powi(-40), 1.0 + 2f32.powi(-23)),
    ] {
        // One product, in row 3 and column 5, at k 9; zeros elsewhere, which are a sum of zero where x is finite.
        let (mut a, mut b, mut start) = (vec![0.0; 256], vec![0.0; 128], vec![0.0; 128]);
        (a[3 * 16 + 9], b[9 * 8 + 5], start[3 * 8 + 5]) = (x, y, c);
        let d = multiply(
            "m16n8k16.row.col.f32.bf16.bf16.f32",
            &registers(&a, 16, 4, 2, short_a, bf16),
            &registers(&b, 8, 2, 2, short_b, bf16),
            &registers(&start, 8, 4, 1, sums, f32::to_bits),
        );
        for (at, d) in d.iter().enumerate() {
            match sums(at / 4, at % 4) {
                (3, 5) if expected.is_nan() => assert_eq!(d.to_bits(), 0x7fff_ffff, "{x} {y} {c}"),
                (3, 5) => assert_eq!(*d, expected, "{x} {y} {c}"),
                // What is not finite spoils its row alone: there it meets zeros.
                (3, _) => assert_eq!(d.is_nan(), !x.is_finite(), "{x} {y} {c}"),
                _ => assert_eq!(*d, 0.0, "{x} {y} {c}"),
            }
        }
    }
}

/// The nearer of the two bf16 around a number, the one with an even last digit if they are as near; infinity counts as
/// the power of two that follows the largest.
fn nearest(bits: u32) -> u64 {
    let (sign, size) = (bits >> 31 << 15, bits & 0x7fff_ffff);
    let x = f64::from(f32::from_bits(size));
    if x.is_nan() {
        return 0x7fff;
    }
    let value =
        |half: u32| if half == 0x7f80 { 2f64.powi(128) } else { f64::from(f32::from_bits(half << 16)) };
    let low = size >> 16;
    let nearer = match (x - value(low), value(low + 1) - x) {
        _ if x.is_infinite() => low,
        (down, up) if down == up => low + (low & 1),
        (down, up) => low + u32::from(up < down),
    };
    u64::from(sign | nearer)
}

#[test]
fn rounding_to_bf16_is_to_the_nearest_and_to_even_for_every_upper_half() {
    let one = Convert::new("cvt.rn.bf16.f32").unwrap();
    let (pair, sources) = operation("cvt.rn.bf16x2.f32").unwrap();
    assert_eq!(sources, 2);
    for upper in 0..=0xffff_u32 {
        for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
            let bits = upper << 16 | lower;
            assert_eq!(one.apply(bits.into()), nearest(bits), "{bits:#x}");
            // The first source goes to the upper half.
            let other = bits.rotate_left(7);
            let expected = nearest(bits) << 16 | nearest(other);
            assert_eq!(pair(bits.into(), other.into(), 0), expected, "{bits:#x} and {other:#x}");
        }
    }
    for (bits, expected) in [
        (0x3f80_8000, 0x3f80),
        (0x3f81_8000, 0x3f82),
        (0xbf81_8000, 0xbf82),
        (0x7f7f_7fff, 0x7f7f),
        (0x7f7f_8000, 0x7f80),
        (0x0000_8000, 0),
        (0x8000_8001, 0x8001),
        (0x007f_8000, 0x0080),
        (0xffc0_0000, 0x7fff),
        (0xff80_0000, 0xff80),
    ] {
        assert_eq!(one.apply(bits), expected, "{bits:#x}");
    }
}
