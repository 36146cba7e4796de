//! Work on pieces by several threads, with one outcome whatever their number.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Error, Result};

/// Does `work` on every piece, on up to `workers` threads; where some fail, the error is that of the first of them.
///
/// Pieces are handed out in order, and no more of them once one has failed: each piece before it has been handed out
/// by then, so the first error does not depend on the threads.
pub(super) fn for_each<P: Send>(
    workers: usize,
    mut pieces: impl Iterator<Item = P> + Send,
    work: impl Fn(P) -> Result<()> + Sync,
) -> Result<()> {
    if workers < 2 {
        return pieces.try_for_each(work);
    }
    let queue = Mutex::new(pieces.enumerate());
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let next = || {
        // A poisoned lock means that a thread has panicked; the scope below passes that on.
        let stopped = failed.lock().map_or(true, |failed| failed.is_some());
        if stopped { None } else { queue.lock().ok()?.next() }
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((place, piece)) = next() {
                    if let Err(error) = work(piece)
                        && let Ok(mut failed) = failed.lock()
                        && failed.as_ref().is_none_or(|&(first, _)| place < first)
                    {
                        *failed = Some((place, error));
                    }
                }
            });
        }
    });
    match failed.into_inner() {
        Ok(Some((_, error))) => Err(error),
        _ => Ok(()),
    }
}

/// Makes a thing of every piece in a thread of its own, and has it used here, in order; one waits, one is in the
/// making. Where `make` or `consume` fails, both end, and that is the error.
///
/// With one worker each is made when it is wanted.
pub(crate) fn ahead<P, T: Send>(
    workers: usize,
    mut pieces: impl Iterator<Item = P> + Send,
    make: impl Fn(P) -> Result<T> + Send,
    mut consume: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    if workers < 2 {
        return pieces.try_for_each(|piece| consume(make(piece)?));
    }
    thread::scope(|scope| {
        let (send, receive) = sync_channel(1);
        scope.spawn(move || {
            for piece in pieces {
                let made = make(piece);
                let stops = made.is_err();
                // Nobody receives any more where `consume` has failed.
                if send.send(made).is_err() || stops {
                    return;
                }
            }
        });
        // By value: on an error the receiver goes before the scope waits for its thread.
        for made in receive {
            consume(made?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anyhow::bail;

    use super::*;

    #[test]
    fn every_piece_is_worked_on_once() {
        for workers in [1, 2, 7] {
            let mut done = vec![0; 100];
            for_each(workers, done.iter_mut().enumerate(), |(i, done)| {
                *done += i;
                Ok(())
            })
            .unwrap();
            assert_eq!(done, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_is_the_error_and_stops_the_rest() {
        for workers in [1, 2, 5] {
            let done = AtomicUsize::new(0);
            let error = for_each(workers, 0..1_000_000, |i| {
                done.fetch_add(1, Ordering::Relaxed);
                if i % 100 == 37 {
                    bail!("piece {i}")
                }
                Ok(())
            });
            assert_eq!(error.unwrap_err().to_string(), "piece 37");
            assert!(done.into_inner() < 100_000, "{workers}");
        }
    }

    #[test]
    fn what_is_made_ahead_comes_in_order_and_both_ends_may_stop() {
        let mut seen = Vec::new();
        let consume = |i| {
            seen.push(i);
            Ok(())
        };
        ahead(2, 0..50, |i| Ok(2 * i), consume).unwrap();
        assert_eq!(seen, (0..50).map(|i| 2 * i).collect::<Vec<_>>());
        let made = AtomicUsize::new(0);
        let make = |i| {
            made.fetch_add(1, Ordering::Relaxed);
            Ok(i)
        };
        let error = ahead(2, 0..1_000_000, make, |i| if i == 3 { bail!("enough") } else { Ok(()) });
        assert_eq!(error.unwrap_err().to_string(), "enough");
        // One more waits, one is in the making, and one may have been received meanwhile.
        assert!(made.into_inner() <= 7);
        let error = ahead(2, 0..9, |i| if i == 4 { bail!("piece {i}") } else { Ok(i) }, |_| Ok(()));
        assert_eq!(error.unwrap_err().to_string(), "piece 4");
    }
}
