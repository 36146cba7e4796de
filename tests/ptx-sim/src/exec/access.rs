//! Addresses to state spaces.

use super::Launch;
use super::block::Copy;
use crate::fault::{Check, bad_address, bad_kernel};
use crate::memory::{Actor, LOCAL_WINDOW, Local, Party, SHARED_WINDOW, Shared, WINDOW};
use crate::op::Space;

/// All memory, as one thread sees it at one instruction.
pub(super) struct Memory<'m> {
    pub(super) launch: &'m Launch<'m>,
    pub(super) shared: &'m mut Shared,
    pub(super) local: &'m mut Local,
    pub(super) actor: &'m Actor,
    pub(super) party: Party<'m>,
}

/// A generic address as a space and an address there.
fn resolve(space: Space, address: u64) -> (Space, u64) {
    match space {
        Space::Generic if (SHARED_WINDOW..SHARED_WINDOW + WINDOW).contains(&address) => {
            (Space::Shared, address - SHARED_WINDOW)
        }
        Space::Generic if (LOCAL_WINDOW..LOCAL_WINDOW + WINDOW).contains(&address) => {
            (Space::Local, address - LOCAL_WINDOW)
        }
        Space::Generic => (Space::Global, address),
        // Addresses of shared memory may be held in 32 bits, where a negative offset has wrapped.
        Space::Shared => (Space::Shared, address & 0xffff_ffff),
        other => (other, address),
    }
}

impl Memory<'_> {
    fn actor(&self) -> Actor {
        self.actor.at(self.party.line, self.party.strong)
    }

    /// A vector is aligned as a whole.
    pub(super) fn aligned(&self, address: u64, count: u8, width: u8) -> Check<()> {
        let whole = u64::from(count) * u64::from(width);
        if address & (whole - 1) != 0 {
            return bad_address(format!("misaligned access of {whole} bytes at address {address:#x}"));
        }
        Ok(())
    }

    pub(super) fn load(&mut self, space: Space, address: u64, width: usize) -> Check<u64> {
        match resolve(space, address) {
            (Space::Shared, offset) => self.shared.load(offset, width, &self.party),
            (Space::Local, offset) => self.local.load(self.party.thread, offset, width),
            (Space::Param, offset) => {
                let end = (offset as usize).saturating_add(width);
                let Some(bytes) = self.launch.parameters.get(offset as usize..end) else {
                    return bad_address(format!("read of parameter byte {offset}, which does not exist"));
                };
                let mut value = [0; 8];
                value[..width].copy_from_slice(bytes);
                Ok(u64::from_le_bytes(value))
            }
            (_, address) => self.launch.global.load(address, width, &self.actor()),
        }
    }

    pub(super) fn store(&mut self, space: Space, address: u64, width: usize, value: u64) -> Check<()> {
        match resolve(space, address) {
            (Space::Shared, offset) => self.shared.store(offset, width, value, &self.party),
            (Space::Local, offset) => self.local.store(self.party.thread, offset, width, value),
            (Space::Param, _) => bad_kernel("write to a parameter".to_owned()),
            (_, address) => self.launch.global.store(address, width, value, &self.actor()),
        }
    }

    pub(super) fn atomic(
        &mut self,
        space: Space,
        address: u64,
        width: usize,
        change: impl Fn(u64) -> u64,
    ) -> Check<u64> {
        match resolve(space, address) {
            (Space::Shared, offset) => self.shared.atomic(offset, width, &self.party, change),
            (Space::Local | Space::Param, _) => {
                bad_kernel("atomic access to a thread's own memory".to_owned())
            }
            (_, address) => self.launch.global.atomic(address, width, &self.actor(), change),
        }
    }
}

/// Reads the source of a copy in words: the bytes it will bring.
fn fetch(launch: &Launch<'_>, actor: &Actor, line: u32, copy: Copy) -> Check<([u8; 16], usize)> {
    let (_, source, bytes, present) = copy;
    let (mut data, actor) = ([0; 16], actor.at(line, false));
    let width = if present % 4 == 0 { 4 } else { 1 };
    for at in (0..usize::from(present)).step_by(width) {
        let value = launch.global.load(source.wrapping_add(at as u64), width, &actor)?;
        data[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }
    Ok((data, usize::from(bytes)))
}

/// `cp.async`: everything is checked now, and lands later.
pub(super) fn begin_copy(
    launch: &Launch<'_>,
    shared: &mut Shared,
    actor: &Actor,
    party: &Party<'_>,
    copy: Copy,
) -> Check<()> {
    let (target, source, bytes, present) = copy;
    if present > 0 && source % u64::from(bytes) != 0 {
        return bad_address(format!("misaligned cp.async of {bytes} bytes from address {source:#x}"));
    }
    fetch(launch, actor, party.line, copy)?;
    shared.begin_copy(target, usize::from(bytes), party)
}

/// The data of a copy arrives, as the source is now.
pub(super) fn land_copy(
    launch: &Launch<'_>,
    shared: &mut Shared,
    actor: &Actor,
    party: &Party<'_>,
    copy: Copy,
) -> Check<()> {
    let (data, bytes) = fetch(launch, actor, party.line, copy)?;
    shared.land_copy(copy.0, &data[..bytes], party)
}
