//! The device as safe Rust: memory, modules and launches. The driver puts the C interface of CUDA in front of it.

use crate::exec::{self, Launch};
use crate::fault::{Fault, Kind, LoadError, Trouble};
use crate::memory::Global;
use crate::module::{Kernel, Module};

/// The limits of the modelled device, those of compute capability 9.0 where programs depend on them.
pub(crate) const THREADS_MAX: u32 = 1024;
pub(crate) const BLOCK_MAX: [u32; 3] = [1024, 1024, 64];
pub(crate) const GRID_MAX: [u32; 3] = [0x7fff_ffff, 65_535, 65_535];
/// Shared memory without asking, and with `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
pub(crate) const SHARED_MAX: usize = 48 * 1024;
pub(crate) const SHARED_OPT_IN_MAX: usize = 227 * 1024;

/// Instructions of one thread, unless set otherwise.
const BUDGET: u64 = 200_000_000;

/// The size of a launch.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
}

/// Why a launch did not succeed.
#[derive(Debug)]
pub enum LaunchError {
    /// It never began: the sizes are not possible.
    Refused(String),
    /// It failed on the way.
    Fault(Box<Fault>),
}

impl core::fmt::Display for LaunchError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Refused(message) => write!(f, "launch refused: {message}"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for LaunchError {}

/// A device.
pub struct Device {
    pub(crate) global: Global,
    /// Instructions a thread may execute.
    pub budget: u64,
    /// Cores that run blocks.
    pub cores: usize,
}

/// A number of the environment.
pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl Device {
    /// A device with so many bytes of memory; `PTX_SIM_BUDGET` and `PTX_SIM_CORES` set the other limits.
    #[must_use]
    pub fn new(memory: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            global: Global::new(memory),
            budget: setting("PTX_SIM_BUDGET").unwrap_or(BUDGET),
            cores: setting("PTX_SIM_CORES").map_or(cores, |cores| cores.max(1) as usize),
        }
    }

    /// Loads PTX text. An unknown instruction is an error that names its line.
    ///
    /// ```
    /// let mut device = ptx_sim::Device::new(1 << 20);
    /// let text = ".version 8.0\n.target sm_80\n.visible .entry k()\n{\n  frobnicate.u32;\n}";
    /// assert_eq!(device.load(text).err().unwrap().to_string(), "PTX line 5: unknown instruction frobnicate.u32");
    /// ```
    ///
    /// # Errors
    /// What is not PTX, and what the interpreter does not model.
    pub fn load(&mut self, text: &str) -> Result<Module, LoadError> {
        Module::load(text, &mut self.global)
    }

    /// Allocates memory; `None` when there is no room. Its bytes count as never written.
    #[must_use]
    pub fn allocate(&mut self, size: usize) -> Option<u64> {
        self.global.allocate(size)
    }

    /// Frees memory; whether the address was that of an allocation.
    pub fn free(&mut self, address: u64) -> bool {
        self.global.free(address)
    }

    /// Allocations that were not freed, variables of modules among them.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.global.live()
    }

    /// Copies to the device.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn write(&self, address: u64, data: &[u8]) -> Result<(), String> {
        self.global.write(address, data).map_err(message)
    }

    /// Copies from the device.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn read(&self, address: u64, data: &mut [u8]) -> Result<(), String> {
        self.global.read(address, data).map_err(message)
    }

    /// Fills with `count` copies of a pattern.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn fill(&self, address: u64, pattern: &[u8], count: usize) -> Result<(), String> {
        self.global.fill(address, pattern, count).map_err(message)
    }

    /// Copies on the device.
    ///
    /// # Errors
    /// What is wrong with the addresses.
    pub fn copy(&self, to: u64, from: u64, size: usize) -> Result<(), String> {
        self.global.copy(to, from, size).map_err(message)
    }

    /// Runs a kernel; `parameters` holds the values at the places that [`Kernel::parameters`] names. Returns how many
    /// instructions were executed.
    ///
    /// # Errors
    /// Sizes that are not possible, and the first fault on the way.
    pub fn launch(
        &mut self,
        module: &Module,
        kernel: &Kernel,
        size: Size,
        parameters: &[u8],
        shared_max: usize,
    ) -> Result<u64, LaunchError> {
        check(kernel, size, parameters, shared_max).map_err(LaunchError::Refused)?;
        let blocks = size.grid.iter().map(|&count| u64::from(count)).product();
        if !Global::can_watch(blocks, module.line_count()) {
            return Err(LaunchError::Refused(
                "more blocks or lines than can be watched for races".to_owned(),
            ));
        }
        self.global.begin_launch(kernel.grain_global);
        let launch = Launch {
            module,
            kernel,
            global: &self.global,
            grid: size.grid,
            block: size.block,
            dynamic: size.shared,
            parameters,
            budget: self.budget,
            cores: self.cores,
        };
        exec::run(&launch).map_err(LaunchError::Fault)
    }
}

// A failure of memory arrives boxed.
#[allow(clippy::boxed_local)]
fn message(trouble: Box<Trouble>) -> String {
    debug_assert_eq!(trouble.kind, Kind::Address);
    trouble.message
}

/// Refuses sizes that a device refuses.
fn check(kernel: &Kernel, size: Size, parameters: &[u8], shared_max: usize) -> Result<(), String> {
    for axis in 0..3 {
        if size.grid[axis] == 0 || size.grid[axis] > GRID_MAX[axis] {
            return Err(format!("{}: a grid of {:?} blocks", kernel.name, size.grid));
        }
        if size.block[axis] == 0 || size.block[axis] > BLOCK_MAX[axis] {
            return Err(format!("{}: a block of {:?} threads", kernel.name, size.block));
        }
    }
    let threads: u32 = size.block.iter().product();
    if threads > THREADS_MAX {
        return Err(format!("{}: {threads} threads in a block, {THREADS_MAX} are possible", kernel.name));
    }
    if let Some((limit, exact)) = kernel.threads {
        let limit_threads = limit.iter().fold(1u32, |product, &count| product.saturating_mul(count));
        if threads > limit_threads || exact && limit != size.block {
            return Err(format!(
                "{}: {:?} threads in a block, it was compiled for {limit:?}",
                kernel.name, size.block
            ));
        }
    }
    let shared = kernel.shared + size.shared as usize;
    if shared > SHARED_OPT_IN_MAX || size.shared as usize > shared_max && shared > SHARED_MAX {
        let limit = SHARED_MAX.max(shared_max);
        return Err(format!(
            "{}: too much shared memory: {shared} bytes in a block, {limit} are allowed",
            kernel.name
        ));
    }
    let needed = kernel.parameters.last().map_or(0, |(at, size)| at + size);
    if parameters.len() < needed {
        return Err(format!("{}: {} bytes of parameters, it takes {needed}", kernel.name, parameters.len()));
    }
    Ok(())
}
