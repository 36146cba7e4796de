//! Initialisation, the device and its context.

use core::ffi::{CStr, c_char};

use super::state::{healthy, status, with};
use super::{
    Handle, INVALID_DEVICE, INVALID_VALUE, NOT_FOUND, NOT_SUPPORTED, SUCCESS, Status, give, give_found,
};
use crate::device::{BLOCK_MAX, GRID_MAX, SHARED_MAX, SHARED_OPT_IN_MAX, THREADS_MAX, setting};

/// There is one context, and this is its handle.
const CONTEXT: usize = 0xc0;
const NAME: &CStr = c"PTX simulator";

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: u32) -> Status {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDriverGetVersion(version: *mut i32) -> Status {
    // SAFETY: the caller's place for a result.
    unsafe { give(version, 12_000) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut i32) -> Status {
    // SAFETY: the caller's place for a result.
    unsafe { give(count, 1) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut i32, ordinal: i32) -> Status {
    if ordinal != 0 {
        return INVALID_DEVICE;
    }
    // SAFETY: the caller's place for a result.
    unsafe { give(device, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, length: i32, _device: i32) -> Status {
    let text = NAME.to_bytes_with_nul();
    if name.is_null() || (length as usize) < text.len() || length < 0 {
        return INVALID_VALUE;
    }
    // SAFETY: the caller's place has at least the text's length.
    unsafe { name.copy_from_nonoverlapping(text.as_ptr().cast(), text.len()) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid(uuid: *mut [u8; 16], _device: i32) -> Status {
    // SAFETY: the caller's place for a result.
    unsafe { give(uuid, *b"PTX simulator 01") }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: i32) -> Status {
    // SAFETY: as for the first version.
    unsafe { cuDeviceGetUuid(uuid, device) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: i32) -> Status {
    // SAFETY: the caller's place for a result.
    unsafe { give(bytes, with(|driver| driver.device.global.room().1)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> Status {
    let room = with(|driver| driver.device.global.room());
    // SAFETY: the caller's places for results.
    unsafe { give(free, room.0).max(give(total, room.1)) }
}

/// Attributes as on compute capability 9.0. `PTX_SIM_CC` (such as 80) and `PTX_SIM_SMS` change what kernels are
/// chosen and how grids are cut.
fn attribute(number: i32) -> i32 {
    let capability = setting("PTX_SIM_CC").unwrap_or(90) as i32;
    match number {
        1 => THREADS_MAX as i32,
        2..=4 => BLOCK_MAX[number as usize - 2] as i32,
        5..=7 => GRID_MAX[number as usize - 5] as i32,
        8 => SHARED_MAX as i32,
        9 => 65_536,
        10 => 32,
        11 => i32::MAX,
        12 | 82 => 65_536,
        13 => 1_000_000,
        14 => 512,
        16 => setting("PTX_SIM_SMS").unwrap_or(4) as i32,
        31 | 41 | 78 | 115 => 1,
        36 => 1_000_000,
        37 => 512,
        38 => 4 << 20,
        39 => 2048,
        40 => 1,
        75 => capability / 10,
        76 => capability % 10,
        81 => SHARED_OPT_IN_MAX as i32 + 1024,
        97 => SHARED_OPT_IN_MAX as i32,
        106 => 32,
        111 => 1024,
        _ => 0,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(value: *mut i32, number: i32, _device: i32) -> Status {
    // SAFETY: the caller's place for a result.
    unsafe { give(value, attribute(number)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut Handle, device: i32) -> Status {
    if device != 0 {
        return INVALID_DEVICE;
    }
    with(|driver| driver.retained += 1);
    // SAFETY: the caller's place for a result.
    unsafe { give(context, CONTEXT as Handle) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: i32) -> Status {
    with(|driver| {
        driver.retained = driver.retained.saturating_sub(1);
        if driver.retained == 0 {
            driver.reset();
        }
    });
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(_context: Handle) -> Status {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCurrent(context: *mut Handle) -> Status {
    let current = if with(|driver| driver.retained) > 0 { CONTEXT } else { 0 };
    // SAFETY: the caller's place for a result.
    unsafe { give(context, current as Handle) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetDevice(device: *mut i32) -> Status {
    // SAFETY: the caller's place for a result.
    unsafe { give(device, 0) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> Status {
    status(healthy(|_| Ok(())))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetFlags(_flags: u32) -> Status {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetLimit(value: *mut usize, _limit: i32) -> Status {
    // SAFETY: the caller's place for a result.
    unsafe { give(value, 0) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetLimit(_limit: i32, _value: usize) -> Status {
    NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCacheConfig(config: *mut i32) -> Status {
    // SAFETY: the caller's place for a result.
    unsafe { give(config, 0) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCacheConfig(_config: i32) -> Status {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetStreamPriorityRange(least: *mut i32, greatest: *mut i32) -> Status {
    // SAFETY: the caller's places for results.
    unsafe { give(least, 0).max(give(greatest, 0)) }
}

/// Name and meaning of an error.
fn words(status: Status) -> Option<(&'static CStr, &'static CStr)> {
    Some(match status {
        0 => (c"CUDA_SUCCESS", c"no error"),
        1 => (c"CUDA_ERROR_INVALID_VALUE", c"invalid argument"),
        2 => (c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory"),
        101 => (c"CUDA_ERROR_INVALID_DEVICE", c"invalid device ordinal"),
        209 => (c"CUDA_ERROR_NO_BINARY_FOR_GPU", c"only PTX text can be loaded by the simulator"),
        218 => (c"CUDA_ERROR_INVALID_PTX", c"a PTX text was refused"),
        301 => (c"CUDA_ERROR_FILE_NOT_FOUND", c"file not found"),
        400 => (c"CUDA_ERROR_INVALID_HANDLE", c"invalid resource handle"),
        500 => (c"CUDA_ERROR_NOT_FOUND", c"named symbol not found"),
        700 => (c"CUDA_ERROR_ILLEGAL_ADDRESS", c"an illegal memory access was encountered"),
        701 => (c"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", c"too many resources requested for launch"),
        719 => (c"CUDA_ERROR_LAUNCH_FAILED", c"unspecified launch failure"),
        801 => (c"CUDA_ERROR_NOT_SUPPORTED", c"operation not supported by the simulator"),
        _ => return None,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorName(error: Status, text: *mut *const c_char) -> Status {
    // SAFETY: the caller's place for a result; the text is never freed.
    unsafe { give_found(text, words(error).map(|(name, _)| name.as_ptr()).ok_or(NOT_FOUND)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(error: Status, text: *mut *const c_char) -> Status {
    // SAFETY: the caller's place for a result; the text is never freed.
    unsafe { give_found(text, words(error).map(|(_, meaning)| meaning.as_ptr()).ok_or(NOT_FOUND)) }
}
