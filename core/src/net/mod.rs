//! Small networks over the seam: forward, analytic backward and update of a chain of layers, on any backend.

mod architecture;
mod optim;
mod state;

pub use architecture::{Architecture, ArchitectureError, InputShape, LayerSpec};
pub use optim::{Decay, Optimizer, Schedule};
pub use state::{LoadError, Tensor};

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::kernel::{AdamStep, Backend, ConvShape, LinearShape, NormShape, PoolShape, SgdStep};
use crate::{Scalar, Whitening};

/// Share of the running statistics that a batch replaces.
const NORM_MOMENTUM: f64 = 0.1;
/// Added to variances by every norm.
pub const NORM_EPSILON: f64 = 1e-5;

/// A trainable tensor with its gradient and the two states that an optimiser keeps.
struct Parameter<B> {
    name: String,
    shape: Vec<usize>,
    len: usize,
    decays: bool,
    value: B,
    gradient: B,
    first: B,
    second: B,
}

/// Statistics of a batch norm: of the last batch, and running.
struct NormState<B> {
    name: String,
    channels: usize,
    saved: B,
    running: B,
}

/// One operation of the seam: a layer, with the next one where a backend does both at once.
#[derive(Clone, Copy)]
struct Stage {
    layer: LayerSpec,
    /// What goes in.
    shape: InputShape,
    /// Whether the pooling after a convolution, or the ReLU after a linear layer or a norm, belongs to it.
    fused: bool,
}

/// The chain of layers as operations.
fn stages(architecture: &Architecture) -> Vec<Stage> {
    let layers = architecture.layers();
    let mut list: Vec<Stage> = Vec::with_capacity(layers.len());
    for (&layer, &shape) in layers.iter().zip(architecture.shapes()) {
        if let Some(Stage { layer: before, fused: fused @ false, .. }) = list.last_mut() {
            let pair = (*before, layer);
            *fused = matches!(
                pair,
                (LayerSpec::Conv { .. }, LayerSpec::MaxPool)
                    | (LayerSpec::Linear { .. } | LayerSpec::Norm, LayerSpec::Relu)
            );
            if *fused {
                continue;
            }
        }
        list.push(Stage { layer, shape, fused: false });
    }
    list
}

/// A network with its parameters, activations and optimiser state on a backend.
///
/// One `forward`, one `backward`, one `update` make a training step; `infer` uses the running statistics and leaves
/// nothing behind. All work for a batch of at most `capacity` samples happens in buffers made by `new`.
pub struct Network<'b, T: Scalar, B: Backend<T>> {
    backend: &'b B,
    architecture: Architecture,
    stages: Vec<Stage>,
    capacity: usize,
    parameters: Vec<Parameter<B::Buffer>>,
    norms: Vec<NormState<B::Buffer>>,
    /// Samples that are only embedded.
    samples: B::Buffer,
    /// `activations[i]` comes out of stage i; the last one holds the embeddings.
    activations: Vec<B::Buffer>,
    /// For each convolution, what the pooling after it picked.
    picks: Vec<B::Indices>,
    /// Gradients of two neighbouring activations, in turn.
    gradients: [B::Buffer; 2],
    /// Samples of the last forward pass.
    count: usize,
}

impl<'b, T: Scalar, B: Backend<T>> Network<'b, T, B> {
    /// A network with first weights drawn from `seed`, for batches of at most `capacity` samples.
    pub fn new(
        backend: &'b B,
        architecture: Architecture,
        capacity: usize,
        seed: u64,
    ) -> Result<Self, B::Error> {
        let mut parameters = Vec::new();
        for (index, spec) in architecture.parameters().into_iter().enumerate() {
            let len = spec.len();
            let mut value = backend.zeros(len)?;
            backend.upload(&spec.values::<T>(index, seed), &mut value)?;
            parameters.push(Parameter {
                len,
                value,
                gradient: backend.zeros(len)?,
                first: backend.zeros(len)?,
                second: backend.zeros(len)?,
                name: spec.name,
                shape: spec.shape,
                decays: spec.decays,
            });
        }
        let mut norms = Vec::new();
        for (at, (layer, shape)) in architecture.layers().iter().zip(architecture.shapes()).enumerate() {
            if *layer == LayerSpec::Norm {
                let channels = shape.channels;
                let mut running = backend.zeros(2 * channels)?;
                let mut start = vec![T::ZERO; 2 * channels];
                start[channels..].fill(T::ONE);
                backend.upload(&start, &mut running)?;
                let saved = backend.zeros(2 * channels)?;
                norms.push(NormState { name: format!("{at}.norm.running"), channels, saved, running });
            }
        }
        let stages = stages(&architecture);
        let outputs = stages.iter().skip(1).map(|stage| stage.shape.len());
        let (size, sizes) = (architecture.input().len(), outputs.chain([architecture.dim()]));
        let largest = sizes.clone().fold(size, usize::max);
        let samples = backend.zeros(capacity * size)?;
        let activations: Vec<_> =
            sizes.clone().map(|size| backend.zeros(capacity * size)).collect::<Result<_, _>>()?;
        let picks = stages
            .iter()
            .zip(sizes)
            .filter(|(stage, _)| matches!(stage.layer, LayerSpec::Conv { .. }))
            .map(|(stage, size)| backend.indices(&vec![0; if stage.fused { capacity * size } else { 0 }]))
            .collect::<Result<_, _>>()?;
        let gradients = [backend.zeros(capacity * largest)?, backend.zeros(capacity * largest)?];
        Ok(Self {
            backend,
            architecture,
            stages,
            capacity,
            parameters,
            norms,
            samples,
            activations,
            picks,
            gradients,
            count: 0,
        })
    }

    /// What this network is.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The largest batch.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Embeds `count` samples, which the backend has, with the statistics of this batch, and keeps what
    /// [`backward`](Self::backward) needs. Returns the embeddings, `[count, dim]`.
    pub fn forward(&mut self, input: &B::Buffer, count: usize) -> Result<&B::Buffer, B::Error> {
        self.count = count;
        self.run(Some(input), count)
    }

    /// Embeds `count` samples of the host with the running statistics.
    pub fn infer(&mut self, input: &[T], count: usize) -> Result<&B::Buffer, B::Error> {
        self.count = 0;
        self.backend.upload(input, &mut self.samples)?;
        self.run(None, count)
    }

    /// All stages: of a batch to train on, or of the samples that are only embedded.
    fn run(&mut self, batch: Option<&B::Buffer>, count: usize) -> Result<&B::Buffer, B::Error> {
        assert!(count <= self.capacity, "a batch of {count} in a network for {}", self.capacity);
        let (backend, training) = (self.backend, batch.is_some());
        let input = batch.unwrap_or(&self.samples);
        let (mut parameter, mut norm, mut conv) = (0, 0, 0);
        for (at, stage) in self.stages.iter().enumerate() {
            let Stage { layer, shape, fused } = *stage;
            let (before, after) = self.activations.split_at_mut(at);
            let (x, y) = (before.last().unwrap_or(input), &mut after[0]);
            match layer {
                LayerSpec::Conv { outputs } => {
                    let shape = conv_shape(count, shape, outputs, fused);
                    let weights = &self.parameters[parameter].value;
                    backend.conv(shape, x, weights, y, &mut self.picks[conv])?;
                    conv += 1;
                }
                LayerSpec::Linear { outputs } => {
                    let (w, b) = (&self.parameters[parameter].value, &self.parameters[parameter + 1].value);
                    backend.linear(linear_shape(count, shape, outputs, fused), x, w, b, y)?;
                }
                LayerSpec::Norm => {
                    let NormState { saved, running, .. } = &mut self.norms[norm];
                    let affine = &self.parameters[parameter].value;
                    let shape = norm_shape(count, shape, fused);
                    if training {
                        let momentum = T::from_f64(NORM_MOMENTUM);
                        backend.norm(shape, x, affine, saved, running, momentum, y)?;
                    } else {
                        backend.norm_infer(shape, x, affine, running, y)?;
                    }
                    norm += 1;
                }
                LayerSpec::Relu => backend.relu(count * shape.len(), x, y)?,
                LayerSpec::MaxPool => backend.max_pool(pool_shape(count, shape), x, y)?,
                LayerSpec::MeanPool => backend.mean_pool(pool_shape(count, shape), x, y)?,
                LayerSpec::Normalize => backend.normalize(count, shape.len(), x, y)?,
            }
            parameter += parameters_of(layer);
        }
        Ok(self.embeddings())
    }

    /// The embeddings of the last pass.
    #[must_use]
    pub fn embeddings(&self) -> &B::Buffer {
        &self.activations[self.stages.len() - 1]
    }

    /// Carries `dx`, the gradient to the embeddings of the last [`forward`](Self::forward), back to every parameter;
    /// `input` is what was embedded there.
    pub fn backward(&mut self, input: &B::Buffer, dx: &B::Buffer) -> Result<(), B::Error> {
        let (backend, count) = (self.backend, self.count);
        let mut parameter = self.parameters.len();
        let (mut norm, mut conv) = (self.norms.len(), self.picks.len());
        let [here, next] = &mut self.gradients;
        let (mut here, mut next) = (here, next);
        for (at, stage) in self.stages.iter().enumerate().rev() {
            let Stage { layer, shape, fused } = *stage;
            let x = if at == 0 { input } else { &self.activations[at - 1] };
            let y = &self.activations[at];
            let (first, last) = (at == 0, at + 1 == self.stages.len());
            parameter -= parameters_of(layer);
            match layer {
                LayerSpec::Conv { outputs } => {
                    conv -= 1;
                    let Parameter { value, gradient, .. } = &mut self.parameters[parameter];
                    let dx = (!first).then_some(&mut *next);
                    let shape = conv_shape(count, shape, outputs, fused);
                    backend.conv_backward(shape, x, value, here, &self.picks[conv], gradient, dx)?;
                }
                LayerSpec::Linear { outputs } => {
                    let (w, b) = self.parameters.split_at_mut(parameter + 1);
                    let Parameter { value, gradient, .. } = &mut w[parameter];
                    let dx = (!first).then_some(&mut *next);
                    let shape = linear_shape(count, shape, outputs, fused);
                    backend.linear_backward(shape, x, value, y, here, gradient, &mut b[0].gradient, dx)?;
                }
                LayerSpec::Norm => {
                    norm -= 1;
                    let Parameter { value, gradient, .. } = &mut self.parameters[parameter];
                    let saved = &self.norms[norm].saved;
                    let shape = norm_shape(count, shape, fused);
                    backend.norm_backward(shape, x, value, saved, here, gradient, next)?;
                }
                LayerSpec::Relu => backend.relu_backward(count * shape.len(), y, here, next)?,
                LayerSpec::MaxPool => backend.max_pool_backward(pool_shape(count, shape), x, here, next)?,
                LayerSpec::MeanPool => backend.mean_pool_backward(pool_shape(count, shape), here, next)?,
                // Every network ends here: the gradient that was given enters.
                LayerSpec::Normalize => {
                    let dy = if last { dx } else { &*here };
                    backend.normalize_backward(count, shape.len(), x, y, dy, next)?;
                }
            }
            core::mem::swap(&mut here, &mut next);
        }
        Ok(())
    }

    /// Moves every parameter against its gradient; `step` counts from 0.
    pub fn update(&mut self, optimizer: Optimizer, rate: f64, step: u32) -> Result<(), B::Error> {
        for Parameter { len, decays, value, gradient, first, second, .. } in &mut self.parameters {
            let kept = |decay: f64| T::from_f64(if *decays { decay } else { 0.0 });
            match optimizer {
                Optimizer::Adam { beta1, beta2, epsilon, decay } => {
                    let step = AdamStep {
                        rate: T::from_f64(rate),
                        beta1: T::from_f64(beta1),
                        beta2: T::from_f64(beta2),
                        epsilon: T::from_f64(epsilon),
                        decay: kept(decay),
                        step: step + 1,
                    };
                    self.backend.adam(step, *len, value, gradient, first, second)?;
                }
                Optimizer::Sgd { momentum, decay } => {
                    let (rate, momentum) = (T::from_f64(rate), T::from_f64(momentum));
                    let step = SgdStep { rate, momentum, decay: kept(decay) };
                    self.backend.sgd(step, *len, value, gradient, first)?;
                }
            }
        }
        Ok(())
    }

    /// Puts a map before the normalisation, into the linear layer that stands there: embeddings `z / |z|` become
    /// `C⁻¹ z / |C⁻¹ z|`, at the same cost. Returns whether there is such a layer.
    ///
    /// # Panics
    /// If the map is for embeddings of another size.
    pub fn whiten(&mut self, whitening: &Whitening) -> Result<bool, B::Error> {
        assert_eq!(whitening.dim(), self.architecture.dim(), "numbers in one embedding");
        let [.., LayerSpec::Linear { .. }, LayerSpec::Normalize] = self.architecture.layers() else {
            return Ok(false);
        };
        // A linear layer's weights have a row of outputs for each input; its bias is one more row.
        let first = self.parameters.len() - 2;
        for Parameter { len, value, .. } in &mut self.parameters[first..] {
            let mut rows = vec![T::ZERO; *len];
            self.backend.download(value, &mut rows)?;
            whitening.apply(&mut rows);
            self.backend.upload(&rows, value)?;
        }
        Ok(true)
    }
}

/// Trainable tensors of a layer.
const fn parameters_of(layer: LayerSpec) -> usize {
    match layer {
        LayerSpec::Linear { .. } => 2,
        LayerSpec::Conv { .. } | LayerSpec::Norm => 1,
        LayerSpec::Relu | LayerSpec::MaxPool | LayerSpec::MeanPool | LayerSpec::Normalize => 0,
    }
}

fn conv_shape(batch: usize, shape: InputShape, outputs: usize, pool: bool) -> ConvShape {
    ConvShape { batch, height: shape.height, width: shape.width, inputs: shape.channels, outputs, pool }
}

fn linear_shape(rows: usize, shape: InputShape, outputs: usize, relu: bool) -> LinearShape {
    LinearShape { rows, inputs: shape.len(), outputs, relu }
}

fn norm_shape<T: Scalar>(batch: usize, shape: InputShape, relu: bool) -> NormShape<T> {
    let rows = batch * shape.height * shape.width;
    NormShape { rows, channels: shape.channels, epsilon: T::from_f64(NORM_EPSILON), relu }
}

fn pool_shape(batch: usize, shape: InputShape) -> PoolShape {
    PoolShape { batch, height: shape.height, width: shape.width, channels: shape.channels }
}
