//! The exported network: decoded again, run by definition, and compared with `embed`. onnxruntime does the same in
//! `tests/bridges/onnx`.

use std::fs;

use nearfar::data::normalize::Normalization;
use nearfar::data::{self, npy};
use nearfar::model::{JOINT, ModelCard, ModelFile};
use nearfar::onnx::proto::{GraphProto, ModelProto, ValueInfoProto};
use nearfar::onnx::{self, OPSET};
use nearfar::views::Views;
use nearfar::{args::Part, quality};
use nearfar_core::kernel::scalar::Reference;
use nearfar_core::net::{Architecture, InputShape, LayerSpec, Network, Tensor};
use nearfar_core::{Key, Stream};
use nearfar_tests::graph::{Array, run};
use prost::Message;
use tempfile::TempDir;

use crate::cli::json;
use crate::net;

/// Sizes of a value; 0 where it is free.
fn sizes(value: &ValueInfoProto) -> Vec<i64> {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    assert_eq!(tensor.elem_type, 1);
    tensor.shape.as_ref().unwrap().dim.iter().map(|dim| dim.dim_value.unwrap_or(0)).collect()
}

fn decode(bytes: &[u8]) -> GraphProto {
    let model = ModelProto::decode(bytes).unwrap();
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, OPSET));
    assert_eq!(model.opset_import.len(), 1);
    model.graph.unwrap()
}

/// A model of these layers whose every number, running statistics too, is drawn.
fn drawn(architecture: &Architecture, views: usize) -> ModelFile {
    let network = Network::<f32, _>::new(&Reference, architecture.clone(), 1, 3).unwrap();
    let key = Key::new(4, Stream::Init, 0);
    let mut tensors = network.tensors(false).unwrap();
    for (at, tensor) in tensors.iter_mut().enumerate() {
        let first_half = tensor.values.len() / 2;
        for (i, value) in tensor.values.iter_mut().enumerate() {
            let drawn = key.uniform(at as u32, i as u32) as f32 - 0.5;
            // A running variance is positive.
            let variance = tensor.name.ends_with("running") && i >= first_half;
            *value = if variance { drawn.abs() + 0.1 } else { drawn };
        }
    }
    let channels = architecture.input().channels;
    let mean = (0..channels).map(|c| c as f32 * 0.3 - 0.2).collect();
    let normalization = Normalization::new(mean, vec![1.7; channels]).unwrap();
    let InputShape { height, width, channels } = architecture.input();
    let card = ModelCard {
        architecture: architecture.clone(),
        normalization,
        views: Views::new(views, [height, width, channels]).unwrap(),
        config: String::new(),
    };
    let dim = architecture.dim();
    let joint = (0..8 * dim * dim).map(|i| key.uniform(99, i as u32) as f32 - 0.5).collect();
    tensors.push(Tensor { name: JOINT.into(), shape: vec![dim, 8 * dim], values: joint });
    let tensors = tensors.into_iter().map(|tensor: Tensor<f32>| (tensor.name.clone(), tensor)).collect();
    ModelFile { card, extra: Default::default(), tensors }
}

/// Runs the exported graph on `count` drawn inputs and compares with the network itself.
fn compare(architecture: &Architecture, count: usize) {
    let model = drawn(architecture, 1);
    let graph = decode(&onnx::encode(&model).unwrap());
    let input = architecture.input();
    let key = Key::new(5, Stream::Init, 0);
    let values: Vec<f32> =
        (0..count * input.len()).map(|i| 3.0 * key.normals(0, i as u32)[0] as f32).collect();
    let mut normalized = vec![0.0; values.len()];
    model.card.normalization.apply(&values, &mut normalized);
    let mut network = model.network(&Reference, count, false).unwrap();
    let wanted = network.infer(&normalized, count).unwrap().clone();
    let free: Vec<usize> = [count].into_iter().chain(onnx::input_sizes(architecture)).collect();
    assert_eq!(sizes(&graph.input[0])[1..], free[1..].iter().map(|&s| s as i64).collect::<Vec<_>>());
    let got = run(&graph, Array { sizes: free, values: values.iter().map(|&v| v.into()).collect() });
    assert_eq!(got.sizes, [count, architecture.dim()]);
    for (at, (got, wanted)) in got.values.iter().zip(&wanted).enumerate() {
        assert!((got - f64::from(*wanted)).abs() < 1e-5, "{architecture:?}: {at}: {got} {wanted}");
    }
}

#[test]
fn every_layer_gives_what_the_network_gives() {
    let image = |height, width, channels| InputShape { height, width, channels };
    let chain = Architecture::new(image(8, 10, 2), net::every_layer()).unwrap();
    compare(&chain, 3);
    compare(&Architecture::mlp(image(1, 1, 7), &[6, 5], 4).unwrap(), 4);
    compare(&Architecture::mlp(image(5, 4, 3), &[6], 4).unwrap(), 2);
    compare(&Architecture::cnn(image(9, 7, 1), &[4, 6], 2, 5).unwrap(), 3);
}

#[test]
fn turned_views_are_part_of_the_graph() {
    let input = InputShape { height: 5, width: 5, channels: 2 };
    let (count, dim) = (3, 4);
    let model = drawn(&Architecture::cnn(input, &[3], 1, dim).unwrap(), 8);
    let graph = decode(&onnx::encode(&model).unwrap());
    let key = Key::new(6, Stream::Init, 0);
    let raw: Vec<f32> = (0..count * input.len()).map(|i| 3.0 * key.normals(0, i as u32)[0] as f32).collect();
    let mut network = model.network(&Reference, count, false).unwrap();
    let mut wide = vec![0.0; count * 8 * dim];
    for view in 0..8 {
        let mut seen = raw.clone();
        for (from, to) in raw.chunks(50).zip(seen.chunks_mut(50)) {
            model.card.views.show(view, from, to);
        }
        let mut normalized = vec![0.0; raw.len()];
        model.card.normalization.apply(&seen, &mut normalized);
        let of_view = network.infer(&normalized, count).unwrap();
        for (row, wide) in of_view.chunks(dim).zip(wide.chunks_mut(8 * dim)) {
            wide[view * dim..][..dim].copy_from_slice(row);
        }
    }
    let joint = &model.tensors[JOINT].values;
    let got =
        run(&graph, Array { sizes: vec![count, 5, 5, 2], values: raw.iter().map(|&v| v.into()).collect() });
    assert_eq!(got.sizes, [count, dim]);
    for (got, wide) in got.values.chunks(dim).zip(wide.chunks(8 * dim)) {
        let joined: Vec<f64> = joint
            .chunks(8 * dim)
            .map(|row| row.iter().zip(wide).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum())
            .collect();
        let length = joined.iter().map(|v| v * v).sum::<f64>().sqrt();
        assert!(
            got.iter().zip(&joined).all(|(got, v)| (got - v / length).abs() < 1e-5),
            "{got:?} {joined:?}"
        );
    }
}

#[test]
fn views_of_a_picture_are_part_of_the_graph() {
    let input = InputShape { height: 6, width: 5, channels: 2 };
    let (count, dim) = (3, 4);
    for views in [5, 9] {
        let model = drawn(&Architecture::cnn(input, &[3], 1, dim).unwrap(), views);
        let graph = decode(&onnx::encode(&model).unwrap());
        let key = Key::new(6, Stream::Init, 0);
        let raw: Vec<f32> =
            (0..count * input.len()).map(|i| 3.0 * key.normals(0, i as u32)[0] as f32).collect();
        // By definition: each pixel of a view is the one at its offset, or the nearest there is.
        let mut network = model.network(&Reference, count, false).unwrap();
        let mut sums = vec![0.0; count * dim];
        for [down, right] in model.card.views.offsets() {
            let pixel = |at: usize| {
                let (channel, x) = (at % 2, (at / 2 % 5) as isize + right);
                let (y, sample) = ((at / 10 % 6) as isize + down, at / 60);
                raw[sample * 60 + ((y.clamp(0, 5) * 5 + x.clamp(0, 4)) * 2) as usize + channel]
            };
            let moved: Vec<f32> = (0..raw.len()).map(pixel).collect();
            let mut input = vec![0.0; raw.len()];
            model.card.normalization.apply(&moved, &mut input);
            let of_view = network.infer(&input, count).unwrap();
            sums.iter_mut().zip(of_view).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        let got = run(
            &graph,
            Array { sizes: vec![count, 6, 5, 2], values: raw.iter().map(|&v| v.into()).collect() },
        );
        assert_eq!(got.sizes, [count, dim]);
        for (got, sums) in got.values.chunks(dim).zip(sums.chunks(dim)) {
            let length = sums.iter().map(|v| v * v).sum::<f64>().sqrt();
            for (got, sum) in got.iter().zip(sums) {
                assert!((got - sum / length).abs() < 1e-5, "{views} views: {got} {}", sum / length);
            }
        }
    }
}

#[test]
fn layers_may_stand_anywhere() {
    use LayerSpec::{Conv, Linear, MaxPool, MeanPool, Norm, Normalize, Relu};
    let shape = |height, width, channels| InputShape { height, width, channels };
    for (input, layers) in [
        (shape(4, 6, 2), vec![Norm, Relu, Normalize]),
        (shape(4, 6, 2), vec![Normalize, Conv { outputs: 3 }, Normalize]),
        (shape(4, 6, 2), vec![MeanPool, Conv { outputs: 3 }, Norm, Normalize]),
        (shape(1, 1, 5), vec![Norm, Linear { outputs: 4 }, Conv { outputs: 3 }, Normalize]),
        (shape(1, 1, 5), vec![Conv { outputs: 4 }, Relu, Linear { outputs: 3 }, Norm, Normalize]),
        (shape(5, 5, 1), vec![MaxPool, MaxPool, Normalize, Linear { outputs: 2 }, Normalize]),
        (shape(3, 2, 2), vec![Normalize]),
    ] {
        compare(&Architecture::new(input, layers).unwrap(), 2);
    }
}

#[test]
fn initialisers_have_the_names_sizes_and_numbers_of_the_model() {
    let input = InputShape { height: 8, width: 8, channels: 2 };
    let model = drawn(&Architecture::cnn(input, &[3], 1, 4).unwrap(), 1);
    let bytes = onnx::encode(&model).unwrap();
    assert_eq!(bytes, onnx::encode(&model).unwrap());
    let graph = decode(&bytes);
    let list: Vec<(&str, &[i64])> =
        graph.initializer.iter().map(|t| (t.name.as_str(), t.dims.as_slice())).collect();
    let wanted: [(&str, &[i64]); 9] = [
        ("input.mean", &[2]),
        ("input.std", &[2]),
        ("0.conv.weight", &[3, 2, 3, 3]),
        ("2.norm.scale", &[3]),
        ("2.norm.shift", &[3]),
        ("2.norm.mean", &[3]),
        ("2.norm.variance", &[3]),
        ("4.linear.weight", &[48, 4]),
        ("4.linear.bias", &[4]),
    ];
    assert_eq!(list, wanted);
    let weight = Array::of(&graph.initializer[2]);
    // Output 2, input 1, row 0, column 2 of [outputs, inputs, 3, 3]; ours is [3, 3, inputs, outputs].
    let ours = model.tensors["0.conv.weight"].values[(2 * 2 + 1) * 3 + 2];
    assert_eq!(weight.values[((2 * 2 + 1) * 3) * 3 + 2], f64::from(ours));
}

#[test]
fn a_trained_run_is_exported_as_embed_uses_it() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    for (name, toml) in [
        ("mlp", "[model]\nkind = \"mlp\"\nhidden = [32]\ndim = 8\n[train]\nsteps = 5\n"),
        ("cnn", "[model]\nkind = \"cnn\"\nchannels = [4, 8]\ndim = 8\n[train]\nsteps = 5\n"),
        (
            "turned",
            "[model]\nviews = 8\nchannels = [4, 8]\ndim = 8\n[augment]\nsymmetry = 0.5\n[train]\nsteps = 5\n",
        ),
    ] {
        fs::write(at.join("c.toml"), toml).unwrap();
        json(at, &["train", "--config", "c.toml", "--out", name]);
        json(at, &["embed", "--run", name, "--data", "kana", "--out", "E.npy"]);
        let answer = json(at, &["export", "--run", name, "--out", "m.onnx"]);
        assert_eq!(answer["opset"], OPSET);
        assert_eq!(answer["input"], serde_json::json!([28, 28, 1]));
        let graph = decode(&fs::read(at.join("m.onnx")).unwrap());
        assert_eq!((sizes(&graph.input[0]), sizes(&graph.output[0])), (vec![0, 28, 28, 1], vec![0, 8]));
        let samples = data::load_all("kana", Part::Test).unwrap();
        let wanted = npy::read_matrix::<f64>(&at.join("E.npy")).unwrap();
        let values = samples.values()[..12 * 784].iter().map(|&v| v.into()).collect();
        let got = run(&graph, Array { sizes: vec![12, 28, 28, 1], values });
        for (got, wanted) in got.values.iter().zip(&wanted.values) {
            assert!((got - wanted).abs() < 1e-5, "{name}: {got} {wanted}");
        }
    }
    // Two runs at once: unit again, and the squared distance is the mean of theirs.
    let embed = |runs: &[&str], out: &str| {
        let runs: Vec<&str> = runs.iter().flat_map(|run| ["--run", *run]).collect();
        json(at, &[&["embed", "--data", "kana", "--out", out], &runs[..]].concat());
        npy::read_matrix::<f64>(&at.join(out)).unwrap()
    };
    let (one, two) = (embed(&["mlp"], "1.npy"), embed(&["cnn"], "2.npy"));
    let both = embed(&["mlp", "cnn"], "12.npy");
    assert_eq!((both.rows, both.cols), (one.rows, 16));
    let squared = |m: &npy::Matrix<f64>, i: usize, j: usize| {
        let row = |i: usize| &m.values[i * m.cols..][..m.cols];
        nearfar_core::squared_distance(row(i), row(j))
    };
    for (i, j) in [(0, 1), (3, 700), (20, 21)] {
        let mean = 0.5 * (squared(&one, i, j) + squared(&two, i, j));
        assert!((squared(&both, i, j) - mean).abs() < 1e-6);
    }
    let unit = both.values.chunks(16).all(|row| (row.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-6);
    assert!(unit && quality::join(&[vec![0.6, 0.8]], &[2]) == [0.6, 0.8]);
}
