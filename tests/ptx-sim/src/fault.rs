//! What went wrong, and where: every diagnosis of the interpreter ends up as one of these two types.

use core::fmt;

/// The class of a failure, which decides the driver's error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An address that is out of bounds, freed or misaligned.
    Address,
    /// Anything else that stops a kernel: races, uninitialised reads, barriers, traps, an endless loop.
    Launch,
}

/// A failure before its place is known.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

/// The result of a step of a thread. The error is boxed, since it is rare and the success is hot.
pub(crate) type Check<T> = Result<T, Box<Trouble>>;

/// A failure that is about an address.
pub(crate) fn bad_address<T>(message: String) -> Check<T> {
    Err(Box::new(Trouble { kind: Kind::Address, message }))
}

/// A failure of the kernel's logic.
pub(crate) fn bad_kernel<T>(message: String) -> Check<T> {
    Err(Box::new(Trouble { kind: Kind::Launch, message }))
}

/// A launch that failed: what, and where.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The class of the failure.
    pub kind: Kind,
    /// The name of the kernel.
    pub kernel: String,
    /// The line of the PTX text, counted from 1.
    pub line: u32,
    /// That line.
    pub text: String,
    /// The block.
    pub block: [u32; 3],
    /// The thread in its block.
    pub thread: [u32; 3],
    /// What happened, in words.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "kernel {} line {}: {} (block {:?} thread {:?}): {}",
            self.kernel, self.line, self.message, self.block, self.thread, self.text
        )
    }
}

impl core::error::Error for Fault {}

/// PTX text that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The line of the PTX text, counted from 1.
    pub line: u32,
    /// What is wrong, with the text that is.
    pub message: String,
}

impl LoadError {
    pub(crate) fn new<T>(line: u32, message: impl Into<String>) -> Result<T, Self> {
        Err(Self { line, message: message.into() })
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PTX line {}: {}", self.line, self.message)
    }
}

impl core::error::Error for LoadError {}
