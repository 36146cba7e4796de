//! Every planted fault is found, at its line. The lines are found by what they hold, so compiling anew is harmless.

use ptx_sim::{Fault, Kind, LaunchError};

use crate::{Bench, Value};

const TEXT: &str = include_str!("../../kernels/faults.ptx");

/// The fault of a launch that must fail, with the kernel's name and a line that holds a text.
fn fault(result: Result<u64, LaunchError>, kernel: &str, line: &str, message: &str) -> Fault {
    let Err(LaunchError::Fault(fault)) = result else { panic!("{kernel}: no fault but {result:?}") };
    assert_eq!(fault.kernel, kernel);
    assert!(fault.message.contains(message), "{fault}");
    let text = TEXT.lines().nth(fault.line as usize - 1).unwrap();
    assert!(text.contains(line), "{fault} is at {text}");
    *fault
}

fn one_output(kernel: &str, threads: u32, line: &str, message: &str) -> Fault {
    let mut bench = Bench::new(TEXT);
    let out = bench.room(4 * threads as usize);
    let result = bench.run(kernel, [1; 3], [threads, 1, 1], &[&out]);
    fault(result, kernel, line, message)
}

#[test]
fn a_missing_barrier_between_warps_is_found() {
    one_output("missing_barrier", 64, "shared.", "race in shared memory");
    one_output("missing_first_barrier", 64, "ld.shared.f32", "never written");
}

#[test]
fn a_missing_barrier_inside_a_warp_is_found() {
    one_output("missing_warp_barrier", 32, "shared.", "race in shared memory");
}

#[test]
fn a_shared_array_that_is_too_small_is_found() {
    let fault = one_output("short_array", 64, "st.shared.f32", "192 of shared memory, which has 192");
    assert_eq!((fault.kind, fault.thread), (Kind::Address, [48, 0, 0]));
}

#[test]
fn a_bad_shuffle_mask_is_found() {
    one_output("bad_mask", 32, "shfl.sync", "bad mask");
}

#[test]
fn a_copy_that_has_not_landed_is_found() {
    let mut bench = Bench::new(TEXT);
    let (x, out) = (bench.floats(&[1.0; 128]), bench.room(128));
    let result = bench.run("too_few_groups", [1; 3], [32, 1, 1], &[&x, &out]);
    fault(result, "too_few_groups", "ld.shared.f32", "which a cp.async still writes");
}

#[test]
fn a_shifted_index_is_found() {
    let mut bench = Bench::new(TEXT);
    let (x, out) = (bench.floats(&[1.0; 32]), bench.room(128));
    let result = bench.run("shifted_index", [1; 3], [32, 1, 1], &[&x, &out]);
    let fault = fault(result, "shifted_index", "ld.global", "read of 4 bytes at byte 128");
    assert_eq!((fault.kind, fault.thread), (Kind::Address, [31, 0, 0]));
}

#[test]
fn a_missing_guard_is_found() {
    let mut bench = Bench::new(TEXT);
    let out = bench.room(4 * 100);
    let result = bench.run("missing_guard", [4, 1, 1], [32, 1, 1], &[&out]);
    let fault = fault(result, "missing_guard", "st.global", "write of 4 bytes at byte 400");
    assert_eq!((fault.block, fault.thread), ([3, 0, 0], [4, 0, 0]));
}

#[test]
fn memory_that_was_never_written_is_found() {
    one_output("unset_shared", 64, "ld.shared.f32", "never written");
    let mut bench = Bench::new(TEXT);
    let (x, out) = (bench.room(128), bench.room(128));
    let result = bench.run("copy", [1; 3], [32, 1, 1], &[&x, &out]);
    fault(result, "copy", "ld.global", "never written");
}

#[test]
fn races_between_blocks_are_found() {
    let mut bench = Bench::new(TEXT);
    let out = bench.room(4);
    let result = bench.run("block_race", [2, 1, 1], [32, 1, 1], &[&out]);
    fault(result, "block_race", "st.global", "race in global memory");
    // One block alone has nobody to race with, and two launches are ordered.
    bench.run("block_race", [1; 3], [32, 1, 1], &[&out]).unwrap();
    bench.run("block_race", [1; 3], [32, 1, 1], &[&out]).unwrap();
}

#[test]
fn a_race_of_a_read_between_blocks_is_found_on_any_number_of_cores() {
    for cores in [1, 2, 4] {
        let mut bench = Bench::new(TEXT);
        bench.device.cores = cores;
        let x = bench.floats(&[0.0; 1 << 16]);
        // Within a block threads read their neighbours as well, which is watched in shared memory only.
        let result = bench.run("block_race_read", [512, 1, 1], [128, 1, 1], &[&x]);
        fault(result, "block_race_read", "global", "race in global memory");
    }
}

#[test]
fn use_after_free_is_found() {
    let mut bench = Bench::new(TEXT);
    let (x, out) = (bench.floats(&[1.0; 32]), bench.room(128));
    bench.run("copy", [1; 3], [32, 1, 1], &[&x, &out]).unwrap();
    let Value::Pointer(address) = x else { unreachable!() };
    assert!(bench.device.free(address));
    let result = bench.run("copy", [1; 3], [32, 1, 1], &[&x, &out]);
    fault(result, "copy", "ld.global", "use after free");
}

#[test]
fn a_divergent_barrier_is_found() {
    one_output("divergent_barrier", 64, "bar.sync", "barrier");
}

#[test]
fn an_endless_loop_and_a_misaligned_address_are_found() {
    let mut bench = Bench::new(TEXT);
    bench.device.budget = 10_000;
    let flag = bench.put(&[0i32], i32::to_le_bytes);
    let result = bench.run("endless", [1; 3], [32, 1, 1], &[&flag]);
    let Err(LaunchError::Fault(found)) = result else { panic!("no fault") };
    assert!(found.message.contains("endless loop"), "{found}");
    let x = bench.room(16);
    let result = bench.run("misaligned", [1; 3], [1; 3], &[&x]);
    fault(result, "misaligned", "st.global", "misaligned");
}

#[test]
fn sizes_that_are_not_possible_are_refused() {
    let mut bench = Bench::new(TEXT);
    let out = bench.room(4);
    for (grid, block) in [([0, 1, 1], [32, 1, 1]), ([1, 1, 1], [2048, 1, 1]), ([1, 70_000, 1], [1, 1, 1])] {
        assert!(matches!(bench.run("block_race", grid, block, &[&out]), Err(LaunchError::Refused(_))));
    }
    let kernel = bench.module.kernel("block_race").unwrap().clone();
    let size = ptx_sim::Size { grid: [1; 3], block: [1; 3], shared: 60_000 };
    let result = bench.device.launch(&bench.module, &kernel, size, &[0; 8], 48 << 10);
    assert!(
        matches!(result, Err(LaunchError::Refused(message)) if message.contains("too much shared memory"))
    );
}
