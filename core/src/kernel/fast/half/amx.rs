//! The tile units of x86 processors: all that the compiler cannot check, behind one function that takes slices.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(in crate::kernel::fast) use linux::Amx;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(in crate::kernel::fast) use nowhere::Amx;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[allow(unsafe_code)]
mod linux {
    use core::arch::asm;
    use core::arch::x86_64::__cpuid_count;
    use std::sync::OnceLock;

    use super::super::tiles::{BLOCK, Product};

    /// Proof that this process may use the tile units.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::kernel::fast) struct Amx(());

    /// Eight tiles of 16 rows of 64 bytes, as `ldtilecfg` reads it.
    #[repr(C, align(64))]
    struct Shapes {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    static SHAPES: Shapes = Shapes {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
        rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
    };

    impl Amx {
        /// The units, if the processor has them for bf16 and the kernel lends them.
        pub(in super::super) fn new() -> Option<Self> {
            static FOUND: OnceLock<bool> = OnceLock::new();
            FOUND.get_or_init(|| present() && permitted()).then_some(Self(()))
        }

        /// What [`Product::run`] does, its slices checked there.
        pub(in super::super) fn multiply(self, product: Product<'_>) {
            let Product { blocks, a, stride, starts, run, b, add, c, width } = product;
            if starts.is_empty() || run == 0 {
                if !add {
                    c.chunks_mut(width).take(blocks * BLOCK).for_each(|row| row[..BLOCK].fill(0.0));
                }
                return;
            }
            // SAFETY: `self` is proof that the units are there and permitted, and `SHAPES` is 64 bytes of a valid
            // configuration. Nothing else in this program uses tiles, and nothing below panics before they are released.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly)) };
            for block in 0..blocks {
                let (from, to) = (&a[block * BLOCK * stride..], &mut c[block * BLOCK * width..]);
                // SAFETY: `Product::run` has checked that 32 rows of this block lie within `a` from each start, `run` steps
                // long, that `b` has as many steps, and that 32 rows of 32 numbers lie within `c`.
                unsafe { multiply_block(from, stride, starts, run, b, add, to, width) };
            }
            // SAFETY: as above.
            unsafe { asm!("tilerelease", options(nostack, nomem)) };
        }
    }

    /// One block of 32 x 32: tiles 0 to 3 hold its sums, 4 and 5 the left side, 6 and 7 the right one.
    ///
    /// # Safety
    /// The tiles are configured. `starts` is not empty and `run` not 0. Behind each start, `a` has 32 rows of `32 run`
    /// numbers; `b` has `1024 run` numbers for each start; `c` has 32 rows of 32 numbers.
    unsafe fn multiply_block(
        a: &[u16],
        stride: usize,
        starts: &[usize],
        run: usize,
        b: &[u16],
        add: bool,
        c: &mut [f32],
        width: usize,
    ) {
        let ends = starts.as_ptr_range();
        // SAFETY: of the caller. Strides are in bytes. Numbers are little-endian, as the units read them.
        unsafe {
            asm!(
                "mov {q}, {cs}",
                "shl {q}, 4",
                "add {q}, {c}",
                "test {n}, {n}",
                "jz 2f",
                "tileloadd tmm0, [{c} + {cs}*1]",
                "tileloadd tmm1, [{c} + {cs}*1 + 64]",
                "tileloadd tmm2, [{q} + {cs}*1]",
                "tileloadd tmm3, [{q} + {cs}*1 + 64]",
                "jmp 3f",
                "2:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "3:", // for each start
                "mov {p}, [{t}]",
                "lea {p}, [{a} + {p}*2]",
                "mov {q}, {as}",
                "shl {q}, 4",
                "add {q}, {p}",
                "mov {n}, {run}",
                "4:", // for each step
                "tileloadd tmm4, [{p} + {as}*1]",
                "tileloadd tmm6, [{b} + {bs}*1]",
                "tileloadd tmm7, [{b} + {bs}*1 + 1024]",
                "tileloadd tmm5, [{q} + {as}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {p}, 64",
                "add {q}, 64",
                "add {b}, 2048",
                "dec {n}",
                "jnz 4b",
                "add {t}, 8",
                "cmp {t}, {end}",
                "jne 3b",
                "mov {q}, {cs}",
                "shl {q}, 4",
                "add {q}, {c}",
                "tilestored [{c} + {cs}*1], tmm0",
                "tilestored [{c} + {cs}*1 + 64], tmm1",
                "tilestored [{q} + {cs}*1], tmm2",
                "tilestored [{q} + {cs}*1 + 64], tmm3",
                a = in(reg) a.as_ptr(),
                as = in(reg) 2 * stride,
                t = inout(reg) ends.start => _,
                end = in(reg) ends.end,
                run = in(reg) run,
                n = inout(reg) usize::from(add) => _,
                b = inout(reg) b.as_ptr() => _,
                bs = in(reg) 64_usize,
                c = in(reg) c.as_mut_ptr(),
                cs = in(reg) 4 * width,
                p = out(reg) _,
                q = out(reg) _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }

    /// Whether the processor has tiles (leaf 7, EDX: bit 24) and their bf16 (bit 22).
    fn present() -> bool {
        let (tiles, bf16) = (1 << 24, 1 << 22);
        // Unsafe to older compilers that this crate takes, to newer ones no more.
        #[allow(unused_unsafe)]
        // SAFETY: every processor of this architecture has the instruction.
        let leaf = |number| unsafe { __cpuid_count(number, 0) };
        leaf(0).eax >= 7 && leaf(7).edx & (tiles | bf16) == tiles | bf16
    }

    /// Asks the kernel for the state of the tiles, for all threads of the process; it says no where the system does not
    /// save them.
    fn permitted() -> bool {
        const ARCH_PRCTL: u64 = 158;
        const REQUEST: u64 = 0x1023;
        const TILE_DATA: u64 = 18;
        let answer: i64;
        // SAFETY: the system call `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA)` reads and writes no memory of
        // the process; the kernel leaves all registers but these three as they are.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => answer,
                in("rdi") REQUEST,
                in("rsi") TILE_DATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        answer == 0
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod nowhere {
    use super::super::tiles::Product;

    /// No machine of this kind has tile units.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::kernel::fast) enum Amx {}

    impl Amx {
        pub(in super::super) fn new() -> Option<Self> {
            None
        }

        pub(in super::super) fn multiply(self, _: Product<'_>) {
            match self {}
        }
    }
}
