//! Nothing of CUDA is linked: the driver is opened by name, when a device is asked for and not before.
#![cfg(target_os = "linux")]

use nearfar_cuda::{Cuda, Error};

/// The one test of this binary: nothing else here may open the driver first.
#[test]
fn no_library_of_cuda_is_loaded_before_a_device_is_asked_for() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    for library in ["libcuda", "libcudart", "libnvrtc", "libcublas", "libnccl"] {
        assert!(!maps.contains(library), "{library} is among the dependencies of this binary");
    }
    // With or without one: an answer, no panic, and the same answer when asked again.
    let ask = || Cuda::new(0).map(|cuda| cuda.name().to_owned());
    assert_eq!(ask(), ask());
    match Cuda::new(10_000) {
        Err(Error::NoDevice { ordinal, .. }) => assert_eq!(ordinal, 10_000),
        Err(other) => assert_eq!(ask(), Err(other)),
        Ok(cuda) => panic!("{} is not there", cuda.name()),
    }
}
