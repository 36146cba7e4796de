//! Modules, functions and launches.

use core::ffi::{CStr, c_char, c_void};

use super::state::{Function, healthy, status};
use super::{
    FILE_NOT_FOUND, Handle, ILLEGAL_ADDRESS, INVALID_HANDLE, INVALID_PTX, INVALID_VALUE, LAUNCH_FAILED,
    NO_BINARY, NOT_FOUND, NOT_SUPPORTED, OUT_OF_RESOURCES, SUCCESS, Status, give_found,
};
use crate::device::{LaunchError, SHARED_MAX, SHARED_OPT_IN_MAX, Size, THREADS_MAX};
use crate::fault::Kind;
use crate::module::Kernel;

/// `CU_JIT_ERROR_LOG_BUFFER` and its size.
const ERROR_LOG: i32 = 5;
const ERROR_LOG_SIZE: i32 = 6;
/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
const DYNAMIC_SHARED: i32 = 8;

/// Loads a text; an error comes with its words.
fn load(text: &str) -> Result<Handle, (Status, String)> {
    healthy(|driver| {
        Ok(match driver.device.load(text) {
            Ok(module) => {
                let handle = driver.handle();
                driver.modules.insert(handle, module.into());
                Ok(handle as Handle)
            }
            Err(error) => Err((INVALID_PTX, error.to_string())),
        })
    })
    .unwrap_or_else(|status| Err((status, String::new())))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadData(module: *mut Handle, image: *const c_void) -> Status {
    // SAFETY: the same promise, and no options.
    unsafe { cuModuleLoadDataEx(module, image, 0, core::ptr::null(), core::ptr::null()) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadDataEx(
    module: *mut Handle,
    image: *const c_void,
    count: u32,
    options: *const i32,
    values: *const *mut c_void,
) -> Status {
    if image.is_null() || count > 0 && (options.is_null() || values.is_null()) {
        return INVALID_VALUE;
    }
    // SAFETY: PTX text ends in a zero byte; binaries do not, but begin with bytes that no text begins with, and the
    // caller promises at least a header of them.
    let binary = unsafe { matches!(*image.cast::<u8>(), 0x7f | 0x50) };
    if binary {
        return NO_BINARY;
    }
    // SAFETY: as said.
    let text = unsafe { CStr::from_ptr(image.cast()) }.to_string_lossy();
    let (mut log, mut room) = (core::ptr::null_mut::<u8>(), 0);
    for at in 0..count as usize {
        // SAFETY: the caller's arrays have `count` elements.
        let (option, value) = unsafe { (*options.add(at), *values.add(at)) };
        match option {
            ERROR_LOG => log = value.cast(),
            ERROR_LOG_SIZE => room = value as usize,
            _ => {}
        }
    }
    let loaded = load(&text).map_err(|(status, words)| {
        eprintln!("PTX simulator: {words}");
        if !log.is_null() && room > 0 {
            let length = words.len().min(room - 1);
            // SAFETY: the caller's log has this room, and one byte more for the zero.
            unsafe {
                log.copy_from_nonoverlapping(words.as_ptr(), length);
                log.add(length).write(0);
            }
        }
        status
    });
    // SAFETY: the caller's place for a result.
    unsafe { give_found(module, loaded) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoad(module: *mut Handle, path: *const c_char) -> Status {
    if path.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller's text ends in a zero byte.
    let path = unsafe { CStr::from_ptr(path) }.to_string_lossy();
    let loaded = std::fs::read_to_string(&*path).map_err(|_| FILE_NOT_FOUND).and_then(|text| {
        load(&text).map_err(|(status, words)| {
            eprintln!("PTX simulator: {path}: {words}");
            status
        })
    });
    // SAFETY: the caller's place for a result.
    unsafe { give_found(module, loaded) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(module: Handle) -> Status {
    status(healthy(|driver| {
        let module = driver.modules.remove(&(module as usize)).ok_or(INVALID_HANDLE)?;
        module.unload(&mut driver.device.global);
        driver.functions.retain(|_, function| !std::sync::Arc::ptr_eq(&function.module, &module));
        Ok(())
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunction(
    function: *mut Handle,
    module: Handle,
    name: *const c_char,
) -> Status {
    if name.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller's text ends in a zero byte.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    let found = healthy(|driver| driver.add_function(module as usize, &name)).map(|handle| handle as Handle);
    // SAFETY: the caller's place for a result.
    unsafe { give_found(function, found) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetGlobal_v2(
    address: *mut u64,
    size: *mut usize,
    module: Handle,
    name: *const c_char,
) -> Status {
    if name.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: the caller's text ends in a zero byte.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    let found = healthy(|driver| {
        let module = driver.modules.get(&(module as usize)).ok_or(INVALID_HANDLE)?;
        module.variable(&name).ok_or(NOT_FOUND)
    });
    // Both results are optional.
    for status in [
        // SAFETY: not null, so the caller's place for a result.
        (!address.is_null()).then(|| unsafe { give_found(address, found.map(|found| found.0)) }),
        // SAFETY: as above.
        (!size.is_null()).then(|| unsafe { give_found(size, found.map(|found| found.1)) }),
    ] {
        if let Some(status) = status.filter(|&status| status != SUCCESS) {
            return status;
        }
    }
    status(found.map(|_| ()))
}

/// A function and its kernel.
fn look<T>(
    function: Handle,
    work: impl FnOnce(&mut Function, &Kernel) -> Result<T, Status>,
) -> Result<T, Status> {
    healthy(|driver| {
        let function = driver.functions.get_mut(&(function as usize)).ok_or(INVALID_HANDLE)?;
        let module = function.module.clone();
        work(function, module.kernel(&function.name).ok_or(INVALID_HANDLE)?)
    })
}

fn threads_max(kernel: &Kernel) -> u32 {
    kernel.threads.map_or(THREADS_MAX, |(limit, _)| limit.iter().product::<u32>().min(THREADS_MAX))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncGetAttribute(value: *mut i32, number: i32, function: Handle) -> Status {
    let found = look(function, |function, kernel| {
        Ok(match number {
            0 => threads_max(kernel) as i32,
            1 => kernel.shared as i32,
            3 => kernel.local as i32,
            // A real compiler uses far fewer registers than PTX names; this is a bound that keeps every block size.
            4 => (kernel.registers as i32).min(64),
            5 | 6 => 80,
            DYNAMIC_SHARED => function.shared_max as i32,
            _ => 0,
        })
    });
    // SAFETY: the caller's place for a result.
    unsafe { give_found(value, found) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetAttribute(function: Handle, number: i32, value: i32) -> Status {
    status(look(function, |function, kernel| {
        if number == DYNAMIC_SHARED {
            if value < 0 || value as usize + kernel.shared > SHARED_OPT_IN_MAX {
                return Err(INVALID_VALUE);
            }
            function.shared_max = value as usize;
        }
        Ok(())
    }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetCacheConfig(_function: Handle, _config: i32) -> Status {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    blocks: *mut i32,
    function: Handle,
    threads: i32,
    dynamic: usize,
) -> Status {
    let found = look(function, |_, kernel| {
        if threads <= 0 || threads as u32 > threads_max(kernel) {
            return Err(INVALID_VALUE);
        }
        let by_threads = 2048 / (threads as usize).next_multiple_of(32);
        let by_shared = (SHARED_OPT_IN_MAX + 1024) / (kernel.shared + dynamic + 1024);
        Ok(by_threads.min(by_shared).min(32) as i32)
    });
    // SAFETY: the caller's place for a result.
    unsafe { give_found(blocks, found) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    blocks: *mut i32,
    function: Handle,
    threads: i32,
    dynamic: usize,
    _flags: u32,
) -> Status {
    // SAFETY: the same promise.
    unsafe { cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, dynamic) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyAvailableDynamicSMemPerBlock(
    bytes: *mut usize,
    function: Handle,
    blocks: i32,
    _threads: i32,
) -> Status {
    let found = look(function, |function, kernel| {
        let most = SHARED_MAX.max(function.shared_max + kernel.shared);
        let each = (SHARED_OPT_IN_MAX + 1024) / blocks.max(1) as usize;
        Ok(most.min(each.saturating_sub(1024)).saturating_sub(kernel.shared))
    });
    // SAFETY: the caller's place for a result.
    unsafe { give_found(bytes, found) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernel(
    function: Handle,
    grid_x: u32,
    grid_y: u32,
    grid_z: u32,
    block_x: u32,
    block_y: u32,
    block_z: u32,
    shared: u32,
    _stream: Handle,
    parameters: *const *const c_void,
    extra: *const *const c_void,
) -> Status {
    if !extra.is_null() {
        return NOT_SUPPORTED;
    }
    let size = Size { grid: [grid_x, grid_y, grid_z], block: [block_x, block_y, block_z], shared };
    let found = look(function, |function, kernel| Ok((function.clone(), kernel.clone())));
    let (function, kernel) = match found {
        Ok(found) => found,
        Err(status) => return status,
    };
    let mut values = vec![0u8; kernel.parameters.last().map_or(0, |(at, size)| at + size)];
    if parameters.is_null() && !values.is_empty() {
        return INVALID_VALUE;
    }
    for (number, (at, size)) in kernel.parameters.iter().enumerate() {
        // SAFETY: the caller promises a pointer for every parameter of the kernel, to a value of its size.
        unsafe {
            let value = *parameters.add(number);
            if value.is_null() {
                return INVALID_VALUE;
            }
            values[*at..].as_mut_ptr().copy_from_nonoverlapping(value.cast(), *size);
        }
    }
    status(healthy(|driver| {
        match driver.device.launch(&function.module, &kernel, size, &values, function.shared_max) {
            Ok(_) => Ok(()),
            Err(LaunchError::Refused(message)) => {
                eprintln!("PTX simulator: launch refused: {message}");
                Err(if kernel.threads.is_some() { OUT_OF_RESOURCES } else { INVALID_VALUE })
            }
            Err(LaunchError::Fault(fault)) => {
                eprintln!("PTX simulator: {fault}");
                driver.failed =
                    Some(if fault.kind == Kind::Address { ILLEGAL_ADDRESS } else { LAUNCH_FAILED });
                Ok(())
            }
        }
    }))
}
