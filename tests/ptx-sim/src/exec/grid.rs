//! A grid: its blocks in order on one core, or on several where their order cannot matter.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

use super::Launch;
use super::block::Block;
use crate::fault::Fault;

/// Below this many instructions a second core costs more than it brings.
const WORTH_A_CORE: u64 = 200_000;

/// Runs a launch and returns how many instructions its threads executed. Results do not depend on the number of
/// cores; of several faults that of the first block is returned.
pub(crate) fn run(launch: &Launch<'_>) -> Result<u64, Box<Fault>> {
    let blocks = launch.grid.iter().map(|&count| u64::from(count)).product::<u64>();
    let mut block = Block::new(launch);
    // The first block tells how much work there is.
    let first = block.run(0)?;
    if launch.kernel.serial || launch.cores < 2 || first.saturating_mul(blocks - 1) < WORTH_A_CORE {
        return (1..blocks).try_fold(first, |sum, number| Ok(sum + block.run(number)?));
    }
    let (next, stop, executed) = (AtomicU64::new(1), AtomicU64::new(blocks), AtomicU64::new(first));
    let failure: Mutex<Option<(u64, Box<Fault>)>> = Mutex::new(None);
    let work = |mut block: Block<'_>| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            // Blocks before a failed one still run: one of them may fail first.
            if number >= stop.load(Ordering::Relaxed) {
                return;
            }
            match block.run(number) {
                Ok(count) => _ = executed.fetch_add(count, Ordering::Relaxed),
                Err(fault) => {
                    stop.fetch_min(number, Ordering::Relaxed);
                    let mut failure = failure.lock().unwrap_or_else(|poison| poison.into_inner());
                    if failure.as_ref().is_none_or(|(other, _)| number < *other) {
                        *failure = Some((number, fault));
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..launch.cores {
            scope.spawn(|| work(Block::new(launch)));
        }
        work(block);
    });
    match failure.into_inner().unwrap_or_else(|poison| poison.into_inner()) {
        Some((_, fault)) => Err(fault),
        None => Ok(executed.into_inner()),
    }
}
