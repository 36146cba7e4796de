//! Batches for training: composed, read, varied and normalised, in the background where there are threads for it.
//!
//! A batch is a function of the seed and the step, and each of its samples of its place, so neither the number of
//! threads nor how far they are ahead can change a byte. Memory is bounded: one batch waits, one is in the making.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};
use nearfar_core::{Composer, Key, Stream};

use super::augment::Augmentation;
use super::normalize::Normalization;
use super::{Samples, parallel, view};

/// Numbers of a batch below which threads would cost more than they save.
const WORTH_THREADS: usize = 1 << 16;

/// What batches are made of.
#[derive(Clone, Debug)]
pub struct Maker {
    /// The training samples.
    pub samples: Samples,
    /// Which of them are in which batch.
    pub composer: Composer,
    /// Classes that follow each other in a batch and are turned alike, 1 at least: a group of those that look alike.
    pub alike: usize,
    /// How the pass at hand takes its classes, where that is not left to chance.
    pub order: Option<Vec<u32>>,
    /// How they vary.
    pub augmentation: Augmentation,
    /// Whether half of them are mirrored.
    pub mirror: bool,
    /// How they are scaled.
    pub normalization: Normalization,
    /// Seed of all that is random here.
    pub seed: u64,
}

/// A batch on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Indices into the training samples, `[N]`.
    pub samples: Vec<u32>,
    /// Their classes, `[N]`.
    pub labels: Vec<u32>,
    /// What each is shown as, `[N]`: a class that is turned as a whole is another class than it was. Samples of a batch
    /// are of one class by this as by their labels; those of two batches only by this.
    pub shown: Vec<u32>,
    /// What goes into the network, `[N, height, width, channels]`.
    pub inputs: Vec<f32>,
}

impl Maker {
    /// Batch number `step`. Errors: a picture that cannot be read, with its file.
    pub fn batch(&self, step: u32) -> Result<Batch> {
        self.batch_unless(step, &AtomicBool::new(false))
    }

    /// The same, given up where `stop` is set: then an error that nobody sees.
    fn batch_unless(&self, step: u32, stop: &AtomicBool) -> Result<Batch> {
        let mut batch = Batch::default();
        match &self.order {
            None => self.composer.batch(step, &mut batch.samples),
            Some(order) => self.composer.batch_in(order, step, &mut batch.samples),
        }
        let class = |&sample: &u32| self.samples.labels[sample as usize];
        batch.labels.extend(batch.samples.iter().map(class));
        let size = self.samples.size();
        batch.inputs.resize(batch.samples.len() * size, 0.0);
        let key = Key::new(self.seed, Stream::Augment, step);
        let leaders = leaders(&batch.labels, self.alike);
        let turned = |(&class, &leader): (&u32, &u32)| self.augmentation.shown_as(key, class, leader);
        batch.shown.extend(batch.labels.iter().zip(&leaders).map(turned));
        let places = (0..).zip(batch.samples.iter().zip(&leaders)).zip(batch.inputs.chunks_exact_mut(size));
        let in_memory = !self.samples.values().is_empty();
        let few = in_memory && batch.samples.len() * size < WORTH_THREADS;
        let workers = if few { 1 } else { self.samples.workers };
        parallel::for_each(workers, places, |((place, (&sample, &leader)), input)| {
            ensure!(!stop.load(Ordering::Relaxed), "batch {step} is not wanted any more");
            self.input(key, [place, leader], sample, input)
        })?;
        Ok(batch)
    }

    /// The input of one sample at a place of a batch, turned as the class `leader` is.
    fn input(&self, key: Key, [place, leader]: [u32; 2], sample: u32, input: &mut [f32]) -> Result<()> {
        let stored = self.samples.stored(sample as usize)?;
        let (frame, shape) = (self.samples.frame(), self.samples.shape);
        let mut varied = vec![0.0; input.len()];
        if frame == shape && !self.mirror {
            self.augmentation.apply(key, [place, leader], &stored, &mut varied);
        } else {
            view::random(frame, shape, self.mirror, key, place).show(&stored, input);
            self.augmentation.apply(key, [place, leader], input, &mut varied);
        }
        self.normalization.apply(&varied, input);
        Ok(())
    }
}

/// For each sample the class whose turn it takes: of each `size` classes that follow each other, the first.
fn leaders(labels: &[u32], size: usize) -> Vec<u32> {
    let mut leaders = Vec::with_capacity(labels.len());
    let mut leader = 0;
    for (at, class) in labels.chunk_by(|a, b| a == b).enumerate() {
        if at.is_multiple_of(size) {
            leader = class[0];
        }
        leaders.resize(leaders.len() + class.len(), leader);
    }
    leaders
}

/// Batches in the order of their steps, made ahead of time.
#[derive(Debug)]
pub struct Feed {
    maker: Arc<Maker>,
    running: Option<Running>,
}

/// A thread that makes batches.
#[derive(Debug)]
struct Running {
    /// The step of the batch that is received next.
    next: u32,
    /// `None` once nobody receives any more.
    made: Option<Receiver<Result<Batch>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// A feed that has made nothing yet.
    #[must_use]
    pub fn new(maker: Maker) -> Self {
        Self { maker: Arc::new(maker), running: None }
    }

    /// What its batches are made of.
    #[must_use]
    pub fn maker(&self) -> &Maker {
        &self.maker
    }

    /// From now on batches take their classes in this order, see [`Composer::batch_in`]; what was made ahead is dropped.
    pub fn follow(&mut self, order: Vec<u32>) {
        self.running = None;
        Arc::make_mut(&mut self.maker).order = Some(order);
    }

    /// Batch number `step`; the one after it, and so on until before `end`, are made meanwhile.
    pub fn batch(&mut self, step: u32, end: u32) -> Result<Batch> {
        if self.maker.samples.workers < 2 {
            return self.maker.batch(step);
        }
        if self.running.as_ref().is_none_or(|running| running.next != step) {
            // What was made for other steps goes first, and its thread with it.
            self.running = None;
            self.running = Some(Running::start(&self.maker, step, end.max(step.saturating_add(1))));
        }
        let running = self.running.as_mut().context("it was started")?;
        let received = running.made.as_ref().and_then(|made| made.recv().ok());
        running.next = step.saturating_add(1);
        let batch =
            received.with_context(|| format!("the thread that makes batches ended at step {step}"))?;
        if batch.is_err() || running.next >= end {
            self.running = None;
        }
        batch
    }
}

impl Running {
    fn start(maker: &Arc<Maker>, first: u32, end: u32) -> Self {
        let (send, made) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let (maker, stopped) = (Arc::clone(maker), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            for step in first..end {
                let batch = maker.batch_unless(step, &stopped);
                let ends = batch.is_err();
                // Nobody receives any more once the feed is gone.
                if send.send(batch).is_err() || ends {
                    return;
                }
            }
        });
        Self { next: first, made: Some(made), stop, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The receiver first: a thread that waits to send would wait for ever.
        self.made = None;
        if let Some(thread) = self.thread.take() {
            // It has said what there was to say; a panic of its own has been printed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
