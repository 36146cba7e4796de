//! Where single precision is computed: on the processor or on a GPU. Chosen once, at the edge of the program: a verb
//! matches a [`Place`] and hands its backend to code that is generic over the seam.

use std::io::Write;

use anyhow::{Context, Result, bail};
use nearfar_core::kernel::fast::Fast;
use nearfar_cuda::{Cuda, Error, Precision};

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
    /// installed is not used; a GPU that was asked for and is not there is an error with the reason. `precision` is that
    /// of a network's products: whoever asks for tf32 gets a GPU or an error.
    pub fn open(device: Device, precision: Precision, threads: usize) -> Result<Self> {
        let cpu = || -> Result<Self> {
            let mut fast = Fast::new(threads).context("cannot start the threads")?;
            if precision == Precision::Bf16 {
                fast = fast.with_bf16();
                if !fast.tile_units() {
                    note(
                        "this processor has no tile units (AMX): bf16 takes longer on it than --precision single, a \
                         cnn two to three times as long",
                    );
                }
            }
            Ok(Self::Cpu(Box::new(fast)))
        };
        let gpu = |cuda: Cuda| Ok(Self::Gpu(Box::new(cuda.with_precision(precision))));
        let tensor_cores = precision == Precision::Tf32;
        match device {
            Device::Cpu if tensor_cores => bail!(
                "--precision {precision} needs the tensor cores of a GPU, and --device cpu has none: leave one of the \
                 two out"
            ),
            Device::Cpu => cpu(),
            Device::Cuda(ordinal) => gpu(Cuda::new(ordinal)?),
            Device::Auto => match Cuda::new(0) {
                Ok(cuda) => gpu(cuda),
                Err(error) if tensor_cores => bail!(
                    "--precision {precision} needs the tensor cores of a GPU, and none can be used here ({error}): \
                     leave it out to compute on the CPU"
                ),
                // A machine without a driver is an ordinary machine: nobody there waits for a GPU.
                Err(Error::NoDriver) => cpu(),
                Err(error) => {
                    note(&format!("computing on the CPU: {error}"));
                    cpu()
                }
            },
        }
    }

    /// For reports: `cpu`, `cpu bf16`, `cuda:0`, `cuda:0 bf16`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Cpu(fast) if fast.bf16() => format!("cpu {}", Precision::Bf16),
            Self::Cpu(_) => "cpu".into(),
            Self::Gpu(cuda) if cuda.precision() == Precision::Single => cuda.name().into(),
            Self::Gpu(cuda) => format!("{} {}", cuda.name(), cuda.precision()),
        }
    }
}

/// A line on stderr that is no error.
fn note(text: &str) {
    // If stderr is gone, so is who would read this.
    let _ = writeln!(std::io::stderr(), "note: {text}");
}
