//! The one unsafe door: everything that Rust cannot check about the driver happens in this file.
//!
//! [`launch`](Cuda::launch) starts a kernel after holding the arguments against the signature in its PTX. What is left
//! to trust is that a kernel stays inside its arrays when the counts it is given fit them: each safe operation takes
//! its arrays with [`Buffer::read`] and [`Buffer::write`], which panic if the buffer is shorter than the counts need,
//! and each kernel guards its indices by the same counts.
#![allow(unsafe_code)]

use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaSlice, CudaStream, CudaView, CudaViewMut, DeviceSlice, DriverError, LaunchConfig,
    PushKernelArg, sys,
};

use crate::device::Cuda;
use crate::error::Error;
use crate::kernels::Kind;
#[cfg(doc)]
use crate::memory::Buffer;

/// Whether there is a driver library; to be asked before anything else, since every other call panics without one.
pub(crate) fn library_is_present() -> bool {
    // SAFETY: opens the library by name and closes it; its initialisers are the driver's own.
    unsafe { sys::is_culib_present() }
}

/// CUDA version that the driver serves, as 1000 major + 10 minor.
pub(crate) fn driver_version() -> Result<i32, DriverError> {
    let mut version = 0;
    // SAFETY: the library is present (asked before), and the pointer is to a live integer.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    Ok(version)
}

/// The one stream of a context, without the events that cudarc would keep for each array.
pub(crate) fn single_stream(context: &Arc<CudaContext>) -> Result<Arc<CudaStream>, DriverError> {
    // SAFETY: events order work between streams. An array lives on the one stream made here: its `Cuda` refuses arrays
    // of other streams (`check_own`), and it is freed on that stream too.
    unsafe { context.disable_event_tracking() };
    context.new_stream()
}

/// The words of an array as the numbers that they are.
pub(crate) fn as_floats(words: &CudaSlice<u32>) -> CudaView<'_, f32> {
    // SAFETY: a word and a number are of one size, and every pattern is a number.
    unsafe { words.transmute(words.len()) }.expect("as many numbers as words")
}

/// The first `len` words as numbers, to be written; panics if there are fewer.
pub(crate) fn as_floats_mut(words: &mut CudaSlice<u32>, len: usize) -> CudaViewMut<'_, f32> {
    // SAFETY: as in `as_floats`, and every number is a pattern of a word.
    unsafe { words.transmute_mut(len) }.expect("no more numbers than words")
}

/// One argument of a kernel.
pub(crate) enum Arg<'a> {
    Floats(CudaView<'a, f32>),
    FloatsMut(CudaViewMut<'a, f32>),
    Doubles(CudaView<'a, f64>),
    DoublesMut(CudaViewMut<'a, f64>),
    Words(CudaView<'a, u32>),
    WordsMut(CudaViewMut<'a, u32>),
    Count(u32),
    Number(f32),
}

/// Arguments are made from what they hold.
macro_rules! arg_from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl<'a> From<$from> for Arg<'a> {
            fn from(value: $from) -> Self {
                Self::$variant(value)
            }
        })*
    };
}
arg_from! {
    CudaView<'a, f32> => Floats, CudaViewMut<'a, f32> => FloatsMut,
    CudaView<'a, f64> => Doubles, CudaViewMut<'a, f64> => DoublesMut,
    CudaView<'a, u32> => Words, CudaViewMut<'a, u32> => WordsMut,
    u32 => Count, f32 => Number,
}

impl Arg<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Count(_) => Kind::Count,
            Self::Number(_) => Kind::Number,
            _ => Kind::Pointer,
        }
    }

    /// The stream that an array belongs to.
    fn stream(&self) -> Option<&Arc<CudaStream>> {
        match self {
            Self::Floats(view) => Some(view.stream()),
            Self::FloatsMut(view) => Some(view.stream()),
            Self::Doubles(view) => Some(view.stream()),
            Self::DoublesMut(view) => Some(view.stream()),
            Self::Words(view) => Some(view.stream()),
            Self::WordsMut(view) => Some(view.stream()),
            Self::Count(_) | Self::Number(_) => None,
        }
    }
}

/// Blocks of a launch in each direction, and threads of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) blocks: (u32, u32, u32),
    pub(crate) threads: (u32, u32),
}

impl Grid {
    /// Threads of a block that works number by number.
    const POINTS: u32 = 256;

    /// Numbers that one thread of a pointwise kernel takes.
    const EACH: u32 = 4;

    /// A thread for each few of `count` numbers: as `Span` in `kernels/common.cuh`.
    pub(crate) fn spans(count: u32) -> Self {
        Self { blocks: (count.div_ceil(Self::POINTS * Self::EACH), 1, 1), threads: (Self::POINTS, 1) }
    }

    /// Numbers of a block that joins sums, and threads that share each: GROUP_X and GROUP_Y in `kernels/common.cuh`.
    pub(crate) const GROUP: (u32, u32) = (32, 8);

    /// A group of threads for each of `count` sums.
    pub(crate) fn groups(count: u32) -> Self {
        Self { blocks: (count.div_ceil(Self::GROUP.0), 1, 1), threads: Self::GROUP }
    }

    /// One thread for each of `count` numbers.
    pub(crate) fn points(count: u32) -> Self {
        Self { blocks: (count.div_ceil(Self::POINTS), 1, 1), threads: (Self::POINTS, 1) }
    }
}

impl Cuda {
    /// Queues a kernel. A grid without blocks is no work.
    ///
    /// Panics if the arguments are not those that the kernel declares, or an array is of another [`Cuda`].
    pub(crate) fn launch<const N: usize>(
        &self,
        kernel: &'static str,
        grid: Grid,
        mut args: [Arg<'_>; N],
    ) -> Result<(), Error> {
        let failed = |source: DriverError| Error::Launch { kernel, source: source.into() };
        let loaded = self.kernel(kernel)?;
        assert!(
            loaded.declaration.signature.iter().copied().eq(args.iter().map(Arg::kind)),
            "{kernel} takes {:?}",
            loaded.declaration.signature
        );
        args.iter().filter_map(Arg::stream).for_each(|stream| self.check_own(stream));
        assert_eq!(grid.threads.0 * grid.threads.1, loaded.declaration.threads, "threads of {kernel}");
        let (x, y, z) = grid.blocks;
        if x == 0 || y == 0 || z == 0 {
            return Ok(());
        }
        let mut builder = self.stream().launch_builder(&loaded.function);
        for arg in &mut args {
            match arg {
                Arg::Floats(view) => builder.arg(&*view),
                Arg::FloatsMut(view) => builder.arg(view),
                Arg::Doubles(view) => builder.arg(&*view),
                Arg::DoublesMut(view) => builder.arg(view),
                Arg::Words(view) => builder.arg(&*view),
                Arg::WordsMut(view) => builder.arg(view),
                Arg::Count(count) => builder.arg(&*count),
                Arg::Number(number) => builder.arg(&*number),
            };
        }
        let config = LaunchConfig {
            grid_dim: grid.blocks,
            block_dim: (grid.threads.0, grid.threads.1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the kernel is from our own PTX; number and kinds of its arguments were compared with its signature;
        // its arrays are of this stream, so what is queued before and after them is in order; and the operation that calls took views as long as the counts say (see the head of this file).
        unsafe { builder.launch(config) }.map_err(failed)?;
        Ok(())
    }
}
