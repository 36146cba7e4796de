//! The model file: safetensors with everything that embedding an input needs.
//!
//! The tensors are those of [`Network::tensors`]; the header's metadata holds the chain of layers, the input shape,
//! the normalisation of inputs and the configuration of the run. Numbers are little-endian f32.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nearfar_core::Discriminants;
use nearfar_core::kernel::Backend;
use nearfar_core::net::{Architecture, InputShape, LayerSpec, Network, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::data::normalize::Normalization;
use crate::views::Views;
use crate::write::replace_file;

/// Name of the map `[D, V D]` that joins turned views.
pub const JOINT: &str = "views.joint";

/// Version of the metadata below.
const FORMAT: &str = "nearfar-model-1";

/// A network as text: what [`Architecture`] is made from.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Blueprint {
    /// Height, width, channels.
    input: [usize; 3],
    /// One word a layer, with its size where it has one: `conv 32`.
    layers: Vec<String>,
}

impl Blueprint {
    fn of(architecture: &Architecture) -> Self {
        let InputShape { height, width, channels } = architecture.input();
        let layers = architecture.layers().iter().map(|&layer| layer_name(layer)).collect();
        Self { input: [height, width, channels], layers }
    }

    fn build(&self) -> Result<Architecture> {
        let [height, width, channels] = self.input;
        let count = self.layers.len();
        ensure!(count <= LAYERS_MAX, "it lists {count} layers; {LAYERS_MAX} at most can be");
        // Before anything is multiplied further: the header may be hostile.
        let numbers = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
        ensure!(numbers.is_some_and(|n| n <= NUMBERS_MAX), "its input {:?} is impossibly large", self.input);
        let layers = self.layers.iter().map(|text| parse_layer(text)).collect::<Result<_>>()?;
        let architecture = Architecture::new(InputShape { height, width, channels }, layers)?;
        ensure_buildable(&architecture)?;
        Ok(architecture)
    }
}

/// Layers of the deepest network that is read.
const LAYERS_MAX: usize = 256;
/// Numbers of the largest network that is built: weights (a GiB of them), and what one sample is within all layers.
const WEIGHTS_MAX: usize = 1 << 28;
const NUMBERS_MAX: usize = 1 << 26;

/// An error for a network that no machine which runs this program would hold; looked at before memory is taken.
///
/// Its layers have at most 2^20 outputs each and its input at most 2^26 numbers, so no product here overflows.
pub(crate) fn ensure_buildable(architecture: &Architecture) -> Result<()> {
    let numbers: usize = architecture.shapes().iter().map(InputShape::len).sum();
    ensure!(
        numbers <= NUMBERS_MAX,
        "its layers hold {numbers} numbers a sample; {NUMBERS_MAX} at most can be"
    );
    let weights = architecture.parameter_count();
    ensure!(weights <= WEIGHTS_MAX, "its layers need {weights} weights; {WEIGHTS_MAX} at most can be");
    Ok(())
}

fn layer_name(layer: LayerSpec) -> String {
    match layer {
        LayerSpec::Conv { outputs } => format!("conv {outputs}"),
        LayerSpec::Linear { outputs } => format!("linear {outputs}"),
        LayerSpec::Norm => "norm".into(),
        LayerSpec::Relu => "relu".into(),
        LayerSpec::MaxPool => "max-pool".into(),
        LayerSpec::MeanPool => "mean-pool".into(),
        LayerSpec::Normalize => "normalize".into(),
        other => unreachable!("{other:?} has no name in the model file"),
    }
}

fn parse_layer(text: &str) -> Result<LayerSpec> {
    let (kind, size) = text.split_once(' ').map_or((text, None), |(kind, size)| (kind, Some(size)));
    let outputs = || -> Result<usize> {
        let outputs =
            size.and_then(|s| s.parse().ok()).with_context(|| format!("layer `{text}` has no size"))?;
        // A layer this wide would not fit any machine that runs this program; the header may be hostile.
        ensure!((1..=1 << 20).contains(&outputs), "layer `{text}` has an impossible size");
        Ok(outputs)
    };
    Ok(match kind {
        "conv" => LayerSpec::Conv { outputs: outputs()? },
        "linear" => LayerSpec::Linear { outputs: outputs()? },
        "norm" => LayerSpec::Norm,
        "relu" => LayerSpec::Relu,
        "max-pool" => LayerSpec::MaxPool,
        "mean-pool" => LayerSpec::MeanPool,
        "normalize" => LayerSpec::Normalize,
        _ => bail!("layer `{text}` is unknown to this version of nearfar"),
    })
}

/// What a model file says besides its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCard {
    /// The network.
    pub architecture: Architecture,
    /// How inputs are scaled before they enter.
    pub normalization: Normalization,
    /// The views of an input that its embedding is made of.
    pub views: Views,
    /// The run file that made it, as TOML.
    pub config: String,
}

/// A model file in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFile {
    /// What it is.
    pub card: ModelCard,
    /// Further metadata, such as the step of a training state.
    pub extra: HashMap<String, String>,
    /// Its tensors, by name.
    pub tensors: HashMap<String, Tensor<f32>>,
}

impl ModelFile {
    /// Bytes of the file; the same content gives the same bytes.
    pub fn encode(card: &ModelCard, extra: &[(&str, String)], tensors: &[Tensor<f32>]) -> Result<Vec<u8>> {
        let mut metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("architecture".to_owned(), serde_json::to_string(&Blueprint::of(&card.architecture))?),
            ("normalization".to_owned(), serde_json::to_string(&card.normalization)?),
            ("views".to_owned(), card.views.count().to_string()),
            ("config".to_owned(), card.config.clone()),
        ]);
        metadata.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|t| t.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views = tensors
            .iter()
            .zip(&bytes)
            .map(|(t, bytes)| Ok((t.name.clone(), TensorView::new(Dtype::F32, t.shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>>>()?;
        // The library keeps metadata in a hash map, whose order differs from run to run. A single entry has one
        // order, so all of it goes into one.
        let ordered: std::collections::BTreeMap<_, _> = metadata.into_iter().collect();
        let single = HashMap::from([("nearfar".to_owned(), serde_json::to_string(&ordered)?)]);
        Ok(safetensors::serialize(views, Some(single))?)
    }

    /// Writes [`encode`](Self::encode) to `path`, whole or not at all.
    pub fn save(
        path: &Path,
        card: &ModelCard,
        extra: &[(&str, String)],
        tensors: &[Tensor<f32>],
    ) -> Result<()> {
        replace_file(path, &Self::encode(card, extra, tensors)?)
    }

    /// Reads a file that [`save`](Self::save) wrote.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read the model {}", path.display()))?;
        Self::decode(&bytes).with_context(|| format!("{} is not a model of nearfar", path.display()))
    }

    /// The content of a model file. Nothing is allocated from a size that the bytes do not back.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let text = header
            .metadata()
            .as_ref()
            .and_then(|m| m.get("nearfar"))
            .context("its header has no entry `nearfar`")?;
        let mut metadata: HashMap<String, String> =
            serde_json::from_str(text).context("its entry `nearfar` is no table of texts")?;
        let mut take = |key: &str| metadata.remove(key).with_context(|| format!("its header has no `{key}`"));
        let format = take("format")?;
        ensure!(format == FORMAT, "its format is `{format}`, this version reads `{FORMAT}`");
        let blueprint: Blueprint =
            serde_json::from_str(&take("architecture")?).context("in its architecture")?;
        let card = ModelCard {
            architecture: blueprint.build()?,
            normalization: serde_json::from_str(&take("normalization")?).context("in its normalization")?,
            views: Views::new(take("views")?.parse().context("in its views")?, blueprint.input)?,
            config: take("config")?,
        };
        card.normalization.check(blueprint.input)?;
        let mut tensors = HashMap::new();
        for (name, view) in SafeTensors::deserialize(bytes)?.iter() {
            ensure!(view.dtype() == Dtype::F32, "tensor {name} is {:?}, not F32", view.dtype());
            let values: Vec<f32> =
                view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            ensure!(values.iter().all(|v| v.is_finite()), "tensor {name} holds NaN or infinity");
            let tensor = Tensor { name: name.to_owned(), shape: view.shape().to_vec(), values };
            tensors.insert(name.to_owned(), tensor);
        }
        Ok(Self { card, extra: metadata, tensors })
    }

    /// What joins the views of an input, if they are turned.
    pub fn joint(&self) -> Result<Option<Discriminants>> {
        let (views, dim) = (self.card.views, self.card.architecture.dim());
        if !views.turned() {
            return Ok(None);
        }
        let tensor = self.tensors.get(JOINT).with_context(|| format!("it has no tensor {JOINT}"))?;
        let wanted = [dim, views.count() * dim];
        ensure!(tensor.shape == wanted, "tensor {JOINT} has shape {:?}, not {wanted:?}", tensor.shape);
        Ok(Discriminants::from_weights(wanted[1], &tensor.values))
    }

    /// A network with these tensors, for batches of at most `capacity`; with `training`, its optimiser state too.
    pub fn network<'b, B: Backend<f32>>(
        &self,
        backend: &'b B,
        capacity: usize,
        training: bool,
    ) -> Result<Network<'b, f32, B>> {
        // Compared before a network is made: a header may claim layers that its tensors do not fill.
        let claimed = self.card.architecture.parameter_count();
        let stored: usize = self.tensors.values().map(|t| t.values.len()).sum();
        ensure!(claimed <= stored, "the layers need {claimed} numbers, the file holds {stored}");
        let mut network = Network::new(backend, self.card.architecture.clone(), capacity, 0)?;
        network.load(training, |name| self.tensors.get(name))?;
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_is_read_back_from_its_name() {
        let layers = [
            LayerSpec::Conv { outputs: 3 },
            LayerSpec::Linear { outputs: 5 },
            LayerSpec::Norm,
            LayerSpec::Relu,
            LayerSpec::MaxPool,
            LayerSpec::MeanPool,
            LayerSpec::Normalize,
        ];
        for layer in layers {
            assert_eq!(parse_layer(&layer_name(layer)).unwrap(), layer);
        }
    }

    #[test]
    fn impossible_networks_are_refused_before_memory_is_taken() {
        let build = |input, layers: Vec<&str>| {
            let layers = layers.into_iter().map(str::to_owned).collect();
            format!("{:#}", Blueprint { input, layers }.build().unwrap_err())
        };
        let deep = [&["relu"; 1_000_000][..], &["normalize"]].concat();
        assert!(build([28, 28, 1], deep).contains("1000001 layers"));
        assert!(build([usize::MAX, 2, 1], vec!["normalize"]).contains("impossibly large"));
        let wide = vec!["linear 1048576", "linear 1048576", "normalize"];
        assert!(build([1, 1, 8], wide).contains("weights"));
        assert!(build([8192, 8192, 1], vec!["conv 1048576", "normalize"]).contains("numbers a sample"));
    }

    #[test]
    fn an_unknown_layer_is_an_error_that_names_it() {
        assert!(parse_layer("attention 8").unwrap_err().to_string().contains("`attention 8` is unknown"));
        assert!(parse_layer("conv 99999999999").is_err());
        assert!(parse_layer("conv").is_err());
    }
}
