//! The work bench of the parity tests: the device, numbers to compute with, and how results are compared.

use std::io::Write;
use std::sync::OnceLock;

use nearfar_cuda::{Buffer, Cuda, Error};

/// The device, or `None` after saying why there is none.
pub(crate) fn device() -> Option<&'static Cuda> {
    static DEVICE: OnceLock<Result<Cuda, Error>> = OnceLock::new();
    // Said once, past the test harness, which keeps what tests print to itself. The name tells a device from the
    // simulator.
    let say = |what: String| drop(writeln!(std::io::stderr(), "{what}"));
    let open = || {
        Cuda::new(0)
            .inspect(|cuda| say(format!("on {}", cuda.device())))
            .inspect_err(|error| say(format!("skipped: no CUDA device ({error})")))
    };
    match DEVICE.get_or_init(open) {
        Ok(cuda) => Some(cuda),
        Err(error) if std::env::var("REQUIRE_GPU").is_ok_and(|value| value == "1") => {
            panic!("REQUIRE_GPU=1, but there is no CUDA device ({error})")
        }
        Err(_) => None,
    }
}

/// How far a result may be from the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tolerance {
    /// The same operations in the same order: the same bits.
    Exact,
    /// A sum in f64 in another order, rounded once: each number within about two ulp.
    Rounded,
    /// A few operations in f32 on a number that may be one ulp off; against the largest number of the result.
    Statistics,
    /// A sum in f32 of at most a few hundred terms, against f64: about sqrt(terms) roundings of 6e-8 of the largest.
    Product,
    /// As `Product`, where a tensor core adds: it cuts bits of the terms that it aligns instead of rounding their sum, each
    /// time in the same direction.
    Tensor,
    /// As `Product`, of weights `exp(power ln d)`: power times the rounding of a distance and of its logarithm.
    Weights {
        /// Exponent of the distance.
        power: f32,
    },
}

impl Tolerance {
    /// The largest difference from `want`, a number of a result whose largest is `largest`.
    fn of(self, want: f32, largest: f32) -> f32 {
        match self {
            Self::Exact => 0.0,
            Self::Rounded => 2.4e-7 * want.abs(),
            Self::Statistics => 1e-6 * largest,
            Self::Product => 3e-6 * largest,
            Self::Tensor => 1.2e-5 * largest,
            Self::Weights { power } => (3e-6 + 4e-7 * power) * largest,
        }
    }
}

/// Numbers in [-1, 1] that depend on `seed` and place only.
pub(crate) fn numbers(seed: u64, len: usize) -> Vec<f32> {
    (0..len as u64)
        .map(|i| {
            // SplitMix64.
            let mut z = (seed << 32 | i).wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ z >> 31) >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Stands where nothing was written: not a result, and easy to see.
const UNTOUCHED: f32 = -77.25;
/// Numbers behind each array that no operation may touch.
const BEHIND: usize = 5;

/// Uploads `host` into a buffer with room to spare.
pub(crate) fn up(cuda: &Cuda, host: &[f32]) -> Buffer {
    let mut longer = host.to_vec();
    longer.extend([UNTOUCHED; BEHIND]);
    let mut buffer = cuda.zeros(longer.len()).unwrap();
    cuda.upload(&longer, &mut buffer).unwrap();
    buffer
}

/// A buffer for a result of `len` numbers.
pub(crate) fn fresh(cuda: &Cuda, len: usize) -> Buffer {
    up(cuda, &vec![UNTOUCHED; len])
}

/// Holds a result against the reference, and what lies behind it against what was there.
pub(crate) fn check(what: &str, cuda: &Cuda, got: &Buffer, want: &[f32], tolerance: Tolerance) -> Vec<f32> {
    let mut host = vec![0.0; want.len() + BEHIND];
    cuda.download(got, &mut host).unwrap();
    assert_eq!(host.split_off(want.len()), [UNTOUCHED; BEHIND], "{what} wrote behind its result");
    let largest = want.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    for (i, (&got, &want)) in host.iter().zip(want).enumerate() {
        // Exact means bits: zeros have a sign there. NaN is NaN whatever its payload.
        let near = tolerance != Tolerance::Exact && (got - want).abs() <= tolerance.of(want, largest);
        let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
        assert!(near || same, "{what}[{i}] is {got}, not {want} (largest {largest})");
    }
    host
}

/// Runs `once` twice and holds the bytes of both runs against each other.
pub(crate) fn twice(once: impl Fn() -> Vec<Vec<f32>>) {
    let bits = |run: Vec<Vec<f32>>| -> Vec<Vec<u32>> {
        run.into_iter().map(|list| list.into_iter().map(f32::to_bits).collect()).collect()
    };
    assert_eq!(bits(once()), bits(once()), "two runs differ");
}
