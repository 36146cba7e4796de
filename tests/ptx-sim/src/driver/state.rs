//! What the driver remembers between calls. No unsafe code.

use std::alloc::Layout;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use super::{INVALID_HANDLE, Status};
use crate::device::{Device, SHARED_MAX, setting};
use crate::module::Module;

/// Memory of the device unless `PTX_SIM_MEMORY` says otherwise.
const MEMORY: u64 = 4 << 30;

/// A kernel that was asked for.
#[derive(Clone)]
pub(super) struct Function {
    pub(super) module: Arc<Module>,
    pub(super) name: String,
    /// Dynamic shared memory that was asked for.
    pub(super) shared_max: usize,
}

/// The driver.
pub(super) struct Driver {
    pub(super) device: Device,
    /// What a launch left behind: every call returns it.
    pub(super) failed: Option<Status>,
    pub(super) retained: u32,
    pub(super) modules: HashMap<usize, Arc<Module>>,
    pub(super) functions: HashMap<usize, Function>,
    pub(super) events: HashMap<usize, Option<Instant>>,
    pub(super) streams: HashMap<usize, i32>,
    pub(super) pinned: HashMap<usize, Layout>,
    next: usize,
}

impl Driver {
    fn new() -> Self {
        Self {
            device: Device::new(setting("PTX_SIM_MEMORY").unwrap_or(MEMORY) as usize),
            failed: None,
            retained: 0,
            modules: HashMap::new(),
            functions: HashMap::new(),
            events: HashMap::new(),
            streams: HashMap::new(),
            pinned: HashMap::new(),
            next: 0x1000,
        }
    }

    /// A number for a new handle; none is used twice.
    pub(super) fn handle(&mut self) -> usize {
        self.next += 16;
        self.next
    }

    /// The primary context is gone: so is its memory, and what had failed. Host memory stays: it is the caller's.
    pub(super) fn reset(&mut self) {
        for module in self.modules.values() {
            module.unload(&mut self.device.global);
        }
        if setting("PTX_SIM_LEAKS").is_some_and(|wanted| wanted != 0) {
            let left = self.device.allocations();
            eprintln!("PTX simulator: {left} allocations were not freed when the context was released");
        }
        let (pinned, next) = (core::mem::take(&mut self.pinned), self.next);
        *self = Self { pinned, next, ..Self::new() };
    }

    pub(super) fn add_function(&mut self, module: Handle, name: &str) -> Result<usize, Status> {
        let module = self.modules.get(&module).cloned().ok_or(INVALID_HANDLE)?;
        module.kernel(name).ok_or(super::NOT_FOUND)?;
        let handle = self.handle();
        self.functions.insert(handle, Function { module, name: name.to_owned(), shared_max: SHARED_MAX });
        Ok(handle)
    }
}

/// A handle as the driver keeps it.
pub(super) type Handle = usize;

static DRIVER: OnceLock<Mutex<Driver>> = OnceLock::new();

/// The driver, one caller at a time.
pub(super) fn with<T>(work: impl FnOnce(&mut Driver) -> T) -> T {
    let mutex = DRIVER.get_or_init(|| Mutex::new(Driver::new()));
    // A panic while it was held has failed its own caller; the others may go on.
    work(&mut mutex.lock().unwrap_or_else(|poison| poison.into_inner()))
}

/// The same, unless a launch has failed before.
pub(super) fn healthy<T>(work: impl FnOnce(&mut Driver) -> Result<T, Status>) -> Result<T, Status> {
    with(|driver| match driver.failed {
        Some(status) => Err(status),
        None => work(driver),
    })
}

/// As a status.
pub(super) fn status(result: Result<(), Status>) -> Status {
    result.err().unwrap_or(super::SUCCESS)
}
