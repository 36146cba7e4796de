//! The C interface of the CUDA driver, as far as programs need that launch kernels.
//!
//! Streams are synchronous: everything has happened when a call returns. A launch that fails says so on the standard
//! error stream; as with a real driver the launch itself succeeds, and every later call on the context returns the
//! error until the primary context is released by all.

// This folder is the door: pointers of the caller are read and written here, and nowhere else.
#![allow(unsafe_code)]
// The names, the raw pointers and who guarantees what are those of the CUDA driver's own manual.
#![allow(non_snake_case)]
#![allow(clippy::missing_safety_doc, missing_docs)]
// They are called by their names from outside, and by nobody inside.
#![allow(unreachable_pub)]

mod context;
mod launch;
mod memory;
mod state;
mod stream;

use core::ffi::c_void;

/// `CUresult`.
type Status = u32;

const SUCCESS: Status = 0;
const INVALID_VALUE: Status = 1;
const OUT_OF_MEMORY: Status = 2;
const INVALID_DEVICE: Status = 101;
const NO_BINARY: Status = 209;
const INVALID_PTX: Status = 218;
const FILE_NOT_FOUND: Status = 301;
const INVALID_HANDLE: Status = 400;
const NOT_FOUND: Status = 500;
const ILLEGAL_ADDRESS: Status = 700;
const OUT_OF_RESOURCES: Status = 701;
const LAUNCH_FAILED: Status = 719;
const NOT_SUPPORTED: Status = 801;

/// An opaque handle.
type Handle = *mut c_void;

/// Gives the caller a result.
///
/// # Safety
/// `place` is null or may be written.
unsafe fn give<T>(place: *mut T, value: T) -> Status {
    if place.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: not null, and the caller of the driver owns it.
    unsafe { place.write(value) };
    SUCCESS
}

/// Gives the caller what was found, or an error.
///
/// # Safety
/// As [`give`].
unsafe fn give_found<T>(place: *mut T, found: Result<T, Status>) -> Status {
    match found {
        // SAFETY: as promised to this function.
        Ok(value) => unsafe { give(place, value) },
        Err(status) => status,
    }
}
