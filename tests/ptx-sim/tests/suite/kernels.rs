//! Kernels as the compiler makes them, against plain loops.

use ptx_sim::{Rounding, bf16_of, tf32_of, widen_bf16};

use crate::{Bench, Value, noise};

const TEXT: &str = include_str!("../../kernels/good.ptx");

#[test]
fn a_reduction_sums_exactly_what_is_exact() {
    let mut bench = Bench::new(TEXT);
    let values: Vec<f32> = (0..5000).map(|i| (i % 17) as f32).collect();
    let (x, sum) = (bench.floats(&values), bench.floats(&[0.0]));
    bench.run("reduce_sum", [6, 1, 1], [128, 1, 1], &[&x, &sum, &Value::Int(5000)]).unwrap();
    assert_eq!(bench.floats_of(&sum, 1)[0], values.iter().sum::<f32>());
}

#[test]
fn a_tiled_product_is_the_product_to_the_bit_on_any_number_of_cores() {
    let (m, n, k) = (67, 45, 33);
    let (a, b) = (noise(m * k, 1), noise(k * n, 2));
    let expected: Vec<f32> = (0..m * n)
        .map(|at| (0..k).fold(0f32, |sum, q| a[at / n * k + q].mul_add(b[q * n + at % n], sum)))
        .collect();
    for cores in [1, 2, 3] {
        let mut bench = Bench::new(TEXT);
        bench.device.cores = cores;
        let (pa, pb, pc) = (bench.floats(&a), bench.floats(&b), bench.room(4 * m * n));
        let sizes = [m, n, k].map(|size| Value::Int(size as i32));
        let values = [&pa, &pb, &pc, &sizes[0], &sizes[1], &sizes[2]];
        bench.run("product_tiled", [3, 5, 1], [16, 16, 1], &values).unwrap();
        assert_eq!(bench.floats_of(&pc, m * n), expected, "{cores} cores");
    }
}

#[test]
fn argmin_by_shuffles_takes_the_lowest_of_equals() {
    let (rows, m) = (7, 100);
    let mut x = noise(rows * m, 3);
    (x[37], x[63]) = (-2.0, -2.0);
    let mut bench = Bench::new(TEXT);
    let (px, arg) = (bench.floats(&x), bench.room(4 * rows));
    bench.run("row_argmin", [rows as u32, 1, 1], [32, 1, 1], &[&px, &arg, &Value::Int(m as i32)]).unwrap();
    let found = bench.get(&arg, rows, i32::from_le_bytes);
    for (row, &at) in x.chunks(m).zip(&found) {
        let least = row.iter().copied().fold(f32::INFINITY, f32::min);
        assert_eq!(row.iter().position(|&v| v == least), Some(at as usize));
    }
    assert_eq!(found[0], 37);
}

/// `D = A B^T` over steps of `step`, each summed exactly and rounded once.
fn by_steps(a: &[f32], b: &[f32], k: usize, step: usize) -> Vec<f32> {
    let mut d = vec![0f32; 16 * 8];
    for (at, d) in d.iter_mut().enumerate() {
        for k0 in (0..k).step_by(step) {
            let sum = (k0..k0 + step).fold(f64::from(*d), |sum, q| {
                f64::from(a[at / 8 * k + q]).mul_add(f64::from(b[at % 8 * k + q]), sum)
            });
            *d = sum as f32;
        }
    }
    d
}

#[test]
fn tensor_cores_multiply_tf32() {
    let k = 24;
    let (a, b) = (noise(16 * k, 4), noise(8 * k, 5));
    let mut bench = Bench::new(TEXT);
    let (pa, pb, pd) = (bench.floats(&a), bench.floats(&b), bench.room(512));
    bench.run("mma_tf32", [1; 3], [32, 1, 1], &[&pa, &pb, &pd, &Value::Int(k as i32)]).unwrap();
    let short = |values: &[f32]| values.iter().map(|&x| tf32_of(x)).collect::<Vec<_>>();
    assert_eq!(bench.floats_of(&pd, 128), by_steps(&short(&a), &short(&b), k, 8));
}

#[test]
fn tensor_cores_multiply_bf16_after_asynchronous_copies() {
    let k = 64;
    let short = |values: Vec<f32>| values.iter().map(|&x| bf16_of(x, Rounding::Nearest)).collect::<Vec<_>>();
    let (a, b) = (short(noise(16 * k, 6)), short(noise(8 * k, 7)));
    let mut bench = Bench::new(TEXT);
    let (pa, pb) = (bench.put(&a, u16::to_le_bytes), bench.put(&b, u16::to_le_bytes));
    let pd = bench.room(512);
    bench.run("mma_bf16", [1; 3], [32, 1, 1], &[&pa, &pb, &pd, &Value::Int(k as i32)]).unwrap();
    let wide = |values: &[u16]| values.iter().map(|&x| widen_bf16(x)).collect::<Vec<_>>();
    assert_eq!(bench.floats_of(&pd, 128), by_steps(&wide(&a), &wide(&b), k, 16));
}

#[test]
fn atomics_count_on_any_number_of_cores() {
    let n = 30_000;
    let values: Vec<u32> = (0..n).map(|i: u32| i.wrapping_mul(2_654_435_761) >> 7).collect();
    let mut bins = [0u32; 16];
    values.iter().for_each(|v| bins[(v & 15) as usize] += 1);
    let odd = values.iter().filter(|&v| v & 1 == 1).count() as u32;
    for cores in [1, 2] {
        let mut bench = Bench::new(TEXT);
        bench.device.cores = cores;
        let x = bench.put(&values, u32::to_le_bytes);
        let (counts, extremes) =
            (bench.put(&[0; 16], u32::to_le_bytes), bench.put(&[u32::MAX, 0, 0], u32::to_le_bytes));
        let values_of = [&x, &counts, &extremes, &Value::Int(n as i32)];
        bench.run("histogram", [n.div_ceil(128), 1, 1], [128, 1, 1], &values_of).unwrap();
        assert_eq!(bench.get(&counts, 16, u32::from_le_bytes), bins);
        let limits = [*values.iter().min().unwrap(), *values.iter().max().unwrap(), odd];
        assert_eq!(bench.get(&extremes, 3, u32::from_le_bytes), limits);
    }
}

#[test]
fn mathematical_functions_calls_and_local_memory_agree_with_the_host() {
    let x: Vec<f32> = noise(200, 8).iter().map(|v| v.abs() * 20.0 + 0.01).collect();
    let weights = [1.0, 2.0, 3.0, 4.0];
    let truth: [&dyn Fn(f64, usize) -> f64; 10] = [
        &|v, _| v.ln(),
        &|v, _| v.exp(),
        &|v, _| v.sqrt(),
        &|v, _| f64::from(v as f32 * 1000.0).sin(),
        &|v, _| v.powf(f64::from(1.7f32)),
        &|v, _| v.ln_1p(),
        &|v, _| v.exp(),
        &|v, _| v / 3.0,
        &|v, i| v * (i % 8) as f64 + weights[i % 4],
        &|v, _| 1.0 / v.sqrt(),
    ];
    for (which, function) in truth.iter().enumerate() {
        let mut bench = Bench::new(TEXT);
        let (px, out) = (bench.floats(&x), bench.room(800));
        let values = [&px, &out, &Value::Int(200), &Value::Int(which as i32)];
        bench.run("functions", [4, 1, 1], [64, 1, 1], &values).unwrap();
        for (i, (&found, &v)) in bench.floats_of(&out, 200).iter().zip(&x).enumerate() {
            let expected = function(f64::from(v), i);
            // The CUDA manual promises 4 ulp or better for each of these.
            let error = (f64::from(found) - expected).abs() / (expected.abs() + 1e-3);
            assert!(
                error < 8.0 * f64::from(f32::EPSILON),
                "function {which} of {v}: {found}, not {expected}"
            );
        }
    }
}
