//! Atomics on shared memory: they do not race with each other, and with plain accesses they do.

use crate::{Bench, Value};

/// A kernel: all threads do `add` to the shared word `counter`, which holds 0, then `middle`; then one reads it.
fn counting(add: &str, middle: &str) -> String {
    format!(
        ".version 8.0
.target sm_80
.address_size 64
.visible .entry count(.param .u64 out)
{{
    .reg .pred %p<3>;
    .reg .b32 %r<6>;
    .reg .b64 %rd<6>;
    .shared .align 4 .b32 counter;
    ld.param.u64 %rd1, [out];
    cvta.to.global.u64 %rd1, %rd1;
    mov.u32 %r1, %tid.x;
    setp.ne.s32 %p1, %r1, 0;
    mov.u32 %r3, counter;
    cvt.u64.u32 %rd2, %r3;
    cvta.shared.u64 %rd3, %rd2;
    @%p1 bra begin;
    st.shared.u32 [counter], 0;
begin:
    bar.sync 0;
    {add};
    {middle};
    @%p1 bra end;
    ld.shared.u32 %r2, [counter];
    st.global.u32 [%rd1], %r2;
end:
    ret;
}}
"
    )
}

fn run(add: &str, middle: &str) -> Result<u32, String> {
    let mut bench = Bench::new(&counting(add, middle));
    let out: Value = bench.room(4);
    match bench.run("count", [1; 3], [128, 1, 1], &[&out]) {
        Ok(_) => Ok(bench.get(&out, 1, u32::from_le_bytes)[0]),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn atomics_of_many_threads_are_no_race() {
    for (add, expected) in [
        ("atom.shared.add.u32 %r4, [counter], 1", 128),
        ("red.shared.add.u32 [counter], 1", 128),
        ("atom.shared.max.u32 %r4, [counter], %r1", 127),
        ("atom.shared.or.b32 %r4, [counter], %r1", 127),
        ("atom.shared.inc.u32 %r4, [counter], 1000", 128),
        ("atom.shared.cas.b32 %r4, [counter], %r1, 7", 7),
        // Two kinds on one word, and the same word by its generic address.
        ("atom.shared.add.u32 %r4, [counter], 1; atom.shared.max.u32 %r4, [counter], 0", 128),
        ("atom.add.u32 %r4, [%rd3], 1; atom.shared.add.u32 %r4, [counter], 1", 256),
    ] {
        assert_eq!(run(add, "bar.sync 0"), Ok(expected), "{add}");
    }
}

#[test]
fn plain_accesses_beside_atomics_are_races() {
    for (add, middle) in [
        // The reader does not wait for the others.
        ("atom.shared.add.u32 %r4, [counter], 1", "mov.u32 %r5, 0"),
        // Some write or read the word without an atomic.
        ("atom.shared.add.u32 %r4, [counter], 1; @!%p1 st.shared.u32 [counter], 5", "bar.sync 0"),
        ("@!%p1 ld.shared.u32 %r5, [counter]; atom.shared.add.u32 %r4, [counter], 1", "bar.sync 0"),
    ] {
        let error = run(add, middle).unwrap_err();
        assert!(error.contains("race in shared memory"), "{add}: {error}");
    }
}
