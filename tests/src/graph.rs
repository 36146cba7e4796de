//! ONNX graphs by definition, in double precision: each operator as the standard words it, in plain loops. Only the
//! operators and settings that our networks have; anything else is a panic.

use std::collections::BTreeMap;

use nearfar::onnx::proto::{AttributeProto, FLOAT, GraphProto, NodeProto, TensorProto};

/// Numbers of a size.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Outermost first.
    pub sizes: Vec<usize>,
    /// Row-major.
    pub values: Vec<f64>,
}

impl Array {
    /// What an initialiser holds.
    ///
    /// # Panics
    /// If its bytes are not as many as its sizes say.
    #[must_use]
    pub fn of(tensor: &TensorProto) -> Self {
        let sizes: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
        let values: Vec<f64> = if tensor.data_type == FLOAT {
            tensor.raw_data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
        } else {
            tensor.raw_data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect()
        };
        assert_eq!(values.len(), sizes.iter().product::<usize>(), "{}", tensor.name);
        Self { sizes, values }
    }

    fn map(&self, f: impl Fn(usize, f64) -> f64) -> Self {
        let values = self.values.iter().enumerate().map(|(at, &value)| f(at, value)).collect();
        Self { sizes: self.sizes.clone(), values }
    }
}

/// Runs a graph of one input and one output.
///
/// # Panics
/// For an operator or a setting that is not among ours, and for a result that nobody made.
#[must_use]
pub fn run(graph: &GraphProto, input: Array) -> Array {
    let mut known: BTreeMap<&str, Array> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), Array::of(tensor))).collect();
    known.insert(&graph.input[0].name, input);
    for node in &graph.node {
        let inputs: Vec<&Array> = node
            .input
            .iter()
            .map(|name| known.get(name.as_str()).unwrap_or_else(|| panic!("nobody made {name}")))
            .collect();
        let result = operator(node, &inputs);
        assert!(known.insert(&node.output[0], result).is_none(), "{} is made twice", node.output[0]);
    }
    known.remove(graph.output[0].name.as_str()).expect("the output is made")
}

fn setting<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn operator(node: &NodeProto, inputs: &[&Array]) -> Array {
    let x = inputs[0];
    match node.op_type.as_str() {
        "Sub" => broadcast(x, inputs[1], |a, b| a - b),
        "Div" => broadcast(x, inputs[1], |a, b| a / b),
        "Relu" => x.map(|_, v| v.max(0.0)),
        "Transpose" => transpose(x, &setting(node, "perm").expect("perm").ints),
        "Flatten" => {
            assert_eq!(setting(node, "axis").and_then(|a| a.i), Some(1));
            let batch = x.sizes[0];
            Array { sizes: vec![batch, x.values.len() / batch], values: x.values.clone() }
        }
        "Reshape" => {
            let wanted = &inputs[1].values;
            let known: f64 = wanted.iter().filter(|&&size| size > 0.0).product();
            let size = |(at, &wanted): (usize, &f64)| match wanted {
                0.0 => x.sizes[at],
                // What is left over.
                -1.0 => x.values.len() / known as usize,
                _ => wanted as usize,
            };
            let sizes: Vec<usize> = wanted.iter().enumerate().map(size).collect();
            assert_eq!(sizes.iter().product::<usize>(), x.values.len());
            Array { sizes, values: x.values.clone() }
        }
        "Pad" => {
            assert_eq!(setting(node, "mode").and_then(|a| a.s.as_deref()), Some(&b"edge"[..]));
            pad_edges(x, &inputs[1].values)
        }
        "Slice" if inputs.len() == 5 => backwards(x, [1, 2, 3, 4].map(|i| &inputs[i].values[..])),
        "Slice" => slice(x, [1, 2, 3].map(|i| &inputs[i].values[..])),
        "Concat" => {
            assert_eq!(setting(node, "axis").and_then(|a| a.i), Some(0));
            let mut sizes = x.sizes.clone();
            sizes[0] = inputs.iter().map(|part| part.sizes[0]).sum();
            Array { sizes, values: inputs.iter().flat_map(|part| part.values.iter().copied()).collect() }
        }
        "ReduceMean" => {
            assert_eq!(setting(node, "axes").expect("axes").ints, [0]);
            assert_eq!(setting(node, "keepdims").and_then(|a| a.i), Some(0));
            let (count, row) = (x.sizes[0], x.values.len() / x.sizes[0]);
            let mean = |at| (0..count).map(|n| x.values[n * row + at]).sum::<f64>() / count as f64;
            Array { sizes: x.sizes[1..].to_vec(), values: (0..row).map(mean).collect() }
        }
        "Gemm" => gemm(x, inputs[1], inputs[2]),
        "MatMul" => {
            let outputs = inputs[1].sizes[1];
            gemm(x, inputs[1], &Array { sizes: vec![outputs], values: vec![0.0; outputs] })
        }
        "Conv" => {
            assert_eq!(setting(node, "pads").expect("pads").ints, [1, 1, 1, 1]);
            conv(x, inputs[1])
        }
        "MaxPool" => {
            assert_eq!(setting(node, "kernel_shape").expect("kernel_shape").ints, [2, 2]);
            assert_eq!(setting(node, "strides").expect("strides").ints, [2, 2]);
            max_pool(x)
        }
        "GlobalAveragePool" => {
            let area = x.sizes[2] * x.sizes[3];
            let values = x.values.chunks(area).map(|image| image.iter().sum::<f64>() / area as f64).collect();
            Array { sizes: vec![x.sizes[0], x.sizes[1], 1, 1], values }
        }
        "BatchNormalization" => {
            let epsilon = f64::from(setting(node, "epsilon").and_then(|a| a.f).expect("epsilon"));
            let (channels, area) = (x.sizes[1], x.sizes[2..].iter().product::<usize>());
            x.map(|at, v| {
                let c = at / area % channels;
                let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|i| inputs[i].values[c]);
                (v - mean) / (variance + epsilon).sqrt() * scale + shift
            })
        }
        "ReduceL2" => {
            let axes = &setting(node, "axes").expect("axes").ints;
            assert_eq!(*axes, (1..x.sizes.len() as i64).collect::<Vec<_>>(), "all axes but the batch");
            assert_eq!(setting(node, "keepdims").and_then(|a| a.i), Some(1));
            let row = x.values.len() / x.sizes[0];
            let values =
                x.values.chunks(row).map(|row| row.iter().map(|v| v * v).sum::<f64>().sqrt()).collect();
            let sizes =
                x.sizes.iter().enumerate().map(|(at, &size)| if at == 0 { size } else { 1 }).collect();
            Array { sizes, values }
        }
        other => panic!("{other} is not among the operators of our networks"),
    }
}

/// `b` is one number a channel of a last axis, or one a sample.
fn broadcast(a: &Array, b: &Array, f: impl Fn(f64, f64) -> f64) -> Array {
    if b.sizes.len() == 1 {
        assert_eq!(a.sizes.last(), b.sizes.first());
        return a.map(|at, v| f(v, b.values[at % b.values.len()]));
    }
    assert!(b.sizes.len() == a.sizes.len() && b.values.len() == a.sizes[0], "{:?} {:?}", a.sizes, b.sizes);
    let row = a.values.len() / a.sizes[0];
    a.map(|at, v| f(v, b.values[at / row]))
}

/// Every number of an array of `sizes`, taken from a place that `from` finds for its own.
fn gather(x: &Array, sizes: Vec<usize>, from: impl Fn(usize, usize) -> usize) -> Array {
    let values = (0..sizes.iter().product::<usize>())
        .map(|mut at| {
            let (mut place, mut stride) = (0, 1);
            for (axis, (&size, &of)) in sizes.iter().zip(&x.sizes).enumerate().rev() {
                place += from(axis, at % size) * stride;
                (at, stride) = (at / size, stride * of);
            }
            x.values[place]
        })
        .collect();
    Array { sizes, values }
}

/// `pads` before each axis, then behind each; what lies there repeats the edge.
fn pad_edges(x: &Array, pads: &[f64]) -> Array {
    let (before, behind) = pads.split_at(x.sizes.len());
    let sizes = x.sizes.iter().zip(before.iter().zip(behind));
    let sizes = sizes.map(|(&size, (a, b))| size + *a as usize + *b as usize).collect();
    gather(x, sizes, |axis, at| at.saturating_sub(before[axis] as usize).min(x.sizes[axis] - 1))
}

/// From `starts` to before `ends` on `axes`, all of the others.
fn slice(x: &Array, [starts, ends, axes]: [&[f64]; 3]) -> Array {
    let (mut sizes, mut first) = (x.sizes.clone(), vec![0; x.sizes.len()]);
    for (&axis, (&start, &end)) in axes.iter().zip(starts.iter().zip(ends)) {
        assert!(0.0 <= start && start < end && end <= x.sizes[axis as usize] as f64, "{start} to {end}");
        sizes[axis as usize] = (end - start) as usize;
        first[axis as usize] = start as usize;
    }
    gather(x, sizes, |axis, at| first[axis] + at)
}

/// One axis from its last place to its first.
fn backwards(x: &Array, [starts, ends, axes, steps]: [&[f64]; 4]) -> Array {
    assert_eq!((starts, ends, steps), (&[-1.0][..], &[i64::MIN as f64][..], &[-1.0][..]));
    let &[flipped] = axes else { panic!("{axes:?}") };
    gather(x, x.sizes.clone(), |axis, at| if axis == flipped as usize { x.sizes[axis] - 1 - at } else { at })
}

fn transpose(x: &Array, perm: &[i64]) -> Array {
    let perm: Vec<usize> = perm.iter().map(|&p| p as usize).collect();
    let strides: Vec<usize> = (0..x.sizes.len()).map(|at| x.sizes[at + 1..].iter().product()).collect();
    let sizes: Vec<usize> = perm.iter().map(|&p| x.sizes[p]).collect();
    let mut values = Vec::with_capacity(x.values.len());
    for mut at in 0..x.values.len() {
        let mut from = 0;
        for (place, &size) in sizes.iter().enumerate().rev() {
            from += at % size * strides[perm[place]];
            at /= size;
        }
        values.push(x.values[from]);
    }
    Array { sizes, values }
}

fn gemm(x: &Array, w: &Array, b: &Array) -> Array {
    let (inputs, outputs) = (w.sizes[0], w.sizes[1]);
    assert_eq!((x.sizes[1], b.sizes[0]), (inputs, outputs));
    let values = x
        .values
        .chunks(inputs)
        .flat_map(|row| {
            (0..outputs)
                .map(|o| b.values[o] + (0..inputs).map(|i| row[i] * w.values[i * outputs + o]).sum::<f64>())
                .collect::<Vec<_>>()
        })
        .collect();
    Array { sizes: vec![x.sizes[0], outputs], values }
}

/// 3x3, padding 1, stride 1; channels first.
fn conv(x: &Array, w: &Array) -> Array {
    let [batch, inputs, height, width] = x.sizes[..] else { panic!("{:?}", x.sizes) };
    let outputs = w.sizes[0];
    assert_eq!(w.sizes, [outputs, inputs, 3, 3]);
    let mut values = Vec::with_capacity(batch * outputs * height * width);
    for (n, o) in (0..batch).flat_map(|n| (0..outputs).map(move |o| (n, o))) {
        for (r, c) in (0..height).flat_map(|r| (0..width).map(move |c| (r, c))) {
            let mut sum = 0.0;
            for i in 0..inputs {
                for (dr, dc) in (0..3).flat_map(|dr| (0..3).map(move |dc| (dr, dc))) {
                    // Outside the image is 0; 1 is taken off last, so that no index falls below 0.
                    if (1..=height).contains(&(r + dr)) && (1..=width).contains(&(c + dc)) {
                        let at = ((n * inputs + i) * height + r + dr - 1) * width + c + dc - 1;
                        sum += x.values[at] * w.values[((o * inputs + i) * 3 + dr) * 3 + dc];
                    }
                }
            }
            values.push(sum);
        }
    }
    Array { sizes: vec![batch, outputs, height, width], values }
}

/// 2x2, stride 2; a last odd row or column is dropped. Channels first.
fn max_pool(x: &Array) -> Array {
    let [batch, channels, height, width] = x.sizes[..] else { panic!("{:?}", x.sizes) };
    let mut values = Vec::new();
    for image in x.values.chunks(height * width) {
        for (r, c) in (0..height / 2).flat_map(|r| (0..width / 2).map(move |c| (r, c))) {
            let at = |dr: usize, dc: usize| image[(2 * r + dr) * width + 2 * c + dc];
            values.push(at(0, 0).max(at(0, 1)).max(at(1, 0)).max(at(1, 1)));
        }
    }
    Array { sizes: vec![batch, channels, height / 2, width / 2], values }
}
