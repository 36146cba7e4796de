//! Where single precision is computed: on the processor or on a GPU. Chosen once, at the edge of the program: a verb
//! matches a [`Place`] and hands its backend to code that is generic over the seam.

use std::io::Write;

use anyhow::{Context, Result};
use nearfar_core::kernel::fast::Fast;
use nearfar_cuda::{Cuda, Error};

use crate::args::Device;

/// A backend that is there.
#[derive(Debug)]
pub enum Place {
    /// The processor.
    Cpu(Box<Fast>),
    /// A GPU.
    Gpu(Box<Cuda>),
}

impl Place {
    /// What `device` names. `auto` is the first GPU, or else the processor, and says on stderr why a GPU whose driver is
    /// installed is not used; a GPU that was asked for and is not there is an error with the reason.
    pub fn open(device: Device, threads: usize) -> Result<Self> {
        let cpu = || -> Result<Self> {
            Ok(Self::Cpu(Box::new(Fast::new(threads).context("cannot start the threads")?)))
        };
        match device {
            Device::Cpu => cpu(),
            Device::Cuda(ordinal) => Ok(Self::Gpu(Box::new(Cuda::new(ordinal)?))),
            Device::Auto => match Cuda::new(0) {
                Ok(cuda) => Ok(Self::Gpu(Box::new(cuda))),
                // A machine without a driver is an ordinary machine: nobody there waits for a GPU.
                Err(Error::NoDriver) => cpu(),
                Err(error) => {
                    // If stderr is gone, so is who would read this.
                    let _ = writeln!(std::io::stderr(), "note: computing on the CPU: {error}");
                    cpu()
                }
            },
        }
    }

    /// For reports: `cpu`, `cuda:0`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu(_) => "cpu",
            Self::Gpu(cuda) => cuda.name(),
        }
    }
}
