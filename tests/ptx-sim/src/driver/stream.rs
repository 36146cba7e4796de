//! Streams and events. Everything has happened when a call returns, so they only keep handles and times.

use core::ffi::c_void;
use std::time::Instant;

use super::state::{healthy, status, with};
use super::{Handle, INVALID_HANDLE, NOT_SUPPORTED, SUCCESS, Status, give, give_found};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreate(stream: *mut Handle, _flags: u32) -> Status {
    // SAFETY: the caller's place for a result.
    unsafe { cuStreamCreateWithPriority(stream, 0, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreateWithPriority(
    stream: *mut Handle,
    _flags: u32,
    priority: i32,
) -> Status {
    let made = healthy(|driver| {
        let handle = driver.handle();
        driver.streams.insert(handle, priority);
        Ok(handle as Handle)
    });
    // SAFETY: the caller's place for a result.
    unsafe { give_found(stream, made) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamDestroy_v2(stream: Handle) -> Status {
    let found = with(|driver| driver.streams.remove(&(stream as usize)).is_some());
    if found { SUCCESS } else { INVALID_HANDLE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(_stream: Handle) -> Status {
    status(healthy(|_| Ok(())))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamQuery(_stream: Handle) -> Status {
    status(healthy(|_| Ok(())))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWaitEvent(_stream: Handle, event: Handle, _flags: u32) -> Status {
    status(healthy(|driver| driver.events.get(&(event as usize)).map(|_| ()).ok_or(INVALID_HANDLE)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamIsCapturing(_stream: Handle, capturing: *mut i32) -> Status {
    // SAFETY: the caller's place for a result.
    unsafe { give(capturing, 0) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCapture_v2(_stream: Handle, _mode: i32) -> Status {
    NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchHostFunc(
    _stream: Handle,
    function: Option<unsafe extern "C" fn(*mut c_void)>,
    data: *mut c_void,
) -> Status {
    let result = healthy(|_| Ok(()));
    if let (Ok(()), Some(function)) = (result, function) {
        // SAFETY: the caller's function with the caller's data. The driver is not locked, as it may call it.
        unsafe { function(data) };
    }
    status(result)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventCreate(event: *mut Handle, _flags: u32) -> Status {
    let made = healthy(|driver| {
        let handle = driver.handle();
        driver.events.insert(handle, None);
        Ok(handle as Handle)
    });
    // SAFETY: the caller's place for a result.
    unsafe { give_found(event, made) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventDestroy_v2(event: Handle) -> Status {
    let found = with(|driver| driver.events.remove(&(event as usize)).is_some());
    if found { SUCCESS } else { INVALID_HANDLE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecord(event: Handle, _stream: Handle) -> Status {
    status(healthy(|driver| {
        let place = driver.events.get_mut(&(event as usize)).ok_or(INVALID_HANDLE)?;
        *place = Some(Instant::now());
        Ok(())
    }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventSynchronize(event: Handle) -> Status {
    status(healthy(|driver| driver.events.get(&(event as usize)).map(|_| ()).ok_or(INVALID_HANDLE)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventQuery(event: Handle) -> Status {
    cuEventSynchronize(event)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime(milliseconds: *mut f32, start: Handle, end: Handle) -> Status {
    let time = healthy(|driver| {
        let time =
            |event: Handle| driver.events.get(&(event as usize)).copied().flatten().ok_or(INVALID_HANDLE);
        Ok(time(end)?.saturating_duration_since(time(start)?).as_secs_f32() * 1000.0)
    });
    // SAFETY: the caller's place for a result.
    unsafe { give_found(milliseconds, time) }
}
