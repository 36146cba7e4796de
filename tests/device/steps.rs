//! Ten steps on kana, step by step beside the CPU's.

use nearfar::config::{BoundaryMode, Config, PenaltyKind};
use nearfar::data;
use nearfar::recipe::Recipe;
use nearfar::train::Trainer;
use nearfar_core::kernel::fast::Fast;
use nearfar_cuda::Traffic;

use crate::device;

/// Steps that are compared.
const STEPS: u32 = 10;

/// Largest relative difference of a step's loss. The two backends add in other orders, so a gradient differs by some
/// 1e-7 of its largest number, and a number of it that is all rounding moves its weight by up to the learning rate
/// either way, since Adam divides by its size. Seen on the simulator: 1e-7 after ten steps. A chip's own logarithm and
/// exponential are a few ulp worse, hence the room.
const LOSS: f64 = 1e-5;

/// Largest difference of a tensor of the run's state, by its length. Seen: 7e-6 in a first moment, 2e-7 in a weight.
const STATE: f64 = 1e-4;

/// Largest share of drawn negatives that may differ: a draw within rounding of the border between two candidates.
const DRAWS: f64 = 0.01;

/// The paper's recipe, which draws and has boundaries of classes, on a network that a simulator runs in seconds.
fn config() -> Config {
    let mut config = Config::recipe(Recipe::Paper);
    config.model.channels = vec![4, 8];
    config.model.dim = 16;
    (config.batch.classes, config.batch.per_class) = (4, 4);
    config
}

#[test]
fn ten_steps_on_kana_are_those_of_the_cpu() {
    ten_steps(&config());
}

/// A ring that is no whole number of batches, used from the fourth step on.
#[test]
fn ten_steps_with_a_memory_are_those_of_the_cpu() {
    let mut config = config();
    (config.memory.size, config.memory.warmup) = (37, 3);
    ten_steps(&config);
}

/// A part for each image too, and the paper's penalty, whose sum is asked for.
#[test]
fn ten_steps_of_penalised_boundaries_are_those_of_the_cpu() {
    ten_steps(&penalised());
}

fn penalised() -> Config {
    let mut config = config();
    config.boundary.per_image = true;
    (config.loss.nu, config.loss.penalty) = (0.01, PenaltyKind::Paper);
    config
}

/// Boundaries of classes that go to their exact minimum, on the device as on the host.
#[test]
fn ten_steps_of_exact_boundaries_are_those_of_the_cpu() {
    let mut config = config();
    (config.boundary.mode, config.boundary.rate, config.loss.nu) = (BoundaryMode::Exact, 0.05, 0.01);
    ten_steps(&config);
}

/// Weights, moments and boundaries leave the device with the state and come back with it.
#[test]
fn a_run_that_is_taken_up_goes_on_to_the_byte() {
    let Some(cuda) = device() else { return };
    let config = penalised();
    let data = data::load("kana", &config.data).unwrap();
    let mut whole = Trainer::new(&cuda, &config, &data).unwrap();
    let mut taken_up = Trainer::new(&cuda, &config, &data).unwrap();
    for step in 0..2 {
        whole.step(step).unwrap();
    }
    let state = whole.state().unwrap();
    taken_up.restore(|name| state.iter().find(|tensor| tensor.name == name)).unwrap();
    assert_eq!(taken_up.boundary().unwrap(), whole.boundary().unwrap());
    assert!(whole.boundary().unwrap().base() != config.boundary.start as f32);
    for step in 2..4 {
        assert_eq!(taken_up.step(step).unwrap(), whole.step(step).unwrap());
    }
    assert!(taken_up.state().unwrap() == whole.state().unwrap());
}

fn ten_steps(config: &Config) {
    let Some(cuda) = device() else { return };
    let exact = config.boundary.mode == BoundaryMode::Exact;
    let data = data::load("kana", &config.data).unwrap();
    let fast = Fast::new(2).unwrap();
    let mut cpu = Trainer::new(&fast, config, &data).unwrap();
    let mut gpu = Trainer::new(&cuda, config, &data).unwrap();
    let (mut draws, mut others) = (0, 0);
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let wanted = cpu.step(step).unwrap();
        let before = cuda.traffic();
        let got = gpu.step(step).unwrap();
        let held = if step < config.memory.warmup { 0 } else { config.memory.size.min(16 * step as usize) };
        let traffic = step_traffic(16, held as u64, data.train.size(), config.loss.nu > 0.0 && !exact, exact);
        assert_eq!(cuda.traffic().since(before), traffic, "step {step}");

        let apart = (got.loss.loss - wanted.loss.loss).abs() / wanted.loss.loss;
        println!("step {step}: loss {:.6}, on the device {:.6}", wanted.loss.loss, got.loss.loss);
        assert!(apart < LOSS, "step {step}: {apart:.1e}");
        assert_eq!(got.loss.terms, wanted.loss.terms, "step {step}");
        assert_eq!(got.drawn.triplets, wanted.drawn.triplets, "step {step}");
        losses.push(wanted.loss.loss);

        let (got, wanted) = (gpu.shot().unwrap().draws, cpu.shot().unwrap().draws);
        assert_eq!(got.len(), wanted.len());
        draws += got.len();
        others += got.iter().zip(&wanted).filter(|(g, w)| g.triplet != w.triplet).count();
    }
    println!("{others} of {draws} draws differ");
    assert!(draws > 400 && others as f64 <= DRAWS * draws as f64, "{others} of {draws} draws differ");
    // Steps that moved nothing would agree too.
    assert!(losses.windows(2).all(|pair| pair[0] != pair[1]), "{losses:?}");

    // All that a run is after its steps: weights, moments, statistics, boundaries.
    let (got, wanted) = (gpu.state().unwrap(), cpu.state().unwrap());
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(&wanted) {
        assert_eq!((&got.name, &got.shape), (&wanted.name, &wanted.shape));
        let norm =
            |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v * v)).sum::<f64>().sqrt();
        let apart = norm(&mut got.values.iter().zip(&wanted.values).map(|(g, w)| g - w))
            / norm(&mut wanted.values.iter().copied()).max(1e-12);
        println!("{}: {apart:.1e} of its length apart", got.name);
        assert!(apart < STATE, "{}: {apart:.1e}", got.name);
    }
}

/// All that a step of the paper's recipe copies, as drawn in docs/CUDA.md: in one copy a batch of `count` samples of
/// `size` numbers, and of the `held` rows of a memory their classes alone; reports down, of pairs for `exact` boundaries
/// another. Boundaries and their gradients never leave the device; where there is a `penalty`, their sum does.
fn step_traffic(count: u64, held: u64, size: usize, penalty: bool, exact: bool) -> Traffic {
    let seen = count + held;
    let [inputs, labels, groups, parts] = [4 * count * size as u64, 4 * seen, 6 * 4 * seen, 2 * 4 * count];
    let draw_reports = 1 + u64::from(exact);
    let [row_without_direction, loss_report, sum] = [4, 4 * 8, 8 * u64::from(penalty)];
    Traffic {
        uploads: 1,
        uploaded: inputs + labels + groups + parts,
        downloads: 2 + draw_reports + u64::from(penalty),
        downloaded: row_without_direction + 6 * 8 * draw_reports + loss_report + sum,
    }
}
