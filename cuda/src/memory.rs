//! Arrays on the device: buffers of numbers, indices, and scratch.

use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{
    CudaSlice, CudaView, CudaViewMut, DeviceRepr, DeviceSlice, DriverError, ValidAsZeroBits,
};

use crate::device::Cuda;
use crate::error::{DriverFailure, Error, failed_to};
use crate::groups::Groups;
use crate::words::Words;

/// Numbers on the device.
#[derive(Debug)]
pub struct Buffer(pub(crate) Words);

impl Buffer {
    /// The first `len` numbers; panics if there are fewer.
    pub(crate) fn read(&self, len: usize) -> CudaView<'_, f32> {
        self.0.read_floats(0..len)
    }

    /// The first `len` numbers, to be written; panics if there are fewer, or if they came with a batch.
    pub(crate) fn write(&mut self, len: usize) -> CudaViewMut<'_, f32> {
        self.0.write_floats(len)
    }
}

/// Small unsigned integers on the device.
///
/// The host keeps those that came from there: which samples are of one class is worked out on the host, once for a
/// batch.
#[derive(Debug)]
pub struct Indices {
    device: Words,
    /// The same values, until the device writes others.
    host: Option<Vec<u32>>,
    groups: Mutex<Option<Arc<Groups>>>,
}

impl Indices {
    /// Integers that only the device has.
    pub(crate) fn part(device: Words) -> Self {
        Self { device, host: None, groups: Mutex::default() }
    }

    /// Labels that are on both sides, with their classes.
    pub(crate) fn with_groups(device: Words, host: &[u32], groups: Groups) -> Self {
        Self { device, host: Some(host.to_vec()), groups: Mutex::new(Some(Arc::new(groups))) }
    }

    /// The first `len` integers; panics if there are fewer.
    pub(crate) fn read(&self, len: usize) -> CudaView<'_, u32> {
        self.device.read(0..len)
    }

    /// The first `len` integers, to be written; panics if there are fewer. What the host knew of them is forgotten.
    pub(crate) fn write(&mut self, len: usize) -> CudaViewMut<'_, u32> {
        self.host = None;
        *self.groups.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        self.device.write(len)
    }

    /// The classes of the first `len`, these being labels, and the first `anchors` of them those of the batch.
    pub(crate) fn groups(&self, cuda: &Cuda, anchors: usize, len: usize) -> Result<Arc<Groups>, Error> {
        // The answer is valid after any panic: it is replaced as a whole.
        let mut known = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(groups) = known.as_ref().filter(|groups| groups.counts() == (anchors, len)) {
            return Ok(groups.clone());
        }
        let groups = match &self.host {
            Some(host) => Groups::new(cuda, anchors, &host[..len])?,
            None => {
                let mut host = vec![0; len];
                cuda.fetch(&self.read(len), &mut host)?;
                Groups::new(cuda, anchors, &host)?
            }
        };
        let groups = Arc::new(groups);
        *known = Some(groups.clone());
        Ok(groups)
    }
}

/// Memory for partial sums, kept between operations and replaced by more when an operation asks for more.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    floats: Option<CudaSlice<f32>>,
    doubles: Option<CudaSlice<f64>>,
    report: Option<CudaSlice<u32>>,
    many: Arrays,
    /// A result that goes on to another kernel of the same operation.
    whole: Option<Buffer>,
}

/// Places for arrays of each kind.
#[derive(Debug, Default)]
struct Arrays {
    floats: Vec<Option<CudaSlice<f32>>>,
    doubles: Vec<Option<CudaSlice<f64>>>,
    words: Vec<Option<CudaSlice<u32>>>,
}

/// Several arrays of each kind.
pub(crate) type Views<'a, const F: usize, const D: usize, const W: usize> =
    ([CudaViewMut<'a, f32>; F], [CudaViewMut<'a, f64>; D], [CudaViewMut<'a, u32>; W]);

impl Scratch {
    /// `len` numbers of any value.
    pub(crate) fn floats(&mut self, cuda: &Cuda, len: usize) -> Result<CudaViewMut<'_, f32>, Error> {
        grown(&mut self.floats, cuda, len)
    }

    /// `floats` numbers and `doubles` numbers of any value.
    pub(crate) fn both(
        &mut self,
        cuda: &Cuda,
        floats: usize,
        doubles: usize,
    ) -> Result<(CudaViewMut<'_, f32>, CudaViewMut<'_, f64>), Error> {
        Ok((grown(&mut self.floats, cuda, floats)?, grown(&mut self.doubles, cuda, doubles)?))
    }

    /// Arrays of these lengths, of any values.
    pub(crate) fn arrays<const F: usize, const D: usize, const W: usize>(
        &mut self,
        cuda: &Cuda,
        floats: [usize; F],
        doubles: [usize; D],
        words: [usize; W],
    ) -> Result<Views<'_, F, D, W>, Error> {
        let Arrays { floats: f, doubles: d, words: w } = &mut self.many;
        Ok((grown_all(f, cuda, floats)?, grown_all(d, cuda, doubles)?, grown_all(w, cuda, words)?))
    }

    /// One integer, 0 before what is queued next.
    pub(crate) fn report(&mut self, cuda: &Cuda) -> Result<CudaViewMut<'_, u32>, Error> {
        let mut report = grown(&mut self.report, cuda, 1)?;
        cuda.stream().memset_zeros(&mut report).map_err(failed_to("clear memory"))?;
        Ok(report)
    }
}

fn grown<'a, T: DeviceRepr + ValidAsZeroBits>(
    slot: &'a mut Option<CudaSlice<T>>,
    cuda: &Cuda,
    len: usize,
) -> Result<CudaViewMut<'a, T>, Error> {
    if slot.as_ref().is_none_or(|slice| slice.len() < len) {
        // The old one goes first: it is freed in the order of the stream, after its last use.
        *slot = None;
        *slot = Some(cuda.allocate(len.next_power_of_two())?);
    }
    let slice = slot.as_mut().expect("filled above");
    Ok(slice.slice_mut(..len))
}

fn grown_all<'a, T: DeviceRepr + ValidAsZeroBits, const N: usize>(
    slots: &'a mut Vec<Option<CudaSlice<T>>>,
    cuda: &Cuda,
    lens: [usize; N],
) -> Result<[CudaViewMut<'a, T>; N], Error> {
    let missing = N.saturating_sub(slots.len());
    slots.extend((0..missing).map(|_| None));
    let views: Vec<_> =
        slots.iter_mut().zip(lens).map(|(slot, len)| grown(slot, cuda, len)).collect::<Result<_, _>>()?;
    Ok(views.try_into().unwrap_or_else(|_| unreachable!("one view for each length")))
}

impl Cuda {
    pub(crate) fn allocate<T: DeviceRepr + ValidAsZeroBits>(
        &self,
        len: usize,
    ) -> Result<CudaSlice<T>, Error> {
        // The driver refuses empty arrays.
        let len = len.max(1);
        self.stream().alloc_zeros(len).map_err(|error: DriverError| {
            let source = DriverFailure::from(error);
            if source.is_out_of_memory() {
                Error::OutOfMemory { bytes: len.saturating_mul(size_of::<T>()) }
            } else {
                Error::Driver { what: "allocate memory", source }
            }
        })
    }

    /// Gives `work` a buffer of at least `len` numbers of any value, whose work may use scratch as well: it is taken out
    /// meanwhile, and lost if `work` fails.
    pub(crate) fn with_whole(
        &self,
        len: usize,
        work: impl FnOnce(&mut Buffer) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let kept = self.scratch().whole.take().filter(|buffer| buffer.0.len() >= len);
        let mut buffer = match kept {
            Some(buffer) => buffer,
            None => self.zeros(len.next_power_of_two())?,
        };
        work(&mut buffer)?;
        self.scratch().whole = Some(buffer);
        Ok(())
    }

    /// A buffer of `len` zeros.
    pub fn zeros(&self, len: usize) -> Result<Buffer, Error> {
        Ok(Buffer(Words::own(self.allocate(len)?, len)))
    }

    /// Copies `host` to the start of `buffer`.
    pub fn upload(&self, host: &[f32], buffer: &mut Buffer) -> Result<(), Error> {
        self.send(host, &mut buffer.write(host.len()))
    }

    /// Copies the start of `buffer` to `host`, after all work that was queued.
    pub fn download(&self, buffer: &Buffer, host: &mut [f32]) -> Result<(), Error> {
        self.fetch(&buffer.read(host.len()), host)
    }

    /// Copies `len` numbers of `from`, those from `from_at` on, to the place `to_at` of `to`, on the device.
    pub fn copy(
        &self,
        from: &Buffer,
        from_at: usize,
        to: &mut Buffer,
        to_at: usize,
        len: usize,
    ) -> Result<(), Error> {
        if len == 0 {
            return Ok(());
        }
        let (from, mut to) = (from.0.read_floats(from_at..from_at + len), to.write(to_at + len));
        let mut to = to.slice_mut(to_at..);
        self.check_own(from.stream());
        self.check_own(to.stream());
        self.stream().memcpy_dtod(&from, &mut to).map_err(failed_to("copy on the GPU"))
    }

    /// Indices with the values of `host`.
    pub fn indices(&self, host: &[u32]) -> Result<Indices, Error> {
        let device = Words::own(self.words(host)?, host.len());
        Ok(Indices { device, host: Some(host.to_vec()), groups: Mutex::default() })
    }

    /// An array on the device with the values of `host`.
    pub(crate) fn words(&self, host: &[u32]) -> Result<CudaSlice<u32>, Error> {
        let mut words = self.allocate(host.len())?;
        self.send(host, &mut words.slice_mut(..host.len()))?;
        Ok(words)
    }

    /// Zeros, before what is queued next.
    pub(crate) fn clear(&self, words: &mut CudaViewMut<'_, u32>) -> Result<(), Error> {
        self.stream().memset_zeros(words).map_err(failed_to("clear memory"))
    }

    /// Copies `host` to the start of an array of the device.
    pub(crate) fn send<T: DeviceRepr>(&self, host: &[T], view: &mut CudaViewMut<'_, T>) -> Result<(), Error> {
        self.check_own(view.stream());
        if host.is_empty() {
            return Ok(());
        }
        self.meter().upload(size_of_val(host));
        self.stream().memcpy_htod(host, view).map_err(failed_to("copy to the GPU"))?;
        self.host_memory_was_read()
    }

    /// Copies an array of the device to `host` and waits for it.
    pub(crate) fn fetch<T: DeviceRepr>(&self, view: &CudaView<'_, T>, host: &mut [T]) -> Result<(), Error> {
        self.check_own(view.stream());
        if !host.is_empty() {
            self.meter().download(size_of_val(host));
            self.stream().memcpy_dtoh(view, host).map_err(failed_to("copy from the GPU"))?;
        }
        self.synchronize()
    }
}

/// A count as the kernels take it.
pub(crate) fn count(count: usize) -> Result<u32, Error> {
    // The last block of a launch may count a little past the end.
    if count < i32::MAX as usize { Ok(count as u32) } else { Err(Error::TooLarge { count }) }
}
