//! Every operation of a backend against another on the same small inputs, in single precision.

use nearfar_core::kernel::{
    AdamStep, Backend, Batch, BatchView, ConvShape, HostBatch, LinearShape, NormShape, PoolShape, SearchView,
    SgdStep,
};
use nearfar_core::{
    BoundaryFit, BoundaryShape, BoundaryStep, Cap, Draw, EmptyRow, FarCut, Key, Loss, Margin, Objective,
    Penalty, Reduction, Sampler, Stream, Weighting, normalize_row,
};

/// One operation, and how far the two backends are apart on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The operation.
    pub name: &'static str,
    /// The backend that was checked.
    pub backend: String,
    /// Whether the difference is within what reordered sums explain.
    pub ok: bool,
    /// Largest difference, relative to the largest number of the result.
    pub max_error: f64,
}

/// Largest relative difference that is put down to rounding: sums of some hundred products in another order.
const TOLERANCE: f64 = 2e-5;

/// Numbers in [-1, 1): `stream` tells inputs apart.
fn numbers(stream: u32, len: usize) -> Vec<f32> {
    let key = Key::new(11, Stream::Init, stream);
    (0..len).map(|i| (2.0 * key.uniform(0, i as u32) - 1.0) as f32).collect()
}

/// Runs every operation on both backends.
pub fn compare<B, R>(
    backend: &B,
    reference: &R,
) -> Result<Vec<Checked>, Box<dyn std::error::Error + Send + Sync>>
where
    B: Backend<f32>,
    R: Backend<f32>,
{
    let (got, wanted) = (results(backend)?, results(reference)?);
    Ok(got
        .into_iter()
        .zip(wanted)
        .map(|((name, got), (_, wanted))| {
            let scale = wanted.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
            let worst =
                got.iter().zip(&wanted).map(|(g, w)| f64::from((g - w).abs() / scale)).fold(0.0, f64::max);
            // A NaN difference is no maximum of anything: looked for by itself.
            let whole = got.len() == wanted.len() && got.iter().all(|v| v.is_finite());
            Checked {
                name,
                backend: backend.name().to_owned(),
                ok: whole && worst <= TOLERANCE,
                max_error: worst,
            }
        })
        .collect())
}

/// A backend with its buffers, for short lines below.
struct Bench<'b, B> {
    backend: &'b B,
}

impl<B: Backend<f32>> Bench<'_, B> {
    fn put(&self, values: &[f32]) -> Result<B::Buffer, B::Error> {
        let mut buffer = self.backend.zeros(values.len())?;
        self.backend.upload(values, &mut buffer)?;
        Ok(buffer)
    }

    fn take(&self, buffer: &B::Buffer, len: usize) -> Result<Vec<f32>, B::Error> {
        let mut values = vec![0.0; len];
        self.backend.download(buffer, &mut values)?;
        Ok(values)
    }
}

type Named = Vec<(&'static str, Vec<f32>)>;

fn results<B: Backend<f32>>(backend: &B) -> Result<Named, B::Error> {
    let mut list = vec![("copy", copied(backend)?), ("upload_batch", uploaded(backend)?)];
    list.extend(layers(backend)?);
    list.extend(optimizers(backend)?);
    list.extend(metric(backend)?);
    list.extend(boundaries(backend)?);
    Ok(list)
}

/// Some numbers into the middle of others.
fn copied<B: Backend<f32>>(backend: &B) -> Result<Vec<f32>, B::Error> {
    let bench = Bench { backend };
    let (from, mut to) = (bench.put(&numbers(16, 90))?, bench.put(&numbers(17, 70))?);
    backend.copy(&from, 13, &mut to, 5, 50)?;
    bench.take(&to, 70)
}

/// A batch of five samples with a memory of two rows behind it.
fn uploaded<B: Backend<f32>>(backend: &B) -> Result<Vec<f32>, B::Error> {
    let bench = Bench { backend };
    let (inputs, mut there) = (numbers(18, 35), None);
    let host = HostBatch { inputs: &inputs, labels: &[3, 9, 3, 9, 9, 3, 4], anchors: 5, parts: &[] };
    let Batch { inputs, labels, .. } = backend.upload_batch(host, &mut there)?;
    let (embeddings, betas) = (&bench.put(&numbers(20, 7 * 4))?, &bench.put(&numbers(19, 5))?);
    let view = BatchView { embeddings, labels, betas, anchors: 5, count: 7, dim: 4 };
    let pairs = backend.negative_moments(view)?.pairs;
    Ok([bench.take(inputs, 35)?, vec![pairs as f32]].concat())
}

fn layers<B: Backend<f32>>(backend: &B) -> Result<Named, B::Error> {
    let bench = Bench { backend };
    let mut list = Named::new();
    {
        let (x, w, b) = (numbers(1, 70 * 33), numbers(2, 33 * 17), numbers(3, 17));
        let (x, w, b) = (bench.put(&x)?, bench.put(&w)?, bench.put(&b)?);
        let mut y = backend.zeros(70 * 17)?;
        let (mut dw, mut db, mut dx) = (backend.zeros(33 * 17)?, backend.zeros(17)?, backend.zeros(70 * 33)?);
        let named = [("linear", "linear_backward"), ("linear (relu)", "linear_backward (relu)")];
        for (relu, (forward, backward)) in [false, true].into_iter().zip(named) {
            let shape = LinearShape { rows: 70, inputs: 33, outputs: 17, relu };
            backend.linear(shape, &x, &w, &b, &mut y)?;
            list.push((forward, bench.take(&y, 70 * 17)?));
            let mut dy = bench.put(&numbers(4, 70 * 17))?;
            backend.linear_backward(shape, &x, &w, &y, &mut dy, &mut dw, &mut db, Some(&mut dx))?;
            let all = [bench.take(&dw, 33 * 17)?, bench.take(&db, 17)?, bench.take(&dx, 70 * 33)?];
            list.push((backward, all.concat()));
        }
    }
    {
        // Few channels in, and many: a backend may do the two differently.
        let cases = [
            (3, false, "conv", "conv_backward"),
            (3, true, "conv (pool)", "conv_backward (pool)"),
            (9, false, "conv (deep)", "conv_backward (deep)"),
            (9, true, "conv (deep, pool)", "conv_backward (deep, pool)"),
        ];
        for (inputs, pool, forward, backward) in cases {
            let shape = ConvShape { batch: 5, height: 7, width: 6, inputs, outputs: 8, pool };
            let (pixels, weights) = (5 * 7 * 6, 9 * inputs * 8);
            let out = if pool { 5 * 3 * 3 * 8 } else { pixels * 8 };
            let (x, w) = (bench.put(&numbers(5, pixels * inputs))?, bench.put(&numbers(6, weights))?);
            let (dy, mut picks) = (bench.put(&numbers(7, out))?, backend.indices(&vec![0; out])?);
            let mut y = backend.zeros(out)?;
            backend.conv(shape, &x, &w, &mut y, &mut picks)?;
            list.push((forward, bench.take(&y, out)?));
            let (mut dw, mut dx) = (backend.zeros(weights)?, backend.zeros(pixels * inputs)?);
            backend.conv_backward(shape, &x, &w, &dy, &picks, &mut dw, Some(&mut dx))?;
            let mut all = [bench.take(&dw, weights)?, bench.take(&dx, pixels * inputs)?].concat();
            // The first layer of a network asks for no gradient of its input.
            backend.conv_backward(shape, &x, &w, &dy, &picks, &mut dw, None)?;
            all.extend(bench.take(&dw, weights)?);
            list.push((backward, all));
        }
    }
    {
        let (x, affine) = (bench.put(&numbers(8, 1200))?, bench.put(&numbers(9, 12))?);
        let (mut y, dy) = (backend.zeros(1200)?, bench.put(&numbers(10, 1200))?);
        let (mut daffine, mut dx) = (backend.zeros(12)?, backend.zeros(1200)?);
        let cases = [
            (false, "norm", "norm_backward", "norm_infer"),
            (true, "norm (relu)", "norm_backward (relu)", "norm_infer (relu)"),
        ];
        for (relu, forward, backward, infer) in cases {
            let shape = NormShape { rows: 200, channels: 6, epsilon: 1e-5, relu };
            let (mut saved, mut running) = (backend.zeros(12)?, bench.put(&[1.0; 12])?);
            backend.norm(shape, &x, &affine, &mut saved, &mut running, 0.1, &mut y)?;
            list.push((forward, [bench.take(&y, 1200)?, bench.take(&running, 12)?].concat()));
            backend.norm_backward(shape, &x, &affine, &saved, &dy, &mut daffine, &mut dx)?;
            list.push((backward, [bench.take(&daffine, 12)?, bench.take(&dx, 1200)?].concat()));
            backend.norm_infer(shape, &x, &affine, &running, &mut y)?;
            list.push((infer, bench.take(&y, 1200)?));
        }
    }
    {
        let shape = PoolShape { batch: 3, height: 5, width: 6, channels: 4 };
        let (size, pooled) = (3 * 5 * 6 * 4, 3 * 2 * 3 * 4);
        let (x, mut y, mut dx) = (bench.put(&numbers(11, size))?, backend.zeros(size)?, backend.zeros(size)?);
        let dy = bench.put(&numbers(12, size))?;
        backend.max_pool(shape, &x, &mut y)?;
        list.push(("max_pool", bench.take(&y, pooled)?));
        backend.max_pool_backward(shape, &x, &dy, &mut dx)?;
        list.push(("max_pool_backward", bench.take(&dx, size)?));
        backend.mean_pool(shape, &x, &mut y)?;
        list.push(("mean_pool", bench.take(&y, 12)?));
        backend.mean_pool_backward(shape, &dy, &mut dx)?;
        list.push(("mean_pool_backward", bench.take(&dx, size)?));
        backend.relu(size, &x, &mut y)?;
        list.push(("relu", bench.take(&y, size)?));
        backend.relu_backward(size, &y, &dy, &mut dx)?;
        list.push(("relu_backward", bench.take(&dx, size)?));
        backend.normalize(30, 12, &x, &mut y)?;
        list.push(("normalize", bench.take(&y, size)?));
        backend.normalize_backward(30, 12, &x, &y, &dy, &mut dx)?;
        list.push(("normalize_backward", bench.take(&dx, size)?));
    }
    Ok(list)
}

fn optimizers<B: Backend<f32>>(backend: &B) -> Result<Named, B::Error> {
    let bench = Bench { backend };
    let (g, mut first, mut second) = (bench.put(&numbers(13, 50))?, backend.zeros(50)?, backend.zeros(50)?);
    let mut w = bench.put(&numbers(14, 50))?;
    let step = AdamStep { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.1, step: 1 };
    backend.adam(step, 50, &mut w, &g, &mut first, &mut second)?;
    let adam = bench.take(&w, 50)?;
    backend.sgd(SgdStep { rate: 0.01, momentum: 0.9, decay: 0.1 }, 50, &mut w, &g, &mut first)?;
    Ok(vec![("adam", adam), ("sgd", bench.take(&w, 50)?)])
}

/// Boundaries of ten anchors of three classes, two of them of one image, and two steps.
fn boundaries<B: Backend<f32>>(backend: &B) -> Result<Named, B::Error> {
    let (bench, shape) = (Bench { backend }, BoundaryShape { classes: 3, images: 20 });
    let parts: Vec<(u32, u32)> = (0..10).map(|i| (i % 3, 2 * (i % 9))).collect();
    let (host, mut there) = (HostBatch { anchors: 10, parts: &parts, ..HostBatch::default() }, None);
    let parts = &backend.upload_batch(host, &mut there)?.parts;
    let (mut state, mut betas) = (bench.put(&numbers(21, 48))?, backend.zeros(10)?);
    backend.boundaries(shape, 10, parts, &state, &mut betas)?;
    let dbetas = bench.put(&numbers(22, 10))?;
    let step = BoundaryStep { rate: 0.1, momentum: 0.9, nu: 0.05 };
    let mut moved = Vec::new();
    for _ in 0..2 {
        moved.push(backend.boundary_step(shape, step, 10, parts, &dbetas, &mut state)?);
        moved.extend(bench.take(&state, 48)?);
    }
    Ok(vec![("boundaries", bench.take(&betas, 10)?), ("boundary_step", moved)])
}

/// Boundaries of the classes of a view and of its samples, fitted to its draws with each form of the penalty.
fn fitted<B: Backend<f32>>(
    backend: &B,
    view: BatchView<'_, B::Buffer, B::Indices>,
    draws: &B::Draws,
) -> Result<Vec<f32>, B::Error> {
    let (bench, shape) = (Bench { backend }, BoundaryShape { classes: 12, images: 60 });
    let BatchView { embeddings, anchors, count, dim, .. } = view;
    let parts: Vec<(u32, u32)> = (0..anchors as u32).map(|i| (i / 5, i)).collect();
    let (host, mut there) = (HostBatch { anchors, parts: &parts, ..HostBatch::default() }, None);
    let parts = &backend.upload_batch(host, &mut there)?.parts;
    let mut state = bench.put(&[&[1.2], &numbers(23, shape.count() - 1)[..]].concat())?;
    let mut moved = Vec::new();
    for penalty in
        [Penalty::PerTuple { nu: 0.1 }, Penalty::Once { nu: 0.01, reduction: Reduction::MeanActive }]
    {
        let fit = BoundaryFit { alpha: 0.2, penalty, rate: 0.5 };
        backend.boundary_fit(shape, fit, anchors, parts, count, dim, embeddings, draws, &mut state)?;
        moved.extend(bench.take(&state, shape.count())?);
    }
    Ok(moved)
}

fn metric<B: Backend<f32>>(backend: &B) -> Result<Named, B::Error> {
    let bench = Bench { backend };
    let (count, dim) = (60, 16);
    let mut x = numbers(15, count * dim);
    for (raw, row) in numbers(15, count * dim).chunks_exact(dim).zip(x.chunks_exact_mut(dim)) {
        normalize_row(raw, row).expect("random rows have a direction");
    }
    let labels: Vec<u32> = (0..count as u32).map(|i| i / 5).collect();
    let (embeddings, indices) = (bench.put(&x)?, backend.indices(&labels)?);
    let betas = bench.put(&vec![1.2; count])?;
    let view =
        BatchView { embeddings: &embeddings, labels: &indices, betas: &betas, anchors: count, count, dim };
    // The last rows may be remembered ones: the batch then ends within a class, and its other samples are behind it.
    let remembering = BatchView { anchors: 37, ..view };
    let mut list = Named::new();
    for (name, view) in [("negative_moments", view), ("negative_moments (memory)", remembering)] {
        let moments = backend.negative_moments(view)?;
        let sums =
            [moments.pairs as f32, moments.cos_squared as f32, moments.ln_one_minus_cos_squared as f32];
        list.push((name, sums.to_vec()));
    }
    let weighting =
        Weighting::new(16.0, Cap::Near(0.5), FarCut::None, EmptyRow::Skip).expect("valid numbers");
    let margin = Loss::Margin(Margin::new(0.2, 0.0).expect("valid numbers"));
    let (mut dx, mut dbetas) = (backend.zeros(count * dim)?, backend.zeros(count)?);
    let drawing = Sampler::DistanceWeighted(weighting.clone());
    let expecting = Sampler::Expected(weighting);
    let named = [
        ("draw", "loss of tuples", view, &drawing),
        ("draw (nothing)", "loss of rows", view, &expecting),
        ("draw (memory)", "loss of tuples (memory)", remembering, &drawing),
        ("draw (nothing, memory)", "loss of rows (memory)", remembering, &expecting),
    ];
    for (draw_name, loss_name, view, sampler) in named {
        let anchors = view.anchors;
        let objective =
            Objective::new(margin, sampler.clone(), Reduction::MeanActive).expect("they go together");
        let mut draws = B::Draws::default();
        let report = backend.draw(view, &objective, Key::new(1, Stream::Negatives, 0), &mut draws)?;
        let drawn = backend.download_draws(&draws)?;
        let flat = |Draw { triplet, log_prob, .. }: &Draw<f32>| [triplet.negative as f32, *log_prob];
        let counts = [report.triplets as f32, report.effective_negatives as f32, report.capped as f32];
        list.push((draw_name, drawn.iter().flat_map(flat).chain(counts).collect()));
        if !drawn.is_empty() {
            list.push(("boundary_fit", fitted(backend, view, &draws)?));
        }
        let loss = backend.loss(view, &objective, &draws, &mut dx, &mut dbetas)?;
        let gradients = [bench.take(&dx, anchors * dim)?, bench.take(&dbetas, anchors)?];
        list.push((loss_name, [&gradients.concat()[..], &[loss.loss as f32]].concat()));
    }
    let search = SearchView { embeddings: &embeddings, labels: &labels, count };
    let ranks = backend.match_ranks(dim, 8, search, None)?;
    let places = (0..count).flat_map(|query| ranks.places(query)).map(|place| place as f32);
    list.push(("match_ranks", places.collect()));
    let nearest = backend.nearest(dim, 4, search, None)?;
    list.push(("nearest", nearest.iter().map(|&i| i as f32).collect()));
    let rows = bench.take(&embeddings, count * dim)?;
    let neighbours = backend.neighbours(dim, 4, &rows, None)?;
    list.push(("neighbours", neighbours.iter().map(|neighbour| neighbour.squared as f32).collect()));
    Ok(list)
}
