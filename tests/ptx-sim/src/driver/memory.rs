//! Device memory, copies, and page-locked host memory.

use core::ffi::c_void;
use std::alloc::{Layout, alloc_zeroed, dealloc};

use super::state::{Driver, healthy, status, with};
use super::{Handle, INVALID_VALUE, OUT_OF_MEMORY, SUCCESS, Status, give, give_found};

/// A host call that touched what it may not: said at once, as the call itself fails.
fn refused(message: String) -> Status {
    eprintln!("PTX simulator: {message}");
    INVALID_VALUE
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAlloc_v2(address: *mut u64, size: usize) -> Status {
    let made = healthy(|driver| {
        if size == 0 {
            return Err(INVALID_VALUE);
        }
        driver.device.allocate(size).ok_or(OUT_OF_MEMORY)
    });
    // SAFETY: the caller's place for a result.
    unsafe { give_found(address, made) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocAsync(address: *mut u64, size: usize, _stream: Handle) -> Status {
    // SAFETY: the caller's place for a result.
    unsafe { cuMemAlloc_v2(address, size) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(address: u64) -> Status {
    status(healthy(|driver| {
        if address == 0 || driver.device.free(address) {
            Ok(())
        } else {
            Err(refused(format!("free of {address:#x}, which is no allocation")))
        }
    }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeAsync(address: u64, _stream: Handle) -> Status {
    cuMemFree_v2(address)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, size: usize) -> Status {
    if size == 0 {
        return SUCCESS;
    }
    if from.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller's memory, of the size it names.
    let data = unsafe { core::slice::from_raw_parts(from.cast::<u8>(), size) };
    status(healthy(|driver| driver.device.write(to, data).map_err(refused)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoDAsync_v2(
    to: u64,
    from: *const c_void,
    size: usize,
    _stream: Handle,
) -> Status {
    // SAFETY: the same promise.
    unsafe { cuMemcpyHtoD_v2(to, from, size) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, size: usize) -> Status {
    if size == 0 {
        return SUCCESS;
    }
    if to.is_null() {
        return INVALID_VALUE;
    }
    status(healthy(|driver| {
        let mut data = vec![0; size];
        driver.device.read(from, &mut data).map_err(refused)?;
        // SAFETY: the caller's memory, of the size it names; it may not be initialised, so it is only written.
        unsafe { to.cast::<u8>().copy_from_nonoverlapping(data.as_ptr(), size) };
        Ok(())
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoHAsync_v2(
    to: *mut c_void,
    from: u64,
    size: usize,
    _stream: Handle,
) -> Status {
    // SAFETY: the same promise.
    unsafe { cuMemcpyDtoH_v2(to, from, size) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoD_v2(to: u64, from: u64, size: usize) -> Status {
    status(healthy(
        |driver| if size == 0 { Ok(()) } else { driver.device.copy(to, from, size).map_err(refused) },
    ))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, size: usize, _stream: Handle) -> Status {
    cuMemcpyDtoD_v2(to, from, size)
}

fn fill(to: u64, pattern: &[u8], count: usize) -> Status {
    status(healthy(|driver| {
        if !to.is_multiple_of(pattern.len() as u64) {
            return Err(refused(format!("memset at {to:#x}, which is misaligned")));
        }
        if count == 0 { Ok(()) } else { driver.device.fill(to, pattern, count).map_err(refused) }
    }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8_v2(to: u64, value: u8, count: usize) -> Status {
    fill(to, &[value], count)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8Async(to: u64, value: u8, count: usize, _stream: Handle) -> Status {
    fill(to, &[value], count)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32_v2(to: u64, value: u32, count: usize) -> Status {
    fill(to, &value.to_le_bytes(), count)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32Async(to: u64, value: u32, count: usize, _stream: Handle) -> Status {
    fill(to, &value.to_le_bytes(), count)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemHostAlloc(place: *mut *mut c_void, size: usize, _flags: u32) -> Status {
    let Some(layout) = Layout::from_size_align(size, 4096).ok().filter(|_| size > 0) else {
        return INVALID_VALUE;
    };
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        return OUT_OF_MEMORY;
    }
    with(|driver: &mut Driver| driver.pinned.insert(memory as usize, layout));
    // SAFETY: the caller's place for a result.
    unsafe { give(place, memory.cast()) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemFreeHost(memory: *mut c_void) -> Status {
    match with(|driver| driver.pinned.remove(&(memory as usize))) {
        Some(layout) => {
            // SAFETY: allocated above with this layout, and taken from the list once.
            unsafe { dealloc(memory.cast(), layout) };
            SUCCESS
        }
        None => INVALID_VALUE,
    }
}
