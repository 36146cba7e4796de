//! What can go wrong on a device, each with what to do about it.

use core::fmt;

use cudarc::driver::{DriverError, sys::CUresult};
use nearfar_core::BatchError;

/// What the driver answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DriverFailure(DriverError);

impl DriverFailure {
    /// The number of the answer, a `CUresult`.
    #[must_use]
    pub const fn code(&self) -> u32 {
        self.0.0 as u32
    }

    pub(crate) fn is_out_of_memory(self) -> bool {
        self.0.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY
    }

    pub(crate) fn is_no_device(self) -> bool {
        self.0.0 == CUresult::CUDA_ERROR_NO_DEVICE
    }
}

impl From<DriverError> for DriverFailure {
    fn from(error: DriverError) -> Self {
        Self(error)
    }
}

impl fmt::Display for DriverFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only ever made from an answer of the driver, so it is there to be asked.
        match self.0.error_string() {
            Ok(text) => write!(f, "{} (code {})", text.to_string_lossy(), self.code()),
            Err(_) => write!(f, "code {}", self.code()),
        }
    }
}

impl fmt::Debug for DriverFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DriverFailure({self})")
    }
}

impl core::error::Error for DriverFailure {}

/// Why a device cannot be used, or what went wrong on it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// No driver library on this machine.
    NoDriver,
    /// The driver serves an older CUDA than the kernels need; versions as 1000 major + 10 minor.
    DriverTooOld {
        /// What the driver serves.
        found: i32,
        /// What the kernels need.
        needed: i32,
    },
    /// A driver, but no device, or none with this number.
    NoDevice {
        /// The device asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// The chip is older than the kernels; compute capabilities as (major, minor).
    ChipTooOld {
        /// Of this chip.
        found: (i32, i32),
        /// Needed.
        needed: (i32, i32),
    },
    /// The device has no room for a buffer.
    OutOfMemory {
        /// Size of that buffer.
        bytes: usize,
    },
    /// A shape with more numbers than a kernel can count.
    TooLarge {
        /// That many.
        count: usize,
    },
    /// The driver refused a kernel, or reports now what an earlier one did.
    Launch {
        /// The kernel that was to start.
        kernel: &'static str,
        /// The driver's answer.
        source: DriverFailure,
    },
    /// Another call of the driver failed.
    Driver {
        /// What was tried.
        what: &'static str,
        /// The driver's answer.
        source: DriverFailure,
    },
    /// Something newer than the kernels.
    Unsupported {
        /// What that is.
        what: &'static str,
    },
    /// A batch that no backend accepts.
    Batch(BatchError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => {
                f.write_str("no NVIDIA driver found: install driver 525 or later, or use `--device cpu`")
            }
            Self::DriverTooOld { found, needed } => write!(
                f,
                "the NVIDIA driver serves CUDA {}.{}, the kernels need {}.{}: install driver 525 or later",
                found / 1000,
                found % 1000 / 10,
                needed / 1000,
                needed % 1000 / 10
            ),
            Self::NoDevice { count: 0, .. } => f.write_str(
                "an NVIDIA driver, but no GPU: check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or use `--device cpu`",
            ),
            Self::NoDevice { ordinal, count } => {
                write!(f, "no GPU with number {ordinal}: this machine has {count}, counted from 0")
            }
            Self::ChipTooOld { found, needed } => write!(
                f,
                "the GPU has compute capability {}.{}, the kernels need {}.{} (Ampere) or later: use `--device cpu`",
                found.0, found.1, needed.0, needed.1
            ),
            Self::OutOfMemory { bytes } => {
                write!(f, "no room on the GPU for {bytes} bytes: make batches smaller, or end what else uses it")
            }
            Self::TooLarge { count } => {
                write!(f, "{count} numbers in one operation are more than the GPU kernels count: make batches smaller")
            }
            Self::Launch { kernel, source } => write!(f, "the GPU stopped at kernel `{kernel}`: {source}"),
            Self::Driver { what, source } => write!(f, "the NVIDIA driver failed to {what}: {source}"),
            Self::Unsupported { what } => write!(f, "the GPU has no kernel for {what}: use `--device cpu`"),
            Self::Batch(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Launch { source, .. } | Self::Driver { source, .. } => Some(source),
            Self::Batch(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BatchError> for Error {
    fn from(error: BatchError) -> Self {
        Self::Batch(error)
    }
}

/// Names what was tried when the driver fails.
pub(crate) fn failed_to(what: &'static str) -> impl FnOnce(DriverError) -> Error {
    move |error| Error::Driver { what, source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_one_line_that_says_what_is_missing() {
        let errors = [
            (Error::NoDriver, "no NVIDIA driver"),
            (Error::DriverTooOld { found: 11080, needed: 12000 }, "CUDA 11.8, the kernels need 12.0"),
            (Error::NoDevice { ordinal: 0, count: 0 }, "no GPU"),
            (Error::NoDevice { ordinal: 3, count: 2 }, "number 3: this machine has 2"),
            (Error::ChipTooOld { found: (7, 5), needed: (8, 0) }, "7.5, the kernels need 8.0"),
            (Error::OutOfMemory { bytes: 12 }, "12 bytes"),
            (Error::TooLarge { count: 5_000_000_000 }, "5000000000 numbers"),
            (Error::Unsupported { what: "this loss" }, "no kernel for this loss"),
            (Error::Batch(BatchError::ZeroRow { row: 4 }), "row 4 is all zero"),
        ];
        for (error, part) in errors {
            let text = error.to_string();
            assert!(text.contains(part) && !text.contains('\n'), "{text}");
        }
    }
}
