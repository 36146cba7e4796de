//! What a network is, before any number of it exists: layers, their shapes, and the two standard forms.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::Scalar;
use crate::rng::{Key, Stream};

/// Size of one input: an image, or a feature vector as an image of one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputShape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels, innermost in memory.
    pub channels: usize,
}

impl InputShape {
    /// Numbers in one input.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// No numbers at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One layer, given what comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerSpec {
    /// 3x3 convolution, padding 1, stride 1, no bias.
    Conv {
        /// Channels out.
        outputs: usize,
    },
    /// Batch normalisation of each channel.
    Norm,
    /// `max(x, 0)`.
    Relu,
    /// 2x2 maximum, stride 2; a last odd row or column is dropped.
    MaxPool,
    /// Mean over all pixels.
    MeanPool,
    /// All numbers of the input to `outputs` numbers, with bias.
    Linear {
        /// Numbers out.
        outputs: usize,
    },
    /// Division by the length: the last layer of every network here.
    Normalize,
}

/// A chain of layers from an input to a unit embedding.
///
/// ```
/// use nearfar_core::net::{Architecture, InputShape};
/// let input = InputShape { height: 28, width: 28, channels: 1 };
/// let mlp = Architecture::mlp(input, &[512, 256], 128)?;
/// assert_eq!(mlp.parameter_count(), 784 * 512 + 512 + 512 * 256 + 256 + 256 * 128 + 128);
/// # Ok::<(), nearfar_core::net::ArchitectureError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    input: InputShape,
    layers: Vec<LayerSpec>,
    shapes: Vec<InputShape>,
}

/// Name, shape and first values of a trainable tensor.
pub(super) struct ParameterSpec {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) init: Init,
    /// Weight decay applies to weights, not to biases and norms.
    pub(super) decays: bool,
}

pub(super) enum Init {
    /// Uniform within `± bound`.
    Uniform(f64),
    Zero,
    /// Scales 1, shifts 0.
    Affine,
}

impl ParameterSpec {
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// First values of tensor number `tensor`: a pure function of the seed.
    pub(super) fn values<T: Scalar>(&self, tensor: usize, seed: u64) -> Vec<T> {
        let key = Key::new(seed, Stream::Init, 0);
        let len = self.len();
        (0..len)
            .map(|i| match self.init {
                Init::Uniform(bound) => {
                    T::from_f64(bound * (2.0 * key.uniform(tensor as u32, i as u32) - 1.0))
                }
                Init::Zero => T::ZERO,
                Init::Affine => T::from_f64(if i < len / 2 { 1.0 } else { 0.0 }),
            })
            .collect()
    }
}

impl Architecture {
    /// A chain of layers; shapes are followed through, and the last layer must be [`LayerSpec::Normalize`].
    pub fn new(input: InputShape, layers: Vec<LayerSpec>) -> Result<Self, ArchitectureError> {
        if input.is_empty() {
            return Err(ArchitectureError::EmptyInput(input));
        }
        let mut shapes = Vec::with_capacity(layers.len() + 1);
        let mut shape = input;
        shapes.push(shape);
        for (at, &layer) in layers.iter().enumerate() {
            shape = match layer {
                LayerSpec::Conv { outputs } => InputShape { channels: outputs, ..shape },
                LayerSpec::Norm | LayerSpec::Relu | LayerSpec::Normalize => shape,
                LayerSpec::MaxPool => {
                    InputShape { height: shape.height / 2, width: shape.width / 2, ..shape }
                }
                LayerSpec::MeanPool => InputShape { height: 1, width: 1, ..shape },
                LayerSpec::Linear { outputs } => InputShape { height: 1, width: 1, channels: outputs },
            };
            if shape.is_empty() {
                return Err(ArchitectureError::Vanishes { layer: at });
            }
            shapes.push(shape);
        }
        if layers.last() != Some(&LayerSpec::Normalize) {
            return Err(ArchitectureError::NotNormalized);
        }
        Ok(Self { input, layers, shapes })
    }

    /// Fully connected layers with ReLU between them, a linear map to `dim`, and normalisation.
    pub fn mlp(input: InputShape, hidden: &[usize], dim: usize) -> Result<Self, ArchitectureError> {
        let mut layers = Vec::new();
        for &outputs in hidden {
            layers.extend([LayerSpec::Linear { outputs }, LayerSpec::Relu]);
        }
        layers.extend([LayerSpec::Linear { outputs: dim }, LayerSpec::Normalize]);
        Self::new(input, layers)
    }

    /// Blocks of `depth` convolutions (1 at least), each with norm and ReLU and the last one pooled; then a linear map of
    /// all pixels to `dim`, and normalisation.
    ///
    /// Pooling stands before norm and ReLU: it commutes with the ReLU, and with the norm up to the statistics that the norm
    /// takes; both then touch a quarter of the numbers. A block whose image is smaller than 4x4 does not pool.
    ///
    /// ```
    /// use nearfar_core::net::{Architecture, InputShape};
    /// let input = InputShape { height: 28, width: 28, channels: 1 };
    /// let cnn = Architecture::cnn(input, &[8, 16], 2, 32)?;
    /// // Four convolutions, each with its norm's scale and shift; 7 x 7 pixels are left of 28 x 28.
    /// let convolutions = 9 * (8 + 8 * 8 + 8 * 16 + 16 * 16) + 2 * (8 + 8 + 16 + 16);
    /// assert_eq!(cnn.parameter_count(), convolutions + 7 * 7 * 16 * 32 + 32);
    /// # Ok::<(), nearfar_core::net::ArchitectureError>(())
    /// ```
    pub fn cnn(
        input: InputShape,
        channels: &[usize],
        depth: usize,
        dim: usize,
    ) -> Result<Self, ArchitectureError> {
        let mut layers = Vec::new();
        let (mut height, mut width) = (input.height, input.width);
        for &outputs in channels {
            for _ in 1..depth {
                layers.extend([LayerSpec::Conv { outputs }, LayerSpec::Norm, LayerSpec::Relu]);
            }
            layers.push(LayerSpec::Conv { outputs });
            if height >= 4 && width >= 4 {
                layers.push(LayerSpec::MaxPool);
                (height, width) = (height / 2, width / 2);
            }
            layers.extend([LayerSpec::Norm, LayerSpec::Relu]);
        }
        layers.extend([LayerSpec::Linear { outputs: dim }, LayerSpec::Normalize]);
        Self::new(input, layers)
    }

    /// Size of one input.
    #[must_use]
    pub const fn input(&self) -> InputShape {
        self.input
    }

    /// Numbers in one embedding, D.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.shapes.last().map_or(0, InputShape::len)
    }

    /// The layers in order.
    #[must_use]
    pub fn layers(&self) -> &[LayerSpec] {
        &self.layers
    }

    /// What goes into layer `i`, and at the end what comes out of the last one.
    #[must_use]
    pub fn shapes(&self) -> &[InputShape] {
        &self.shapes
    }

    /// Multiplications with addition in the products of one training step, a sample: forward, to the weights, and to the
    /// inputs of all but the first layer.
    ///
    /// ```
    /// use nearfar_core::net::{Architecture, InputShape};
    /// let input = InputShape { height: 28, width: 28, channels: 1 };
    /// let mlp = Architecture::mlp(input, &[512], 128)?;
    /// assert_eq!(mlp.training_multiply_adds(), 2 * 784 * 512 + 3 * 512 * 128);
    /// let cnn = Architecture::cnn(input, &[8], 1, 16)?; // pooled to 14 x 14
    /// assert_eq!(cnn.training_multiply_adds(), 2 * 784 * 9 * 8 + 3 * 14 * 14 * 8 * 16);
    /// # Ok::<(), nearfar_core::net::ArchitectureError>(())
    /// ```
    #[must_use]
    pub fn training_multiply_adds(&self) -> usize {
        let layers = self.layers.iter().zip(self.shapes.windows(2)).enumerate();
        let products = layers.map(|(at, (layer, shapes))| {
            let forward = match layer {
                LayerSpec::Conv { .. } => 9 * shapes[0].channels * shapes[1].len(),
                LayerSpec::Linear { .. } => shapes[0].len() * shapes[1].len(),
                _ => 0,
            };
            forward * if at == 0 { 2 } else { 3 }
        });
        products.sum()
    }

    /// Trainable numbers.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(ParameterSpec::len).sum()
    }

    /// Trainable tensors, layer by layer. Weights start uniform within `1 / sqrt(inputs of one output)`.
    pub(super) fn parameters(&self) -> Vec<ParameterSpec> {
        let mut list = Vec::new();
        for (at, (&layer, shape)) in self.layers.iter().zip(&self.shapes).enumerate() {
            let mut push = |name: &str, shape: Vec<usize>, init, decays| {
                list.push(ParameterSpec { name: format!("{at}.{name}"), shape, init, decays });
            };
            match layer {
                LayerSpec::Conv { outputs } => {
                    let bound = 1.0 / Scalar::sqrt((9 * shape.channels) as f64);
                    push("conv.weight", [3, 3, shape.channels, outputs].into(), Init::Uniform(bound), true);
                }
                LayerSpec::Linear { outputs } => {
                    let bound = 1.0 / Scalar::sqrt(shape.len() as f64);
                    push("linear.weight", [shape.len(), outputs].into(), Init::Uniform(bound), true);
                    push("linear.bias", [outputs].into(), Init::Zero, false);
                }
                LayerSpec::Norm => push("norm.affine", [2, shape.channels].into(), Init::Affine, false),
                LayerSpec::Relu | LayerSpec::MaxPool | LayerSpec::MeanPool | LayerSpec::Normalize => {}
            }
        }
        list
    }
}

/// Why a chain of layers is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// The input has no numbers.
    EmptyInput(InputShape),
    /// Nothing is left after this layer: an image too small for its poolings, or a layer without outputs.
    Vanishes {
        /// Index of the layer.
        layer: usize,
    },
    /// The last layer does not normalise, so the outputs are no points on the sphere.
    NotNormalized,
}

impl fmt::Display for ArchitectureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::EmptyInput(InputShape { height, width, channels }) => {
                write!(f, "an input of {height} x {width} x {channels} has no numbers")
            }
            Self::Vanishes { layer } => write!(f, "nothing is left of the input after layer {layer}"),
            Self::NotNormalized => write!(f, "the last layer of a network must normalise"),
        }
    }
}

impl core::error::Error for ArchitectureError {}
