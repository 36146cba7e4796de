//! A training step in its steady state allocates nothing: a binary of its own, since it counts every allocation of the
//! process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use nearfar_core::kernel::fast::Fast;
use nearfar_core::net::{Architecture, InputShape, Network, Optimizer};

/// The system's allocator, watched.
struct Watched;

static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Steps that are watched.
const STEPS: u32 = 40;
/// The queue through which work enters a pool of threads takes a block of at most this size every 63 calls, which is not
/// ours to change.
const BLOCK: usize = 2048;

#[test]
fn a_training_step_allocates_nothing() {
    let input = InputShape { height: 28, width: 28, channels: 1 };
    let fasts = [Fast::new(1).unwrap(), Fast::new(1).unwrap().with_bf16()];
    let mlp = Architecture::mlp(input, &[64, 32], 16).unwrap();
    let cnn = Architecture::cnn(input, &[8, 16], 2, 16).unwrap();
    // With about how many calls a step of each makes.
    let cases = fasts.iter().flat_map(|fast| [(fast, mlp.clone(), 20), (fast, cnn.clone(), 24)]);
    for (fast, architecture, calls) in cases {
        let queue = BLOCK * calls * STEPS as usize / 63;
        let batch = 24;
        let x: Vec<f32> = (0..batch * input.len()).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
        let gradient: Vec<f32> = (0..batch * 16).map(|i| ((i * 29) % 97) as f32 / 50.0 - 1.0).collect();
        let mut network = Network::new(fast, architecture, batch, 0).unwrap();
        let mut step = |step: u32| {
            network.forward(&x, batch).unwrap();
            network.backward(&x, &gradient).unwrap();
            network.update(Optimizer::default(), 1e-3, step).unwrap();
        };
        (0..3).for_each(&mut step);
        let before = BYTES.load(Ordering::Relaxed);
        (3..3 + STEPS).for_each(&mut step);
        let taken = BYTES.load(Ordering::Relaxed) - before;
        assert!(taken <= queue, "{STEPS} steps took {taken} bytes, of which the queue at most {queue}");
    }
}
