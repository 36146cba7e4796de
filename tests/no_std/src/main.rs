//! Known numbers computed without `std`: the exit status says which one was wrong.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

use nearfar_core::isotonic::pool;
use nearfar_core::{
    Cap, Density, EmptyRow, FarCut, Key, Margin, Row, Sampler, Stream, Weighting, gradient_noise,
    normalize_row, philox4x32_10,
};

/// Bits that the same code gives under `std`, on this and on every other machine; `tests/suite/freestanding.rs` holds
/// them against a build with all features.
const EXPECTED: &[u64] = &include!("../expected.in");

/// What is computed, in order.
fn numbers(mut give: impl FnMut(u64)) {
    let law = Density::new(128.0).unwrap();
    give(law.ln_q(1.0).to_bits());
    give(law.cdf(1.3).to_bits());
    give(law.quantile(0.25).to_bits());
    give(gradient_noise(128.0, 3.0).unwrap().to_bits());
    give(u64::from(philox4x32_10([1, 2, 3, 4], [5, 6])[0]));
    let mut x = [0.0_f32; 3];
    normalize_row(&[1.0, 2.0, 3.0], &mut x).unwrap();
    give(u64::from(x[2].to_bits()));
    let weighting = Weighting::new(16.0, Cap::Near(0.5_f32), FarCut::At(1.4), EmptyRow::Skip).unwrap();
    give(u64::from(weighting.ln_weight(0.9).to_bits()));
    let row = Row {
        anchor: 0,
        anchors: 5,
        labels: &[1, 1, 2, 3, 4],
        distances: &[0.0, 0.4, 0.7, 0.9, 1.1],
        beta: 1.2,
    };
    let key = Key::new(1, Stream::Negatives, 2);
    Sampler::DistanceWeighted(weighting).draw_row(&row, Some(2), key, &mut [0.0; 5], &mut |draw| {
        give(u64::from(draw.triplet.negative));
        give(u64::from(draw.log_prob.to_bits()));
    });
    give(Margin::new(0.2, 0.0).unwrap().pair(1.0_f64, 1.2, false).value.to_bits());
    let (mut values, mut weights, mut ends) = ([1.0, 3.0, 2.0], [1.0, 2.0, 1.0], [0; 3]);
    give(pool(&mut values, &mut weights, &mut ends) as u64);
    give(values[1].to_bits());
}

extern "C" fn run() -> ! {
    let (mut at, mut wrong) = (0, 0);
    numbers(|bits| {
        if EXPECTED.get(at) != Some(&bits) && wrong == 0 {
            wrong = at + 1;
        }
        at += 1;
    });
    if at != EXPECTED.len() && wrong == 0 {
        wrong = 99;
    }
    exit(wrong as u64)
}

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "and rsp, -16", "call {run}", run = sym run);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "bl {run}", run = sym run);

fn exit(status: u64) -> ! {
    // SAFETY: the system call `exit_group` of Linux takes one number and does not return.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", in("rax") 231, in("rdi") status, options(noreturn))
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc 0", in("x8") 94, in("x0") status, options(noreturn))
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(100)
}

/// The memory functions that compiled code calls and a C library would bring.
mod memory {
    use core::ptr::{read_volatile, write_volatile};

    /// # Safety
    /// As C's `memcpy`. Volatile, or the compiler would turn the loop into a call of itself.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        for i in 0..count {
            // SAFETY: the caller owns `count` bytes on both sides.
            unsafe { write_volatile(to.add(i), read_volatile(from.add(i))) };
        }
        to
    }

    /// # Safety
    /// As C's `memmove`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        for k in 0..count {
            let i = if to.cast_const() < from { k } else { count - 1 - k };
            // SAFETY: the caller owns `count` bytes on both sides; the order copes with overlap.
            unsafe { write_volatile(to.add(i), read_volatile(from.add(i))) };
        }
        to
    }

    /// # Safety
    /// As C's `memset`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
        for i in 0..count {
            // SAFETY: the caller owns `count` bytes.
            unsafe { write_volatile(to.add(i), value as u8) };
        }
        to
    }

    /// # Safety
    /// As C's `memcmp`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
        for i in 0..count {
            // SAFETY: the caller owns `count` bytes on both sides.
            let (a, b) = unsafe { (read_volatile(one.add(i)), read_volatile(other.add(i))) };
            if a != b {
                return i32::from(a) - i32::from(b);
            }
        }
        0
    }

    /// Named by `core`'s precompiled code; nothing unwinds here.
    #[unsafe(no_mangle)]
    extern "C" fn rust_eh_personality() {}
}
