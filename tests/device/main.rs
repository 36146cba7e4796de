//! The program and its training loop on a GPU, against the same on the CPU.
//!
//! Without a device the tests print why they were skipped; with `REQUIRE_GPU=1` they fail instead. On the simulator:
//! `bash tests/ptx-sim/run.sh cargo test --locked -p nearfar-tests --test device`.

mod program;
mod steps;

use std::io::Write;

use nearfar_cuda::Cuda;

/// Past the test harness, which keeps what tests print to itself.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// The device, or `None` after saying why there is none.
pub(crate) fn device() -> Option<Cuda> {
    match Cuda::new(0) {
        Ok(cuda) => {
            // Its name tells a device from the simulator.
            say(&format!("on {}", cuda.device()));
            Some(cuda)
        }
        Err(error) => {
            assert!(std::env::var("REQUIRE_GPU").as_deref() != Ok("1"), "no CUDA device ({error})");
            say(&format!("skipped: no CUDA device ({error})"));
            None
        }
    }
}
