//! Buffers that live longer than an operation: a training step in its steady state allocates nothing.

use core::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// Bytes of a cache line, and of the widest vector. Buffers begin with a line: vectors that cross lines cost a second
/// access each.
const LINE: usize = 64;

/// Numbers that begin with a cache line.
#[derive(Debug)]
pub(super) struct Lined<T> {
    /// A line longer than what is used of it.
    numbers: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Lined<T> {
    /// `len` times the default.
    pub(super) fn new(len: usize) -> Self {
        let spare = LINE / size_of::<T>();
        let numbers = vec![T::default(); len + spare];
        let start = numbers.as_ptr().align_offset(LINE).min(spare);
        Self { numbers, start, len }
    }
}

impl<T> Deref for Lined<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.numbers[self.start..][..self.len]
    }
}

impl<T> DerefMut for Lined<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.start..][..self.len]
    }
}

/// Buffers that are not in use, by the power of two that they hold.
#[derive(Debug)]
struct Shelf<T> {
    sizes: Mutex<[Vec<Lined<T>>; usize::BITS as usize]>,
}

impl<T: Copy + Default> Shelf<T> {
    fn with<R>(&self, len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
        let size = len.max(16).next_power_of_two();
        let place = size.trailing_zeros() as usize;
        let free = self.sizes.lock().expect("nobody panics with the lock")[place].pop();
        let mut buffer = free.unwrap_or_else(|| Lined::new(size));
        let result = work(&mut buffer[..len]);
        self.sizes.lock().expect("nobody panics with the lock")[place].push(buffer);
        result
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { sizes: Mutex::new([const { Vec::new() }; usize::BITS as usize]) }
    }
}

/// Scratch memory of a backend, shared by its threads.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    half: Shelf<u16>,
    single: Shelf<f32>,
    double: Shelf<f64>,
}

impl Scratch {
    /// Lends `len` numbers to `work`. They hold what their last user left there.
    pub(super) fn single<R>(&self, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
        self.single.with(len, work)
    }

    /// As [`single`](Self::single), in bf16.
    pub(super) fn half<R>(&self, len: usize, work: impl FnOnce(&mut [u16]) -> R) -> R {
        self.half.with(len, work)
    }

    /// As [`single`](Self::single), in double precision.
    pub(super) fn double<R>(&self, len: usize, work: impl FnOnce(&mut [f64]) -> R) -> R {
        self.double.with(len, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back() {
        let scratch = Scratch::default();
        let first = scratch.single(100, |buffer| {
            buffer.fill(1.0);
            assert!(buffer.as_ptr().addr().is_multiple_of(LINE));
            (buffer.as_ptr() as usize, buffer.len())
        });
        let second = scratch.single(120, |buffer| (buffer.as_ptr() as usize, buffer.len()));
        assert_eq!(first.0, second.0, "both fit into 128 numbers");
        assert_eq!((first.1, second.1), (100, 120));
        let nested =
            scratch.single(100, |a| scratch.single(100, |b| (a.as_ptr() as usize, b.as_ptr() as usize)));
        assert_ne!(nested.0, nested.1);
    }
}
