//! A trained network as ONNX: raw inputs in, unit embeddings out.
//!
//! ```text
//! input      f32 [batch, height, width, channels], vectors [batch, features]; in the scale that `embed` reads
//! embedding  f32 [batch, D]
//! ```
//! The normalisation of inputs is part of the graph; batch norms use their running statistics; `batch` is free. Images
//! are turned to channels first before the first layer that needs it, as the operators want them. Several views of a
//! picture are made of it here and go through the network as one larger batch. A sample that the network maps to the
//! origin has no direction: `embed` says so, this graph gives NaN.

pub mod proto;

use anyhow::{Context, Result, ensure};
use nearfar_core::Discriminants;
use nearfar_core::kernel::scalar::Reference;
use nearfar_core::net::{Architecture, InputShape, LayerSpec, NORM_EPSILON, Tensor};
use prost::Message;

use crate::model::{JOINT, ModelFile};
use crate::views::Views;
use proto::{
    AttributeProto, DimensionProto, FLOAT, GraphProto, INT64, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// Version of the standard operators: of 2022, known to every runtime since.
pub const OPSET: i64 = 17;
/// Version of the file format that goes with it.
const IR_VERSION: i64 = 8;
/// The largest file: Protocol Buffers end at 2 GiB.
const BYTES_MAX: usize = (1 << 31) - 1;

/// Sizes of one input: those of the image, or the number of features of a vector.
#[must_use]
pub fn input_sizes(architecture: &Architecture) -> Vec<usize> {
    let InputShape { height, width, channels } = architecture.input();
    if (height, width) == (1, 1) { vec![channels] } else { vec![height, width, channels] }
}

/// The bytes of the file; the same model gives the same bytes.
pub fn encode(model: &ModelFile) -> Result<Vec<u8>> {
    let graph = graph(model)?;
    let file = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "nearfar".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
    };
    let size = file.encoded_len();
    ensure!(size <= BYTES_MAX, "it would have {size} bytes; ONNX ends at {BYTES_MAX}");
    Ok(file.encode_to_vec())
}

/// How the numbers of a batch lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// `[batch, channels]`: one pixel.
    Rows,
    /// `[batch, height, width, channels]`.
    ChannelsLast,
    /// `[batch, channels, height, width]`.
    ChannelsFirst,
}

/// The graph as it grows.
struct Builder {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    /// Name of the last result.
    at: String,
    layout: Layout,
}

fn graph(model: &ModelFile) -> Result<GraphProto> {
    let architecture = &model.card.architecture;
    // Through a network: that finds every tensor and compares its shape.
    let mut tensors = model.network(&Reference, 1, false)?.tensors(false)?;
    let mut take = |name: String| {
        let place = tensors.iter().position(|tensor| tensor.name == name);
        place.map(|place| tensors.swap_remove(place)).with_context(|| format!("it has no tensor {name}"))
    };
    let sizes = input_sizes(architecture);
    let mut builder = Builder {
        nodes: Vec::new(),
        initializers: Vec::new(),
        at: "input".to_owned(),
        layout: if sizes.len() == 1 { Layout::Rows } else { Layout::ChannelsLast },
    };
    builder.normalize_input(model.card.normalization.mean(), model.card.normalization.std());
    let views = model.card.views;
    if views.count() > 1 {
        builder.show(views, architecture.input());
    }
    for (at, (&layer, &shape)) in architecture.layers().iter().zip(architecture.shapes()).enumerate() {
        match layer {
            LayerSpec::Conv { .. } => builder.conv(at, shape, &take(format!("{at}.conv.weight"))?),
            LayerSpec::Norm => {
                let (affine, running) =
                    (take(format!("{at}.norm.affine"))?, take(format!("{at}.norm.running"))?);
                builder.norm(at, shape, &affine, &running);
            }
            LayerSpec::Relu => builder.node(at, "Relu", &[], Vec::new()),
            LayerSpec::MaxPool => {
                builder.channels_first(at, shape);
                let two = || vec![2, 2];
                let settings = vec![ints("kernel_shape", two()), ints("strides", two())];
                builder.node(at, "MaxPool", &[], settings);
            }
            LayerSpec::MeanPool => {
                builder.channels_first(at, shape);
                builder.node(at, "GlobalAveragePool", &[], Vec::new());
            }
            LayerSpec::Linear { .. } => {
                let (weight, bias) =
                    (take(format!("{at}.linear.weight"))?, take(format!("{at}.linear.bias"))?);
                builder.linear(at, shape, weight, bias);
            }
            LayerSpec::Normalize => builder.normalize(at),
            other => anyhow::bail!("{other:?} has no form in ONNX here"),
        }
    }
    if let Some(&shape) = architecture.shapes().last() {
        builder.rows(architecture.layers().len(), shape);
    }
    if views.count() > 1 {
        match model.joint()? {
            Some(joint) => builder.join(architecture.layers().len(), views, &joint),
            None => builder.mean(architecture.layers().len(), views, architecture.dim()),
        }
    }
    builder.finish("embedding");
    Ok(GraphProto {
        node: builder.nodes,
        name: "nearfar".to_owned(),
        initializer: builder.initializers,
        doc_string: "raw inputs, in the scale of the data, to unit embeddings".to_owned(),
        input: vec![value("input", &sizes)],
        output: vec![value("embedding", &[architecture.dim()])],
    })
}

impl Builder {
    /// Adds an operation on the last result.
    fn node(&mut self, layer: usize, operator: &str, others: &[&str], attribute: Vec<AttributeProto>) {
        // A layer may have several operations of one kind: the count keeps names apart.
        let name = format!("{layer}.{operator}.{}", self.nodes.len());
        self.nodes.push(NodeProto {
            input: [self.at.as_str()].iter().chain(others).map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.to_owned(),
            attribute,
        });
        self.at = name;
    }

    /// Gives the last result its public name.
    fn finish(&mut self, name: &str) {
        if let Some(output) = self.nodes.last_mut().and_then(|node| node.output.first_mut()) {
            name.clone_into(output);
        }
    }

    fn floats(&mut self, name: &str, sizes: &[usize], values: &[f32]) {
        self.initializers.push(TensorProto {
            dims: sizes.iter().map(|&size| size as i64).collect(),
            data_type: FLOAT,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
    }

    fn integers(&mut self, name: &str, values: &[i64]) {
        self.initializers.push(TensorProto {
            dims: vec![values.len() as i64],
            data_type: INT64,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
    }

    /// All views of a batch, one batch after another: windows of pictures whose edges are repeated once.
    fn show(&mut self, views: Views, shape: InputShape) {
        let InputShape { height, width, .. } = shape;
        if views.turned() {
            return self.turn(views);
        }
        self.integers("views.border", &[0, 1, 1, 0, 0, 1, 1, 0]);
        self.integers("views.axes", &[1, 2]);
        let edge = AttributeProto {
            name: "mode".to_owned(),
            s: Some(b"edge".to_vec()),
            r#type: 3,
            ..AttributeProto::default()
        };
        self.node(0, "Pad", &["views.border"], vec![edge]);
        let framed = self.at.clone();
        let mut shown = Vec::new();
        for (view, [down, right]) in views.offsets().iter().enumerate() {
            let (starts, ends) = (format!("views.{view}.starts"), format!("views.{view}.ends"));
            let (top, left) = (1 + *down as i64, 1 + *right as i64);
            self.integers(&starts, &[top, left]);
            self.integers(&ends, &[top + height as i64, left + width as i64]);
            self.at.clone_from(&framed);
            self.node(0, "Slice", &[&starts, &ends, "views.axes"], Vec::new());
            shown.push(self.at.clone());
        }
        self.stack(shown);
    }

    /// As [`show`](Self::show): rows upside down, columns right to left, rows for columns.
    fn turn(&mut self, views: Views) {
        self.integers("views.last", &[-1]);
        self.integers("views.before", &[i64::MIN]);
        self.integers("views.rows", &[1]);
        self.integers("views.columns", &[2]);
        let picture = self.at.clone();
        let mut shown = Vec::new();
        for &[down, right, across] in views.turns() {
            self.at.clone_from(&picture);
            for (flip, axis) in [(down, "views.rows"), (right, "views.columns")] {
                if flip {
                    // From the last one on, backwards, to before the first.
                    self.node(0, "Slice", &["views.last", "views.before", axis, "views.last"], Vec::new());
                }
            }
            if across {
                self.node(0, "Transpose", &[], vec![ints("perm", vec![0, 2, 1, 3])]);
            }
            shown.push(self.at.clone());
        }
        self.stack(shown);
    }

    /// Batches one after another.
    fn stack(&mut self, mut batches: Vec<String>) {
        self.at = batches.remove(0);
        let others: Vec<&str> = batches.iter().map(String::as_str).collect();
        self.node(0, "Concat", &others, vec![int("axis", 0)]);
    }

    /// Of each sample what the map makes of its views' embeddings, side by side, as a unit vector.
    fn join(&mut self, layer: usize, views: Views, joint: &Discriminants) {
        let (count, dim) = (views.count(), joint.dim());
        self.integers("views.apart", &[count as i64, -1, dim as i64]);
        self.integers("views.together", &[-1, joint.inputs() as i64]);
        self.node(layer, "Reshape", &["views.apart"], Vec::new());
        self.node(layer, "Transpose", &[], vec![ints("perm", vec![1, 0, 2])]);
        self.node(layer, "Reshape", &["views.together"], Vec::new());
        // `[D, V D]`, here `[V D, D]`.
        let weights = joint.weights();
        let turned: Vec<f32> = (0..joint.inputs() * dim)
            .map(|at| weights[at % dim * joint.inputs() + at / dim] as f32)
            .collect();
        self.floats(JOINT, &[joint.inputs(), dim], &turned);
        self.node(layer, "MatMul", &[JOINT], Vec::new());
        self.normalize(layer);
    }

    /// Of each sample the mean of its views' embeddings, as a unit vector again.
    fn mean(&mut self, layer: usize, views: Views, dim: usize) {
        self.integers("views.apart", &[views.count() as i64, -1, dim as i64]);
        self.node(layer, "Reshape", &["views.apart"], Vec::new());
        self.node(layer, "ReduceMean", &[], vec![ints("axes", vec![0]), int("keepdims", 0)]);
        self.normalize(layer);
    }

    /// `(raw - mean) / std`, channels being last in both layouts of an input.
    fn normalize_input(&mut self, mean: &[f32], std: &[f32]) {
        self.floats("input.mean", &[mean.len()], mean);
        self.floats("input.std", &[std.len()], std);
        self.node(0, "Sub", &["input.mean"], Vec::new());
        self.node(0, "Div", &["input.std"], Vec::new());
    }

    fn channels_first(&mut self, layer: usize, shape: InputShape) {
        match self.layout {
            Layout::ChannelsFirst => {}
            Layout::ChannelsLast => self.node(layer, "Transpose", &[], vec![ints("perm", vec![0, 3, 1, 2])]),
            Layout::Rows => {
                let name = format!("{layer}.pixel");
                // 0 keeps the size that is there: the batch.
                self.integers(&name, &[0, shape.channels as i64, 1, 1]);
                self.node(layer, "Reshape", &[&name], Vec::new());
            }
        }
        self.layout = Layout::ChannelsFirst;
    }

    /// All numbers of a sample in a row, channels innermost, as the weights of a linear layer have them.
    fn rows(&mut self, layer: usize, shape: InputShape) {
        if self.layout == Layout::Rows {
            return;
        }
        if self.layout == Layout::ChannelsFirst && (shape.height, shape.width) != (1, 1) {
            self.node(layer, "Transpose", &[], vec![ints("perm", vec![0, 2, 3, 1])]);
        }
        self.node(layer, "Flatten", &[], vec![int("axis", 1)]);
        self.layout = Layout::Rows;
    }

    /// Weights `[3, 3, inputs, outputs]`, here `[outputs, inputs, 3, 3]`.
    fn conv(&mut self, layer: usize, shape: InputShape, weight: &Tensor<f32>) {
        self.channels_first(layer, shape);
        let (inputs, outputs) = (weight.shape[2], weight.shape[3]);
        let mut turned = Vec::with_capacity(weight.values.len());
        for output in 0..outputs {
            for input in 0..inputs {
                turned.extend((0..9).map(|at| weight.values[(at * inputs + input) * outputs + output]));
            }
        }
        self.floats(&weight.name, &[outputs, inputs, 3, 3], &turned);
        let settings = vec![ints("kernel_shape", vec![3, 3]), ints("pads", vec![1; 4])];
        self.node(layer, "Conv", &[&weight.name], settings);
    }

    fn norm(&mut self, layer: usize, shape: InputShape, affine: &Tensor<f32>, running: &Tensor<f32>) {
        if self.layout == Layout::ChannelsLast {
            self.channels_first(layer, shape);
        }
        let names = ["scale", "shift", "mean", "variance"].map(|part| format!("{layer}.norm.{part}"));
        let parts =
            affine.values.chunks_exact(shape.channels).chain(running.values.chunks_exact(shape.channels));
        for (name, part) in names.iter().zip(parts) {
            self.floats(name, &[shape.channels], part);
        }
        let epsilon = AttributeProto {
            name: "epsilon".to_owned(),
            f: Some(NORM_EPSILON as f32),
            r#type: 1,
            ..AttributeProto::default()
        };
        self.node(layer, "BatchNormalization", &names.each_ref().map(String::as_str), vec![epsilon]);
    }

    fn linear(&mut self, layer: usize, shape: InputShape, weight: Tensor<f32>, bias: Tensor<f32>) {
        self.rows(layer, shape);
        self.floats(&weight.name, &weight.shape, &weight.values);
        self.floats(&bias.name, &bias.shape, &bias.values);
        self.node(layer, "Gemm", &[&weight.name, &bias.name], Vec::new());
    }

    /// Division by the length of all numbers of a sample.
    fn normalize(&mut self, layer: usize) {
        let axes = if self.layout == Layout::Rows { vec![1] } else { vec![1, 2, 3] };
        let before = self.at.clone();
        self.node(layer, "ReduceL2", &[], vec![ints("axes", axes), int("keepdims", 1)]);
        let length = std::mem::replace(&mut self.at, before);
        self.node(layer, "Div", &[&length], Vec::new());
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: Some(value), r#type: 2, ..AttributeProto::default() }
}

fn ints(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.to_owned(), ints: values, r#type: 7, ..AttributeProto::default() }
}

/// A tensor of f32 with a free first size.
fn value(name: &str, sizes: &[usize]) -> ValueInfoProto {
    let batch = DimensionProto { dim_value: None, dim_param: Some("batch".to_owned()) };
    let fixed = |&size: &usize| DimensionProto { dim_value: Some(size as i64), dim_param: None };
    let dim = [batch].into_iter().chain(sizes.iter().map(fixed)).collect();
    let tensor = TensorTypeProto { elem_type: FLOAT, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}
