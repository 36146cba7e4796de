//! cudarc, as production code uses it, on the library this crate builds. The test runs itself again with the library
//! in the loader's path, and fails if the library is not there.

use std::process::Command;

use cudarc::driver::sys::cudaError_enum as Status;
use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg, sys};
use cudarc::nvrtc::Ptx;

const INSIDE: &str = "PTX_SIM_END_TO_END";

fn again(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    // Under the name of a driver in a folder of this test's own, where nothing else finds it.
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(program.with_file_name("libptx_sim.so"), folder.join("libcuda.so")).unwrap();
    let output = Command::new(&program)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .env("LD_LIBRARY_PATH", &folder)
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    assert!(output.status.success(), "the inner run failed");
    assert!(text.contains("on PTX simulator"), "the inner run did not use the simulator");
    false
}

/// The first context, after the presence checks that production code makes.
fn context() -> std::sync::Arc<CudaContext> {
    // SAFETY: loads the library, which has no constructors.
    assert!(unsafe { sys::is_culib_present() });
    assert_eq!(CudaContext::device_count().unwrap(), 1);
    let context = CudaContext::new(0).unwrap();
    println!("on {}", context.name().unwrap());
    assert_eq!(context.compute_capability().unwrap(), (9, 0));
    context
}

#[test]
fn cudarc_runs_a_kernel() {
    if !again("cudarc_runs_a_kernel") {
        return;
    }
    let context = context();
    let stream = context.new_stream().unwrap();
    let module = context.load_module(Ptx::from_src(include_str!("../kernels/good.ptx"))).unwrap();
    let (m, n, k) = (20i32, 30i32, 17i32);
    let a: Vec<f32> = (0..m * k).map(|i| (i % 5) as f32).collect();
    let b: Vec<f32> = (0..k * n).map(|i| (i % 7) as f32).collect();
    let (da, db) = (stream.clone_htod(&a).unwrap(), stream.clone_htod(&b).unwrap());
    let mut dc = stream.alloc_zeros::<f32>((m * n) as usize).unwrap();
    let function = module.load_function("product_tiled").unwrap();
    let config = LaunchConfig { grid_dim: (2, 2, 1), block_dim: (16, 16, 1), shared_mem_bytes: 0 };
    let mut launch = stream.launch_builder(&function);
    launch.arg(&da).arg(&db).arg(&mut dc).arg(&m).arg(&n).arg(&k);
    // SAFETY: the arguments are those of the kernel.
    unsafe { launch.launch(config) }.unwrap();
    stream.synchronize().unwrap();
    let c = stream.clone_dtoh(&dc).unwrap();
    for (at, &found) in c.iter().enumerate() {
        let (i, j) = (at / n as usize, at % n as usize);
        let expected: f32 = (0..k as usize).map(|q| a[i * k as usize + q] * b[q * n as usize + j]).sum();
        assert_eq!(found, expected);
    }
    assert_eq!(function.occupancy_max_active_blocks_per_multiprocessor(256, 0, None).unwrap(), 8);
    let refused = context.load_module(Ptx::from_src(".visible .entry k() { frobnicate; }"));
    assert_eq!(refused.err().unwrap().0, Status::CUDA_ERROR_INVALID_PTX);
    assert!(module.load_function("absent").is_err());
}

#[test]
fn a_fault_comes_back_from_the_next_synchronising_call() {
    if !again("a_fault_comes_back_from_the_next_synchronising_call") {
        return;
    }
    let context = context();
    let stream = context.default_stream();
    let module = context.load_module(Ptx::from_src(include_str!("../kernels/faults.ptx"))).unwrap();
    let function = module.load_function("missing_guard").unwrap();
    let mut out = stream.alloc_zeros::<f32>(10).unwrap();
    let config = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (32, 1, 1), shared_mem_bytes: 0 };
    let mut launch = stream.launch_builder(&function);
    launch.arg(&mut out);
    // SAFETY: the kernel writes out of bounds, which the simulator stops; a device would too.
    unsafe { launch.launch(config) }.unwrap();
    let error = stream.synchronize().unwrap_err();
    assert_eq!(error.0, Status::CUDA_ERROR_ILLEGAL_ADDRESS);
}
