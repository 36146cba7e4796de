//! What a chip can do at most, as its driver describes it: what measured times are held against.

use cudarc::driver::sys::CUdevice_attribute as Attribute;

use crate::device::Cuda;

/// Rates that no kernel exceeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes a second between the chip and its memory.
    pub bytes: f64,
    /// Operations a second in single precision, two for each fused multiply-add.
    pub operations: f64,
}

impl Limits {
    /// The least time for so much work, in seconds: the larger of what its bytes and its operations take.
    ///
    /// ```
    /// let limits = nearfar_cuda::Limits { bytes: 1e12, operations: 1e13 };
    /// assert_eq!(limits.floor(1e9, 1e9), 1e-3); // the bytes take longer
    /// ```
    #[must_use]
    pub fn floor(&self, operations: f64, bytes: f64) -> f64 {
        (bytes / self.bytes).max(operations / self.operations)
    }
}

impl Cuda {
    /// Limits of this GPU at the clocks that its driver states; `None` where it states none.
    #[must_use]
    pub fn limits(&self) -> Option<Limits> {
        let stated = |attribute| self.attribute(attribute).filter(|&value| value > 0).map(f64::from);
        // In kHz, and two transfers a cycle.
        let memory = 2e3 * stated(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?;
        let width = stated(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)? / 8.0;
        let clock = 1e3 * stated(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?;
        let processors = stated(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let capability = |attribute| self.attribute(attribute).unwrap_or(0);
        let chip = (
            capability(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
            capability(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
        );
        // Fused multiply-adds of a multiprocessor in a cycle: 64 on the A100, 128 on every chip since.
        let lanes = if chip == (8, 0) { 64.0 } else { 128.0 };
        Some(Limits { bytes: memory * width, operations: 2.0 * lanes * processors * clock })
    }
}
