//! The device: probe, stream, kernels as they are first used, and scratch memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::CUdevice_attribute;
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream};
use cudarc::nvrtc::Ptx;

use crate::error::{Error, failed_to};
use crate::kernels::{self, Declaration, FILES};
use crate::launch;
use crate::memory::Scratch;
use crate::precision::Precision;
use crate::traffic::{Meter, Traffic};

/// CUDA 12.0, the first that reads PTX 8.0: driver 525.
const DRIVER_NEEDED: i32 = 12_000;
/// Ampere.
const CHIP_NEEDED: (i32, i32) = (8, 0);

/// A kernel ready to start.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) function: CudaFunction,
    pub(crate) declaration: Arc<Declaration>,
}

/// Modules and kernels that were used so far.
#[derive(Debug, Default)]
struct Cache {
    modules: [Option<Arc<CudaModule>>; FILES.len()],
    kernels: HashMap<&'static str, Loaded>,
}

/// An NVIDIA GPU as a backend.
///
/// An error that a freed buffer met is kept and returned by the next call.
///
/// ```
/// use nearfar_cuda::{Cuda, Error};
/// // Where the machine has no GPU this is an error that says so, never a panic.
/// if let Err(error) = Cuda::new(0) {
///     assert!(!matches!(error, Error::Launch { .. }), "{error}");
/// }
/// ```
#[derive(Debug)]
pub struct Cuda {
    name: String,
    device: String,
    precision: Precision,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// Whether the device may still read the host's memory after a copy from there was queued.
    reads_host_memory: bool,
    cache: Mutex<Cache>,
    scratch: Mutex<Scratch>,
    /// The last batch as it was sent.
    packed: Mutex<Vec<u32>>,
    meter: Meter,
}

/// CUDA version that the driver of this machine serves, as (major, minor); `None` where there is no driver, or it does
/// not say.
///
/// ```
/// // A device is never there without its driver.
/// assert!(nearfar_cuda::driver_version().is_some() || nearfar_cuda::Cuda::new(0).is_err());
/// ```
#[must_use]
pub fn driver_version() -> Option<(i32, i32)> {
    let version = launch::library_is_present().then(launch::driver_version)?.ok()?;
    Some((version / 1000, version % 1000 / 10))
}

impl Cuda {
    /// Opens the GPU with this number, counted from 0 as `nvidia-smi` and CUDA_VISIBLE_DEVICES do.
    ///
    /// Errors: no driver, a driver older than 525, no such GPU, a chip before Ampere, or a driver that fails.
    pub fn new(ordinal: usize) -> Result<Self, Error> {
        if !launch::library_is_present() {
            return Err(Error::NoDriver);
        }
        let found = launch::driver_version().map_err(failed_to("say its version"))?;
        if found < DRIVER_NEEDED {
            return Err(Error::DriverTooOld { found, needed: DRIVER_NEEDED });
        }
        let count = match CudaContext::device_count() {
            Ok(count) => usize::try_from(count).unwrap_or(0),
            Err(error) => match failed_to("start")(error) {
                Error::Driver { source, .. } if source.is_no_device() => 0,
                other => return Err(other),
            },
        };
        if ordinal >= count {
            return Err(Error::NoDevice { ordinal, count });
        }
        let context = CudaContext::new(ordinal).map_err(failed_to("open the GPU"))?;
        let found = context.compute_capability().map_err(failed_to("describe the GPU"))?;
        if found < CHIP_NEEDED {
            return Err(Error::ChipTooOld { found, needed: CHIP_NEEDED });
        }
        let device = context.name().map_err(failed_to("name the GPU"))?;
        let stream = launch::single_stream(&context).map_err(failed_to("make a stream"))?;
        // Where the driver does not say, the slow answer is the safe one.
        let reads_host_memory = !context
            .attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS)
            .is_ok_and(|answer| answer == 0);
        Ok(Self {
            name: format!("cuda:{ordinal}"),
            device,
            precision: Precision::default(),
            context,
            stream,
            reads_host_memory,
            cache: Mutex::default(),
            scratch: Mutex::default(),
            packed: Mutex::default(),
            meter: Meter::default(),
        })
    }

    /// Short name for reports: `cuda:0`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the driver calls the GPU.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The same GPU with the products of networks in this precision: [`Precision::Single`] if never asked.
    ///
    /// ```
    /// use nearfar_cuda::{Cuda, Precision};
    /// if let Ok(cuda) = Cuda::new(0) {
    ///     assert_eq!(cuda.precision(), Precision::Single);
    ///     assert_eq!(cuda.with_precision(Precision::Bf16).precision(), Precision::Bf16);
    /// }
    /// ```
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// What [`with_precision`](Self::with_precision) chose.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// What was copied to and from the GPU so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.meter.read()
    }

    /// What the driver says of the GPU.
    pub(crate) fn attribute(&self, attribute: CUdevice_attribute) -> Option<i32> {
        self.context.attribute(attribute).ok()
    }

    pub(crate) fn packed(&self) -> &Mutex<Vec<u32>> {
        &self.packed
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Waits until everything that was queued is done.
    ///
    /// Errors: what a kernel met meanwhile.
    pub fn synchronize(&self) -> Result<(), Error> {
        self.stream.synchronize().map_err(failed_to("finish the work queued on the GPU"))
    }

    /// To be called after a copy from ordinary host memory was queued, before that memory may change.
    ///
    /// Most drivers have read it by then. On a device that reaches such memory by itself the copy may run later.
    pub(crate) fn host_memory_was_read(&self) -> Result<(), Error> {
        if self.reads_host_memory { self.synchronize() } else { Ok(()) }
    }

    pub(crate) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Panics if an array lives on another stream than this, and so belongs to another [`Cuda`]: nothing would order its
    /// uses there and here.
    pub(crate) fn check_own(&self, stream: &Arc<CudaStream>) {
        assert!(
            Arc::ptr_eq(stream, &self.stream),
            "this array was made by another `Cuda` than {}",
            self.name
        );
    }

    /// Memory for partial sums. Held while an operation queues its kernels; since all of them run in order on one
    /// stream, the next operation may have it as soon as it is given back.
    pub(crate) fn scratch(&self) -> MutexGuard<'_, Scratch> {
        // Scratch is valid after any panic: it only ever grows.
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kernel by name, its module loaded at first use.
    pub(crate) fn kernel(&self, name: &'static str) -> Result<Loaded, Error> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = cache.kernels.get(name) {
            return Ok(loaded.clone());
        }
        let declaration = Arc::new(kernels::declaration(name));
        let module = match &cache.modules[declaration.file] {
            Some(module) => module.clone(),
            None => self
                .context
                .load_module(Ptx::from_src(FILES[declaration.file]))
                .map_err(failed_to("compile the embedded kernels"))?,
        };
        let function = module.load_function(name).map_err(failed_to("find a kernel it compiled"))?;
        cache.modules[declaration.file] = Some(module);
        let loaded = Loaded { function, declaration };
        cache.kernels.insert(name, loaded.clone());
        Ok(loaded)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use cudarc::driver::{DriverError, sys::CUresult};

    /// The device, or `None` after saying why there is none; with `REQUIRE_GPU=1` none is a failure.
    pub(crate) fn device() -> Option<Cuda> {
        match Cuda::new(0) {
            Ok(cuda) => Some(cuda),
            Err(error) => {
                assert!(std::env::var("REQUIRE_GPU").as_deref() != Ok("1"), "no CUDA device ({error})");
                println!("skipped: no CUDA device ({error})");
                None
            }
        }
    }

    #[test]
    fn what_a_freed_buffer_met_is_returned_once_by_the_next_call() {
        let Some(cuda) = device() else { return };
        // As a drop records it, which has nobody to tell.
        let failure = DriverError(CUresult::CUDA_ERROR_INVALID_HANDLE);
        cuda.context.record_err::<()>(Err(failure));
        match cuda.zeros(1) {
            Err(Error::Driver { source, .. }) => assert_eq!(source.code(), 400),
            other => panic!("{other:?}"),
        }
        assert!(cuda.zeros(1).is_ok());
    }

    #[test]
    fn every_kernel_of_the_files_is_found_by_the_driver() {
        let Some(cuda) = device() else { return };
        for text in FILES {
            for part in text.split(".entry ").skip(1) {
                let name = part.split('(').next().expect("split gives one part");
                cuda.kernel(name).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }

    #[test]
    fn arguments_that_a_kernel_does_not_take_do_not_reach_it() {
        let Some(cuda) = device() else { return };
        let buffer = cuda.zeros(4).unwrap();
        let wrong = || cuda.launch("relu", launch::Grid::spans(4), [buffer.read(4).into(), 4_u32.into()]);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(wrong)).is_err());
    }
}
