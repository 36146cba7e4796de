//! A PTX interpreter, and on top of it a stand-in for the CUDA driver library.
//!
//! Kernels that ship as PTX run here instruction by instruction, with every address, every uninitialised byte, every
//! race and every barrier looked at. As `libcuda.so` it serves programs that load the driver by name, so launch code
//! runs as in production. The README beside this crate says what is modelled and what is not.
//!
//! In the order of a kernel's life: [`Device::load`] reads text (`parse`), decodes it once (`decode` to `op`, with the
//! functions of `arith`), [`Device::launch`] executes it (`exec`) on watched memory (`memory`), and a [`Fault`] says
//! what went wrong and where. `driver` is the C interface, and the only place with unsafe code.

#![deny(unsafe_code)]

mod arith;
mod decode;
mod device;
mod driver;
mod exec;
mod fault;
mod memory;
mod module;
mod op;
mod parse;

pub use arith::{
    Alu, Convert, Rounding, Test, bf16_of, comparison, f16_of, operation, tf32_of, widen_bf16, widen_f16,
};
pub use device::{Device, LaunchError, Size};
pub use fault::{Fault, Kind, LoadError};
pub use module::{Kernel, Module};
