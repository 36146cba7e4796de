//! Nearfar on an NVIDIA GPU: the seam of `nearfar-core` over kernels that travel inside this library.
//!
//! Building needs neither toolkit nor driver. The kernels are PTX text, made beforehand (`kernels/build.sh`) and
//! embedded; the driver, 525 or later, is opened by name when [`Cuda::new`] is called and compiles them for the chip
//! at hand. Where there is none, [`Cuda::new`] says so with an [`Error`] and nothing else happens.
//!
//! ```
//! match nearfar_cuda::Cuda::new(0) {
//!     Ok(cuda) => println!("{} is {}", cuda.name(), cuda.device()),
//!     Err(error) => println!("no GPU: {error}"),
//! }
//! ```
//!
//! All work of one [`Cuda`] is queued on one stream, in the order of the calls. Work is cut by shape alone and sums are
//! joined in a fixed order, so two runs give the same bytes, on every chip. Numbers are f32, products and sums of
//! products too; statistics and what joins partial sums are f64. [`Precision::Tf32`] and [`Precision::Bf16`], for
//! whoever asks for one, multiply on tensor cores instead, which costs digits and sameness across kinds of chips.

#![deny(unsafe_code)]

mod backend;
mod batch;
mod boundary;
mod conv;
mod device;
mod draw;
mod error;
mod groups;
mod kernels;
mod launch;
mod limits;
mod linear;
mod memory;
mod norm;
mod normalize;
mod optim;
mod pairs;
mod pointwise;
mod pool;
mod precision;
mod rows;
mod search;
mod traffic;
mod tuples;
mod words;

pub use device::{Cuda, driver_version};
pub use draw::Draws;
pub use error::{DriverFailure, Error};
pub use limits::Limits;
pub use memory::{Buffer, Indices};
pub use precision::Precision;
pub use traffic::Traffic;
