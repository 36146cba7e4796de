//! The state spaces and what is known of every byte: whether it exists, was written, and by whom.

mod clock;
mod global;
mod local;
mod shared;

pub(crate) use self::clock::Clocks;
pub(crate) use self::global::{Actor, Global};
pub(crate) use self::local::Local;
pub(crate) use self::shared::{Party, Shared};

/// Where shared memory lies among generic addresses.
pub(crate) const SHARED_WINDOW: u64 = 0x0100_0000;
/// Where a thread's own bytes lie among generic addresses.
pub(crate) const LOCAL_WINDOW: u64 = 0x0200_0000;
/// The size of both windows.
pub(crate) const WINDOW: u64 = 0x0100_0000;

/// Bytes that were never written.
pub(crate) const UNSET: u8 = 0;
/// Bytes with a value.
pub(crate) const SET: u8 = 1;
/// Bytes that a `cp.async` will write at a time of its own.
pub(crate) const IN_FLIGHT: u8 = 2;

/// The size of the pieces in which races are watched: the narrowest access of a kernel, so that neighbours in one
/// word are told apart only where a kernel needs it. As a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grain(pub(crate) u32);
