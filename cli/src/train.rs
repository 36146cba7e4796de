//! The training loop: batch, embed, choose negatives, loss, and back; as in the paper, one step at a time.

use anyhow::{Context, Result, bail};
use nearfar_core::kernel::{self, Backend, BatchView, HostBatch};
use nearfar_core::net::{Network, Optimizer, Schedule, Tensor};
use nearfar_core::{
    Boundary, BoundaryFit, BoundaryStep, Composer, Discriminants, Draw, DrawReport, Embeddings, Key,
    LearnedBoundary, Loss, LossReport, Memory, Objective, Penalty, Stream, Whitening, remembered_share,
};

use crate::config::{BoundaryMode, Config, Dimension, DimensionName, PenaltyKind};
use crate::data::augment::Augmentation;
use crate::data::feed::{Batch, Feed, Maker};
use crate::data::normalize::Normalization;
use crate::data::{DataSet, Samples};
use crate::model::JOINT;
use crate::near::NearClasses;
use crate::record::Remembered;
use crate::views::Views;
use crate::{memory, plan, quality};

/// A run in memory: what a step reads and changes.
pub struct Trainer<'a, B: Backend<f32>> {
    backend: &'a B,
    config: &'a Config,
    feed: Feed,
    objective: Objective<f32>,
    optimizer: Optimizer,
    schedule: Schedule,
    network: Network<'a, f32, B>,
    views: Views,
    /// What joins turned views, once it was fitted.
    joint: Option<Discriminants>,
    boundary: LearnedBoundary<'a, f32, B>,
    /// Which classes meet, where the run file wants near ones together.
    near: Option<NearClasses>,
    /// Embeddings of earlier batches, where the run file asks for some.
    memory: Option<Memory<'a, f32, B>>,
    batch: BatchState<B>,
}

/// The batch of the last step, where the backend and the host keep it.
struct BatchState<B: Backend<f32>> {
    /// Indices into the training samples, and (class, image) of each.
    samples: Vec<u32>,
    anchors: Vec<(u32, u32)>,
    /// What each sample is shown as, and behind them the same of the memory's rows, where the step used it.
    seen: Vec<u32>,
    inputs: Vec<f32>,
    /// Embeddings, where the host looks at them.
    rows: Vec<f32>,
    /// What the backend has of these.
    there: Option<kernel::Batch<B::Buffer, B::Indices>>,
    draws: B::Draws,
    /// Pairs that the exact boundary is fitted to.
    observed: B::Draws,
    dx: B::Buffer,
    dbetas: B::Buffer,
    /// The objective in the dimension of this batch.
    objective: Objective<f32>,
    /// The memory as the step found it, but for its share.
    memory: Option<Remembered>,
}

/// What one step was like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepReport {
    /// Loss, and how many of its terms were active.
    pub loss: LossReport,
    /// What the sampler did.
    pub drawn: DrawReport,
    /// Learning rate.
    pub rate: f64,
    /// Dimension whose density was inverted.
    pub dimension: Option<f64>,
}

/// The last batch on the host, and behind it what the step saw of a memory.
pub struct BatchShot {
    /// Samples of the batch, N.
    pub anchors: usize,
    /// Unit embeddings, `[N + M, D]`.
    pub embeddings: Vec<f32>,
    /// Class of each.
    pub labels: Vec<u32>,
    /// The memory, where there is one.
    pub memory: Option<Remembered>,
    /// What was drawn, for the loss or else for the boundary.
    pub draws: Vec<Draw<f32>>,
}

impl<'a, B: Backend<f32>> Trainer<'a, B> {
    /// A run before its first step.
    pub fn new(backend: &'a B, config: &'a Config, data: &'a DataSet) -> Result<Self> {
        let samples = &data.train;
        let Config { batch, model, boundary, .. } = config;
        let small = plan::small_class(batch);
        let composer = Composer::new(&samples.labels, batch.classes, batch.per_class, small, config.seed)
            .context("the training classes give no batches")?;
        let architecture = plan::architecture(model, samples.shape)?;
        let (capacity, dim) = (composer.capacity(), architecture.dim());
        let network =
            Network::new(backend, architecture, capacity.max(quality::at_once(samples.size())), config.seed)?;
        let classes = if boundary.per_class { samples.classes.len() } else { 0 };
        let images = if boundary.per_image { samples.count() } else { 0 };
        let boundary = Boundary::new(boundary.start as f32, classes, images);
        let objective = plan::objective(&config.loss, &config.sampler, dim)?;
        let size = config.memory.size;
        let memory = if size > 0 { Some(Memory::new(backend, size, dim, capacity)?) } else { None };
        Ok(Self {
            optimizer: plan::optimizer(&config.optimizer),
            schedule: plan::schedule(&config.optimizer, &config.train),
            boundary: LearnedBoundary::new(backend, &boundary, capacity)?,
            batch: BatchState {
                samples: Vec::new(),
                anchors: Vec::new(),
                seen: Vec::new(),
                inputs: Vec::new(),
                rows: Vec::new(),
                there: None,
                draws: B::Draws::default(),
                observed: B::Draws::default(),
                dx: backend.zeros(capacity * dim)?,
                dbetas: backend.zeros(capacity)?,
                objective: objective.clone(),
                memory: None,
            },
            near: NearClasses::new(batch.near_classes, samples.classes.len(), dim)?,
            objective,
            memory,
            backend,
            config,
            feed: Feed::new(Maker {
                samples: samples.clone(),
                composer,
                alike: batch.near_classes.max(1),
                order: None,
                augmentation: Augmentation::new(&config.augment, samples.shape)?,
                mirror: config.data.mirror || samples.geometry().mirror,
                normalization: Normalization::fit(samples)?,
                seed: config.seed,
            }),
            network,
            views: Views::new(model.views, samples.shape)?,
            joint: None,
        })
    }

    /// One step of the method. `step` counts from 0; with the seed it alone decides every random number.
    pub fn step(&mut self, step: u32) -> Result<StepReport> {
        self.compose(step)?;
        let Self { backend, batch, network, memory, boundary, near, .. } = self;
        let (anchors, dim) = (batch.samples.len(), network.architecture().dim());
        batch.memory = memory.as_ref().map(|memory| remembered(memory, step));
        let used = memory.as_mut().filter(|_| step >= self.config.memory.warmup);
        if let Some(memory) = &used {
            batch.seen.extend(memory.labels());
        }
        let host = HostBatch { inputs: &batch.inputs, labels: &batch.seen, anchors, parts: &batch.anchors };
        let there = backend.upload_batch(host, &mut batch.there)?;
        let (inputs, labels, betas) = (&there.inputs, &there.labels, boundary.of(&there.parts, anchors)?);

        let mut embeddings = network.forward(inputs, anchors).with_context(|| {
            let rate = self.config.optimizer.rate;
            format!(
                "the embedding has collapsed or diverged at step {step}: lower optimizer.rate (now {rate})"
            )
        })?;
        if let Some(near) = near {
            batch.rows.resize(anchors * dim, 0.0);
            backend.download(embeddings, &mut batch.rows)?;
            near.see(&batch.seen[..anchors], &batch.rows)?;
        }
        if let Some(memory) = used {
            embeddings = memory.join(embeddings, anchors)?;
        }
        let count = batch.seen.len();
        let view = BatchView { embeddings, labels, betas, anchors, count, dim };
        let (objective, dimension) =
            follow_dimension(self.config, &self.objective, || backend.negative_moments(view))?;
        let key = Key::new(self.config.seed, Stream::Negatives, step);
        let drawn = backend.draw(view, &objective, key, &mut batch.draws)?;
        let mut loss = backend.loss(view, &objective, &batch.draws, &mut batch.dx, &mut batch.dbetas)?;
        if !loss.loss.is_finite() {
            bail!(
                "the loss is {} at step {step}: lower optimizer.rate (now {})",
                loss.loss,
                self.config.optimizer.rate
            );
        }

        if self.config.boundary.mode == BoundaryMode::Exact {
            let key = key.with_stream(Stream::Boundary);
            backend.draw(view, &objective.observer(), key, &mut batch.observed)?;
        }
        batch.objective = objective;

        network.backward(inputs, &batch.dx)?;
        let rate = self.schedule.rate_at(step);
        network.update(self.optimizer, rate, step)?;
        loss.loss += self.move_boundary(&loss, dim)?;
        if let Some(memory) = &mut self.memory {
            // As they were in this step: the network has moved on.
            memory.push(self.network.embeddings(), &self.batch.seen[..anchors], step)?;
        }
        Ok(StepReport { loss, drawn, rate, dimension })
    }

    /// Takes batch number `step`: augmented and normalised inputs, labels and anchors.
    fn compose(&mut self, step: u32) -> Result<()> {
        let mut end = self.config.train.steps;
        if let Some(near) = &self.near {
            let composer = &self.feed.maker().composer;
            let batches = composer.pass() as u32;
            let pass = step / batches;
            if step.is_multiple_of(batches) {
                let order = near.arrange(composer, pass, self.config.seed);
                self.feed.follow(order);
            }
            // What the next pass is like shows at its beginning.
            end = end.min((pass + 1).saturating_mul(batches));
        }
        let Batch { samples, labels, shown, inputs } = self.feed.batch(step, end)?;
        self.batch.anchors.clear();
        self.batch.anchors.extend(labels.iter().copied().zip(samples.iter().copied()));
        (self.batch.samples, self.batch.seen, self.batch.inputs) = (samples, shown, inputs);
        Ok(())
    }

    /// Moves the boundary after a step of the margin loss; returns its penalty in the paper's form, which stands
    /// beside the reduced loss. The other form is in that loss and in its gradient already.
    fn move_boundary(&mut self, loss: &LossReport, dim: usize) -> Result<f64> {
        let Config { boundary: config, loss: loss_config, .. } = self.config;
        if !matches!(self.objective.loss(), Loss::Margin(_)) || loss.active == 0.0 {
            return Ok(0.0);
        }
        let Some(kernel::Batch { parts, .. }) = &self.batch.there else { return Ok(0.0) };
        let (rate, nu) = (config.rate as f32, loss_config.nu as f32);
        let beside = if loss_config.penalty == PenaltyKind::Paper { nu } else { 0.0 };
        let anchors = self.batch.anchors.len();
        if config.mode == BoundaryMode::Gradient {
            let step = BoundaryStep { rate, momentum: config.momentum as f32, nu: beside };
            return Ok(f64::from(self.boundary.step(parts, &self.batch.dbetas, anchors, step)?));
        }
        let value = if beside > 0.0 { self.boundary.download()?.penalty(beside) } else { 0.0 };
        if config.mode == BoundaryMode::Exact {
            let penalty = match loss_config.penalty {
                PenaltyKind::Batch => Penalty::PerTuple { nu },
                PenaltyKind::Paper => Penalty::Once { nu, reduction: self.objective.reduction() },
            };
            let fit = BoundaryFit { alpha: loss_config.alpha as f32, penalty, rate };
            let (count, rows) =
                (self.batch.seen.len(), rows(&self.network, self.memory.as_ref(), &self.batch));
            self.boundary.fit(parts, anchors, count, dim, rows, &self.batch.observed, fit)?;
        }
        Ok(f64::from(value))
    }

    /// The boundary of each anchor of the last step, on the host.
    fn betas(&self) -> Result<Vec<f32>> {
        let mut host = vec![0.0; self.batch.anchors.len()];
        self.backend.download(self.boundary.betas(), &mut host)?;
        Ok(host)
    }

    /// The last batch, for looks.
    pub fn shot(&self) -> Result<BatchShot> {
        let batch = &self.batch;
        let mut draws = self.backend.download_draws(&batch.draws)?;
        let mut embeddings = vec![0.0; batch.seen.len() * self.network.architecture().dim()];
        self.backend.download(rows(&self.network, self.memory.as_ref(), batch), &mut embeddings)?;
        let remembered = batch.memory.map(|found| -> Result<_> {
            let betas = self.betas()?;
            let x = Embeddings::new(&embeddings, self.network.architecture().dim())?;
            let share = remembered_share(&batch.objective, x, &batch.seen, &betas, &draws);
            Ok(Remembered { share, ..found })
        });
        if draws.is_empty() {
            // Nothing is drawn for the loss; what the boundary was fitted to is drawn by the same law.
            draws = self.backend.download_draws(&batch.observed)?;
        }
        let (anchors, labels) = (batch.samples.len(), batch.seen.clone());
        Ok(BatchShot { anchors, embeddings, labels, memory: remembered.transpose()?, draws })
    }

    /// The network.
    pub fn network(&mut self) -> &mut Network<'a, f32, B> {
        &mut self.network
    }

    /// How inputs are scaled.
    #[must_use]
    pub fn normalization(&self) -> &Normalization {
        &self.feed.maker().normalization
    }

    /// How inputs are seen outside training.
    #[must_use]
    pub fn views(&self) -> Views {
        self.views
    }

    /// The boundary of the margin loss as it stands.
    pub fn boundary(&self) -> Result<Boundary<f32>> {
        Ok(self.boundary.download()?)
    }

    /// Steps after which every training sample was seen.
    #[must_use]
    pub fn epoch(&self) -> usize {
        self.feed.maker().composer.epoch()
    }

    /// Embeddings of other samples by the network as it stands.
    pub fn embed(&mut self, samples: &Samples) -> Result<Vec<f32>> {
        let normalization = &self.feed.maker().normalization;
        let joint = self.joint.as_ref();
        quality::embed(self.backend, &mut self.network, normalization, self.views, joint, samples)
    }

    /// After the last step: whitens the embeddings within the training classes, by `samples` of them seen once each; then
    /// fits what joins turned views.
    pub fn whiten(&mut self, samples: &Samples) -> Result<()> {
        let shrink = self.config.model.whiten;
        if shrink == 0.0 {
            return Ok(());
        }
        let (once, normalization) = (Views::new(1, samples.shape)?, &self.feed.maker().normalization);
        let embeddings = quality::embed(self.backend, &mut self.network, normalization, once, None, samples)?;
        let embeddings = Embeddings::new(&embeddings, self.network.architecture().dim())?;
        if let Some(whitening) = Whitening::fit(embeddings, &samples.labels, shrink)? {
            self.network.whiten(&whitening)?;
        }
        if self.views.turned() {
            let (views, dim) = (self.views, self.network.architecture().dim());
            let wide = quality::embed_views(self.backend, &mut self.network, normalization, views, samples)?;
            let wide = Embeddings::new(&wide, views.count() * dim)?;
            let joint = Discriminants::fit(wide, &samples.labels, dim, shrink)?
                .context("the training classes do not differ: turned views have no joint embedding")?;
            // As the model file has it.
            let weights: Vec<f32> = joint.weights().iter().map(|&w| w as f32).collect();
            self.joint = Discriminants::from_weights(joint.inputs(), &weights);
        }
        Ok(())
    }

    /// The model that [`whiten`](Self::whiten) left: the network, and what joins its views.
    pub fn model(&self) -> Result<Vec<Tensor<f32>>> {
        let mut tensors = self.network.tensors(false)?;
        if let Some(joint) = &self.joint {
            let shape = vec![joint.dim(), joint.inputs()];
            let values = joint.weights().iter().map(|&w| w as f32).collect();
            tensors.push(Tensor { name: JOINT.into(), shape, values });
        }
        Ok(tensors)
    }

    /// Everything that the rest of the run depends on.
    pub fn state(&self) -> Result<Vec<Tensor<f32>>> {
        let mut tensors = self.network.tensors(true)?;
        let values = self.boundary.download()?.state();
        tensors.push(Tensor { name: BOUNDARY.into(), shape: vec![values.len()], values });
        if let Some(near) = &self.near {
            tensors.extend(near.tensors(self.feed.maker().order.as_deref().unwrap_or_default()));
        }
        if let Some(memory) = &self.memory {
            tensors.extend(memory::tensors(memory, self.network.architecture().dim())?);
        }
        Ok(tensors)
    }

    /// Takes a run up where [`state`](Self::state) left it.
    pub fn restore<'t>(&mut self, mut find: impl FnMut(&str) -> Option<&'t Tensor<f32>>) -> Result<()> {
        let boundary = find(BOUNDARY).context("the state has no boundary")?;
        if !self.boundary.restore(&boundary.values)? {
            bail!("the state's boundary is of another size than this run's");
        }
        if let Some(near) = &mut self.near {
            let order = near.restore(&self.feed.maker().composer, &mut find)?;
            self.feed.follow(order);
        }
        if let Some(memory) = &mut self.memory {
            memory::restore(memory, &mut find)?;
        }
        self.network.load(true, find)?;
        Ok(())
    }
}

/// The rows that the last step saw: its batch, or its batch with the memory behind it.
fn rows<'t, B: Backend<f32>>(
    network: &'t Network<'_, f32, B>,
    memory: Option<&'t Memory<'_, f32, B>>,
    batch: &BatchState<B>,
) -> &'t B::Buffer {
    let used = batch.seen.len() > batch.samples.len();
    memory.filter(|_| used).map_or_else(|| network.embeddings(), Memory::joined)
}

/// The memory as step `step` finds it; its share is found later.
fn remembered<B: Backend<f32>>(memory: &Memory<'_, f32, B>, step: u32) -> Remembered {
    let ages = memory.ages(step);
    Remembered { rows: memory.len(), mean_age: ages.mean, max_age: ages.max, share: 0.0 }
}

/// Name of the boundary in a saved state.
const BOUNDARY: &str = "boundary";

/// The objective of this step: where the dimension follows the data, with that of the batch at hand.
fn follow_dimension<E>(
    config: &Config,
    objective: &Objective<f32>,
    moments: impl FnOnce() -> Result<nearfar_core::kernel::NegativeMoments, E>,
) -> Result<(Objective<f32>, Option<f64>)>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let Some(weighting) = objective.sampler().weighting() else { return Ok((objective.clone(), None)) };
    let dimension = match config.sampler.dimension {
        Dimension::Named(DimensionName::Effective) => moments()?.effective_dimension(),
        Dimension::Named(DimensionName::Fitted) => moments()?.fitted_dimension(),
        Dimension::Named(DimensionName::Ambient) | Dimension::Number(_) => weighting.density().dimension(),
    };
    Ok((objective.with_dimension(dimension)?, Some(dimension)))
}
