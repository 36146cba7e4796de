//! Networks against PyTorch, and every layer against central differences.

use std::collections::BTreeMap;

use nearfar_core::kernel::Backend;
use nearfar_core::kernel::fast::Fast;
use nearfar_core::kernel::scalar::Reference;
use nearfar_core::net::{Architecture, InputShape, LayerSpec, Network, Optimizer, Tensor};
use nearfar_core::{Embeddings, Key, Scalar, Stream, Whitening, normalize_row};
use nearfar_tests::gradcheck;
use nearfar_tests::tolerance::{Precision, Quantity, tolerance};
use nearfar_tests::vectors::{self, relative_error};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    batch: usize,
    side: usize,
    dim: usize,
    x: Vec<f64>,
    out_gradient: Vec<f64>,
    start: BTreeMap<String, Vec<f64>>,
    y: Vec<f64>,
    gradients: BTreeMap<String, Vec<f64>>,
    running: Vec<Vec<f64>>,
    trained: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
}

fn cast<T: Scalar>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&v| T::from_f64(v)).collect()
}

fn back<T: Scalar>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.to_f64()).collect()
}

fn put<T: Scalar, B: Backend<T>>(backend: &B, values: &[T]) -> B::Buffer {
    let mut buffer = backend.zeros(values.len()).unwrap();
    backend.upload(values, &mut buffer).unwrap();
    buffer
}

/// A network whose parameters are those of the vectors.
fn started<'b, T: Scalar, B: Backend<T>>(backend: &'b B, v: &Vectors) -> Network<'b, T, B> {
    let input = InputShape { height: v.side, width: v.side, channels: 2 };
    let architecture = Architecture::cnn(input, &[5, 3], 1, v.dim).unwrap();
    let mut network = Network::new(backend, architecture, v.batch, 0).unwrap();
    let mut tensors: BTreeMap<String, Tensor<T>> =
        network.tensors(false).unwrap().into_iter().map(|t| (t.name.clone(), t)).collect();
    for (name, values) in &v.start {
        tensors.get_mut(name).unwrap_or_else(|| panic!("no tensor {name}")).values = cast(values);
    }
    network.load(false, |name| tensors.get(name)).unwrap();
    network
}

fn backward<T: Scalar, B: Backend<T>>(backend: &B, network: &mut Network<'_, T, B>, v: &Vectors) -> Vec<f64> {
    let mut y = vec![T::ZERO; v.batch * v.dim];
    let x = put(backend, &cast(&v.x));
    let buffer = network.forward(&x, v.batch).unwrap();
    backend.download(buffer, &mut y).unwrap();
    network.backward(&x, &put(backend, &cast(&v.out_gradient))).unwrap();
    back(&y)
}

fn against_pytorch<T: Scalar, B: Backend<T>>(backend: &B, precision: Precision) {
    let v: Vectors = vectors::read("network");
    let allowed = tolerance(Quantity::Network, precision);
    let mut network = started(backend, &v);
    let y = backward(backend, &mut network, &v);
    assert!(relative_error(&y, &v.y) < allowed, "output");
    for gradient in network.gradients().unwrap() {
        let error = relative_error(&back(&gradient.values), &v.gradients[&gradient.name]);
        assert!(error < allowed, "gradient of {}: off by {error:e}", gradient.name);
    }
    let running: Vec<_> =
        network.tensors(false).unwrap().into_iter().filter(|t| t.name.ends_with("running")).collect();
    for (tensor, wanted) in running.iter().zip(&v.running) {
        assert!(relative_error(&back(&tensor.values), wanted) < allowed, "{}", tensor.name);
    }
    let adam = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.05 };
    let sgd = Optimizer::Sgd { momentum: 0.9, decay: 0.05 };
    for (name, optimizer) in [("adam", adam), ("sgd", sgd)] {
        let mut network = started(backend, &v);
        for step in 0..3 {
            backward(backend, &mut network, &v);
            network.update(optimizer, 0.01, step).unwrap();
        }
        for tensor in network.tensors(false).unwrap() {
            let Some(wanted) = v.trained[name].get(&tensor.name) else { continue };
            let error = relative_error(&back(&tensor.values), wanted);
            assert!(error < allowed, "{} after three steps of {name}: off by {error:e}", tensor.name);
        }
    }
}

#[test]
fn outputs_gradients_and_steps_are_those_of_pytorch() {
    against_pytorch::<f64, _>(&Reference, Precision::Double);
    against_pytorch::<f64, _>(&Fast::new(2).unwrap(), Precision::Double);
    against_pytorch::<f32, _>(&Fast::new(2).unwrap(), Precision::Single);
}

/// A chain that has every layer; `complete.rs` checks that it does.
pub(crate) fn every_layer() -> Vec<LayerSpec> {
    vec![
        LayerSpec::Conv { outputs: 3 },
        LayerSpec::Norm,
        LayerSpec::Relu,
        LayerSpec::MaxPool,
        LayerSpec::Conv { outputs: 4 },
        LayerSpec::MeanPool,
        LayerSpec::Linear { outputs: 5 },
        LayerSpec::Relu,
        LayerSpec::Linear { outputs: 3 },
        LayerSpec::Normalize,
    ]
}

#[test]
fn every_layer_passes_central_differences() {
    let input = InputShape { height: 7, width: 5, channels: 2 };
    let architecture = Architecture::new(input, every_layer()).unwrap();
    let batch = 4;
    let key = Key::new(8, Stream::Init, 0);
    let numbers =
        |item: u32, len: usize| -> Vec<f64> { (0..len).map(|i| key.normals(item, i as u32)[0]).collect() };
    let x = numbers(1, batch * input.len());
    let out = numbers(2, batch * 3);
    for threads in [0, 2] {
        let fast = Fast::new(2).unwrap();
        if threads == 0 {
            differences(&Reference, &architecture, &x, &out, batch);
        } else {
            differences(&fast, &architecture, &x, &out, batch);
        }
    }
}

fn differences<B: Backend<f64>>(
    backend: &B,
    architecture: &Architecture,
    x: &[f64],
    out: &[f64],
    batch: usize,
) {
    let mut network = Network::new(backend, architecture.clone(), batch, 3).unwrap();
    let x = &put(backend, x);
    network.forward(x, batch).unwrap();
    network.backward(x, &put(backend, out)).unwrap();
    let gradients = network.gradients().unwrap();
    let start: BTreeMap<String, Tensor<f64>> =
        network.tensors(false).unwrap().into_iter().map(|t| (t.name.clone(), t)).collect();
    for gradient in gradients {
        let mut value = |values: &[f64]| {
            let mut tensors = start.clone();
            tensors.get_mut(&gradient.name).unwrap().values = values.to_vec();
            network.load(false, |name| tensors.get(name)).unwrap();
            let mut y = vec![0.0; out.len()];
            backend.download(network.forward(x, batch).unwrap(), &mut y).unwrap();
            y.iter().zip(out).map(|(y, out)| y * out).sum()
        };
        let (worst, skipped) = gradcheck::check(&start[&gradient.name].values, &gradient.values, &mut value);
        // The bias before a norm does nothing, so its gradient is 0 and stays below rounding; it is checked like all.
        assert!(worst < tolerance(Quantity::Difference, Precision::Double), "{}: {worst:e}", gradient.name);
        assert!(skipped * 5 <= gradient.values.len(), "{}: {skipped} kinks", gradient.name);
    }
}

#[test]
fn a_network_is_a_function_of_its_seed_and_not_of_the_threads() {
    let input = InputShape { height: 28, width: 28, channels: 1 };
    let architecture = Architecture::cnn(input, &[8, 16], 1, 16).unwrap();
    let x: Vec<f32> = (0..32 * 784).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let run = |threads: usize, seed: u64| {
        let fast = Fast::new(threads).unwrap();
        let mut network = Network::new(&fast, architecture.clone(), 32, seed).unwrap();
        for step in 0..3 {
            let gradient = network.forward(&x, 32).unwrap().clone();
            network.backward(&x, &gradient).unwrap();
            network.update(Optimizer::default(), 0.01, step).unwrap();
        }
        network.tensors(true).unwrap()
    };
    let one = run(1, 5);
    assert!(one == run(2, 5) && one == run(3, 5), "threads show in the bits");
    assert!(one != run(1, 6));
}

#[test]
fn a_whitened_network_embeds_as_the_map_does_behind_it() {
    let input = InputShape { height: 6, width: 5, channels: 1 };
    let (count, dim) = (12, 7);
    let key = Key::new(2, Stream::Init, 0);
    let x: Vec<f64> = (0..count * input.len()).map(|i| key.normals(0, i as u32)[0]).collect();
    let labels: Vec<u32> = (0..count as u32).map(|i| i / 3).collect();
    let mut network =
        Network::new(&Reference, Architecture::cnn(input, &[4], 1, dim).unwrap(), count, 1).unwrap();
    let before = network.infer(&x, count).unwrap().clone();
    let whitening =
        Whitening::fit(Embeddings::new(&before, dim).unwrap(), &labels, 0.5).unwrap().expect("they scatter");
    assert!(network.whiten(&whitening).unwrap());
    let mut mapped = before.clone();
    whitening.apply(&mut mapped);
    for (got, mapped) in network.infer(&x, count).unwrap().chunks(dim).zip(mapped.chunks(dim)) {
        let mut wanted = vec![0.0; dim];
        normalize_row(mapped, &mut wanted).unwrap();
        assert!(got.iter().zip(&wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-12));
    }
    // Without a linear layer before the normalisation there is no place for it, and nothing changes.
    let bare = Architecture::new(input, vec![LayerSpec::Normalize]).unwrap();
    let mut bare = Network::<f64, _>::new(&Reference, bare, 1, 1).unwrap();
    let embeddings = Embeddings::new(&x, input.len()).unwrap();
    let wide = Whitening::fit(embeddings, &labels, 0.5).unwrap().expect("they scatter");
    assert!(!bare.whiten(&wide).unwrap());
}
