//! From the run file to checked objects: every number is looked at, and all errors are reported at once.

use anyhow::{Result, bail};
use nearfar_core::net::{Architecture, Decay, InputShape, Optimizer, Schedule};
use nearfar_core::{
    Cap, Contrastive, EmptyRow, FarCut, Lifted, Loss, Margin, MultiSimilarity, NPair, Objective, Quadruplet,
    Reduction, Sampler, Scalar, SmallClass, TripletLoss, Weighting,
};

use crate::config::{
    BatchConfig, BoundaryMode, Config, Dimension, Elastic, ElasticName, EmptyKind, Far, FarName, LossConfig,
    LossKind, ModelConfig, ModelKind, OptimizerConfig, OptimizerKind, PenaltyKind, ReductionKind,
    SamplerConfig, SamplerKind, SmallClasses, TrainConfig,
};
use crate::model;
use crate::views::{self, Views};

/// Sizes above which a number in a run file is a mistake rather than a wish.
const LARGEST_SIZE: usize = 1 << 16;

/// Hidden layers, or blocks, that a run file may ask for.
const LAYERS_MAX: usize = 50;

/// Most numbers in an embedding that is whitened: the time grows with their cube.
const WHITEN_MAX: usize = 4096;

/// Numbers of a batch and the memory behind it that a run file may ask for: a GiB.
const REMEMBERED_MAX: usize = 1 << 28;

/// Largest side that pictures are resized to.
const SIDE_MAX: usize = 2048;

/// Errors of a run file, gathered so that one look mends them all.
#[derive(Debug)]
struct Errors(Vec<String>);

impl Errors {
    fn check(&mut self, good: bool, message: impl FnOnce() -> String) {
        if !good {
            self.0.push(message());
        }
    }

    /// `name = value` must lie in the closed range.
    fn range(&mut self, name: &str, value: f64, low: f64, high: f64) {
        self.check((low..=high).contains(&value), || {
            format!("{name} = {value} is not within {low} and {high}")
        });
    }

    fn size(&mut self, name: &str, value: usize, low: usize) {
        self.check((low..=LARGEST_SIZE).contains(&value), || {
            format!("{name} = {value} is not within {low} and {LARGEST_SIZE}")
        });
    }

    fn keep<V>(&mut self, place: &str, result: Result<V, impl std::fmt::Display>) {
        if let Err(error) = result {
            self.0.push(format!("{place}: {error}"));
        }
    }

    /// Each number by itself, under its own name; then whether all of them fit together.
    fn loss_and_sampler(&mut self, loss: &LossConfig, sampler: &SamplerConfig, dim: usize) {
        let before = self.0.len();
        self.range("loss.alpha", loss.alpha, 0.0, 1e6);
        self.range("loss.alpha2", loss.alpha2, 0.0, 1e6);
        self.range("loss.scale", loss.scale, 1e-6, 1e6);
        self.range("loss.nu", loss.nu, 0.0, 1e6);
        let near = sampler.near;
        self.check(near > 0.0 && near < 2.0, || format!("sampler.near = {near} is not between 0 and 2"));
        if let Far::Number(far) = sampler.far {
            self.check(far > 0.0 && far.is_finite(), || {
                format!("sampler.far = {far} is no positive distance")
            });
        }
        if let Dimension::Number(n) = sampler.dimension {
            self.range("sampler.dimension", n, 2.0, 1e9);
        }
        if self.0.len() == before {
            // A dimension that is too small has been said already.
            self.keep("loss and sampler", objective::<f64>(loss, sampler, dim.max(2)));
        }
    }

    fn finish(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let count = self.0.len();
        let s = if count == 1 { "" } else { "s" };
        bail!("the configuration has {count} mistake{s}: {}", self.0.join("; "))
    }
}

/// Looks at every number of a run file.
pub fn check(config: &Config) -> Result<()> {
    check_beside(config, Vec::new())
}

/// As [`check`]; `mistakes` are those found before, in its text: all are one error.
pub fn check_beside(config: &Config, mistakes: Vec<String>) -> Result<()> {
    let Config { data, model, batch, loss, boundary, sampler, memory, optimizer, augment, .. } = config;
    let mut errors = Errors(mistakes);
    errors.range("data.validation", data.validation, 0.0, 0.9);
    errors.range("data.test", data.test, 0.0, 0.9);
    for (name, side) in [("data.resize", data.resize), ("data.crop", data.crop)] {
        errors.check(side <= SIDE_MAX, || format!("{name} = {side} is above {SIDE_MAX}"));
    }
    errors.check(data.resize == 0 || data.crop <= data.resize, || {
        format!("data.crop = {} is above data.resize = {}", data.crop, data.resize)
    });
    errors.size("model.dim", model.dim, 2);
    for (name, sizes) in [("model.hidden", &model.hidden), ("model.channels", &model.channels)] {
        errors.check(sizes.len() <= LAYERS_MAX, || {
            format!("{name} has {} layers; {LAYERS_MAX} at most can be", sizes.len())
        });
        for &size in sizes.iter().take(LAYERS_MAX) {
            errors.size(name, size, 1);
        }
    }
    errors.size("model.depth", model.depth, 1);
    errors.check(model.channels.len().saturating_mul(model.depth) <= LAYERS_MAX, || {
        format!("model.channels x model.depth is above {LAYERS_MAX} layers")
    });
    errors.check(model.views == 0 || views::COUNTS.contains(&model.views), || {
        format!("model.views = {} is none of 0, 1, 5, 8 and 9", model.views)
    });
    errors.range("model.whiten", model.whiten, 0.0, 1e6);
    let (turned, of_all) = (model.views == views::TURNED, model.dim.saturating_mul(views::TURNED));
    errors.check(model.whiten == 0.0 || model.dim <= WHITEN_MAX, || {
        format!(
            "model.whiten takes embeddings of {WHITEN_MAX} numbers at most, not {}: set it to 0",
            model.dim
        )
    });
    errors.check(!turned || model.whiten > 0.0, || {
        "model.views = 8 joins views by a map that takes its shrinkage from model.whiten: set it above 0"
            .into()
    });
    errors.check(!turned || of_all <= WHITEN_MAX, || {
        format!(
            "model.views = 8 makes {of_all} numbers of model.dim = {}; {WHITEN_MAX} at most can be",
            model.dim
        )
    });
    errors.size("batch.classes", batch.classes, 2);
    errors.size("batch.per_class", batch.per_class, 2);
    errors.check(batch.classes.saturating_mul(batch.per_class) <= LARGEST_SIZE, || {
        format!("batch.classes x batch.per_class is above {LARGEST_SIZE}")
    });
    errors.size("batch.near_classes", batch.near_classes, 1);
    let groups = batch.near_classes == 0 || batch.classes.is_multiple_of(batch.near_classes);
    errors.check(groups, || {
        format!(
            "batch.near_classes = {} does not divide batch.classes = {}: batches would cut groups",
            batch.near_classes, batch.classes
        )
    });
    errors.size("memory.size", memory.size, 0);
    let seen = batch.classes.saturating_mul(batch.per_class).saturating_add(memory.size);
    errors.check(memory.size == 0 || seen.saturating_mul(model.dim) <= REMEMBERED_MAX, || {
        format!(
            "memory.size = {} with model.dim = {} is above {REMEMBERED_MAX} numbers",
            memory.size, model.dim
        )
    });
    errors.loss_and_sampler(loss, sampler, model.dim);
    let exact = loss.kind == LossKind::Margin && boundary.mode == BoundaryMode::Exact;
    errors.check(!(exact && loss.penalty == PenaltyKind::Batch && loss.nu >= 1.0), || {
        // Each tuple then pulls its boundary down by more than its one positive can hold.
        format!("loss.nu = {} leaves no best boundary: with boundary.mode = exact it is below 1", loss.nu)
    });
    errors.range("boundary.start", boundary.start, 0.0, 2.0);
    errors.range("boundary.rate", boundary.rate, 0.0, 1e3);
    errors.range("boundary.momentum", boundary.momentum, 0.0, 0.9999);
    errors.range("optimizer.rate", optimizer.rate, 1e-12, 1e3);
    errors.range("optimizer.floor", optimizer.floor, 0.0, 1.0);
    errors.range("optimizer.momentum", optimizer.momentum, 0.0, 0.9999);
    errors.range("optimizer.beta2", optimizer.beta2, 0.0, 0.999_999);
    errors.range("optimizer.decay", optimizer.decay, 0.0, 10.0);
    errors.range("augment.rotation", augment.rotation, 0.0, 180.0);
    errors.range("augment.scale", augment.scale, 0.0, 0.9);
    errors.range("augment.shear", augment.shear, 0.0, 0.9);
    errors.range("augment.elastic", augment.elastic.reach(), 0.0, 0.5);
    errors.range("augment.share", augment.share, 0.0, 1.0);
    errors.range("augment.symmetry", augment.symmetry, 0.0, 1.0);
    errors.finish()
}

/// Reach of the elastic distortion where a run shows each sample [`MANY_PASSES`] times or more.
const ELASTIC: f64 = 0.105;

/// Passes over the data from which a network learns the samples by heart unless they vary more.
const MANY_PASSES: f64 = 40.0;

/// Fills in what a run file leaves to the training samples: by their number steps, looks, and the elastic distortion;
/// by their shape the views.
pub fn settle(config: &mut Config, samples: usize, shape: [usize; 3]) {
    let Config { train, augment, batch, model, .. } = config;
    if model.views == 0 {
        model.views = Views::suited(shape);
    }
    if train.steps == 0 {
        // More data deserve more steps, but far fewer than in proportion: 490 for 1000 samples, 1080 for 20000.
        train.steps = (82.0 * (samples as f64).powf(0.26)).round() as u32;
    }
    if train.every == 0 {
        train.every = train.steps.div_ceil(6);
    }
    if augment.elastic == Elastic::Named(ElasticName::Auto) {
        let shown = f64::from(train.steps) * (batch.classes * batch.per_class) as f64;
        let many = shown >= MANY_PASSES * samples as f64;
        augment.elastic = Elastic::Number(if many { ELASTIC } else { 0.0 });
    }
}

/// The objective of a run; `ambient` is D.
pub fn objective<T: Scalar>(
    loss: &LossConfig,
    sampler: &SamplerConfig,
    ambient: usize,
) -> Result<Objective<T>> {
    let reduction = match loss.reduction {
        ReductionKind::MeanActive => Reduction::MeanActive,
        ReductionKind::Mean => Reduction::Mean,
        ReductionKind::Sum => Reduction::Sum,
    };
    if loss.kind.takes_all() && sampler.kind != SamplerKind::All {
        bail!("{} takes all pairs of the batch: its sampler is all, not {}", loss.kind, sampler.kind);
    }
    let sampler = build_sampler(sampler, ambient, T::from_f64(loss.alpha))?;
    Ok(Objective::new(build_loss(loss)?, sampler, reduction)?)
}

/// The loss alone.
pub fn build_loss<T: Scalar>(loss: &LossConfig) -> Result<Loss<T>> {
    let alpha = T::from_f64(loss.alpha);
    Ok(match loss.kind {
        LossKind::Contrastive => Loss::Contrastive(Contrastive::new(alpha)?),
        LossKind::Triplet => Loss::Triplet(TripletLoss::squared(alpha)?),
        LossKind::TripletL2 => Loss::Triplet(TripletLoss::plain(alpha)?),
        LossKind::Margin => {
            // The paper's form of the penalty does not depend on the batch: the boundary adds it.
            let nu = if loss.penalty == PenaltyKind::Batch { loss.nu } else { 0.0 };
            Loss::Margin(Margin::new(alpha, T::from_f64(nu))?)
        }
        LossKind::Npair => Loss::NPair(NPair::new(T::from_f64(loss.scale))?),
        LossKind::Quadruplet => Loss::Quadruplet(Quadruplet::new(alpha, T::from_f64(loss.alpha2))?),
        LossKind::Lifted => Loss::Lifted(Lifted::new(alpha)?),
        LossKind::MultiSimilarity => Loss::MultiSimilarity(MultiSimilarity::new(
            T::from_f64(2.0),
            T::from_f64(50.0),
            T::from_f64(0.5),
        )?),
    })
}

/// The sampler alone; `alpha` is the width of bands and of the active cut.
pub fn build_sampler<T: Scalar>(sampler: &SamplerConfig, ambient: usize, alpha: T) -> Result<Sampler<T>> {
    let weighting = || {
        let dimension = match sampler.dimension {
            // Dimensions that follow the data start from D.
            Dimension::Named(_) => ambient as f64,
            Dimension::Number(n) => n,
        };
        let far = match sampler.far {
            Far::Named(FarName::None) => FarCut::None,
            Far::Named(FarName::Active) => FarCut::Active { margin: alpha },
            Far::Number(d) => FarCut::At(T::from_f64(d)),
        };
        let empty = match sampler.empty {
            EmptyKind::Skip => EmptyRow::Skip,
            EmptyKind::Nearest => EmptyRow::Nearest,
            EmptyKind::Uniform => EmptyRow::Uniform,
        };
        Weighting::new(dimension, Cap::Near(T::from_f64(sampler.near)), far, empty)
    };
    Ok(match sampler.kind {
        SamplerKind::Uniform => Sampler::Uniform,
        SamplerKind::Hard => Sampler::Hard,
        SamplerKind::Semihard => Sampler::Semihard,
        SamplerKind::SemihardBand => Sampler::SemihardBand { margin: alpha },
        SamplerKind::DistanceWeighted => Sampler::DistanceWeighted(weighting()?),
        SamplerKind::Expected => Sampler::Expected(weighting()?),
        SamplerKind::All => Sampler::All,
    })
}

/// The network for inputs of this shape (height, width, channels); features without pixels always get an mlp.
pub fn architecture(model: &ModelConfig, [height, width, channels]: [usize; 3]) -> Result<Architecture> {
    let input = InputShape { height, width, channels };
    let architecture = match model.kind {
        ModelKind::Cnn if height > 1 && width > 1 => {
            Architecture::cnn(input, &model.channels, model.depth, model.dim)?
        }
        ModelKind::Cnn | ModelKind::Mlp => Architecture::mlp(input, &model.hidden, model.dim)?,
    };
    model::ensure_buildable(&architecture)?;
    Ok(architecture)
}

/// Policy for classes with too few samples.
#[must_use]
pub fn small_class(batch: &BatchConfig) -> SmallClass {
    match batch.small_classes {
        SmallClasses::Skip => SmallClass::Skip,
        SmallClasses::Take => SmallClass::Take,
        SmallClasses::Error => SmallClass::Refuse,
    }
}

/// How weights move.
#[must_use]
pub fn optimizer(config: &OptimizerConfig) -> Optimizer {
    let OptimizerConfig { momentum, beta2, decay, .. } = *config;
    match config.kind {
        OptimizerKind::Adam => Optimizer::Adam { beta1: momentum, beta2, epsilon: 1e-8, decay },
        OptimizerKind::Sgd => Optimizer::Sgd { momentum, decay },
    }
}

/// How fast weights move.
#[must_use]
pub fn schedule(config: &OptimizerConfig, train: &TrainConfig) -> Schedule {
    let decay = if config.floor < 1.0 { Decay::Cosine { floor: config.floor } } else { Decay::Constant };
    Schedule { rate: config.rate, warmup: config.warmup, steps: train.steps, decay }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn recipes_have_no_mistakes() {
        for recipe in [Recipe::Best, Recipe::Paper] {
            check(&Config::recipe(recipe)).unwrap();
        }
    }

    #[test]
    fn convolutions_are_counted_over_all_blocks() {
        let mistake = |blocks, depth| {
            let mut config = Config::recipe(Recipe::Best);
            config.model.channels = vec![8; blocks];
            config.model.depth = depth;
            check(&config).map_or_else(|error| error.to_string(), |()| String::new())
        };
        assert_eq!(mistake(3, 2), "");
        assert!(mistake(3, 0).contains("model.depth = 0 is not within 1"));
        assert!(mistake(3, 17).contains("model.channels x model.depth is above 50 layers"));
    }

    #[test]
    fn groups_of_near_classes_fill_a_batch() {
        let mistake = |near_classes| {
            let mut config = Config::recipe(Recipe::Best);
            config.batch.near_classes = near_classes;
            check(&config).map_or_else(|error| error.to_string(), |()| String::new())
        };
        assert_eq!((mistake(1), mistake(8), mistake(32)), Default::default());
        assert!(mistake(0).contains("1 mistake: batch.near_classes = 0 is not within 1"));
        assert!(mistake(5).contains("batch.near_classes = 5 does not divide batch.classes = 32"));
        assert!(mistake(64).contains("does not divide"));
    }

    #[test]
    fn turned_views_need_a_shrinkage_and_a_map_that_fits() {
        let mistake = |dim, whiten| {
            let mut config = Config::recipe(Recipe::Best);
            (config.model.views, config.model.dim, config.model.whiten) = (8, dim, whiten);
            check(&config).map_or_else(|error| error.to_string(), |()| String::new())
        };
        assert_eq!(mistake(512, 2.0), "");
        assert!(mistake(512, 0.0).contains("model.whiten: set it above 0"));
        assert!(mistake(513, 2.0).contains("makes 4104 numbers of model.dim = 513"));
    }

    #[test]
    fn what_is_open_is_settled_and_what_is_given_stays() {
        let settled = |change: fn(&mut Config), samples| {
            let mut config = Config::recipe(Recipe::Best);
            change(&mut config);
            settle(&mut config, samples, [28, 28, 1]);
            (config.train.steps, config.train.every, config.augment.elastic.reach())
        };
        assert_eq!(settled(|_| (), 1000), (494, 83, 0.105)); // 82 * 1000^0.26; 79 passes of 160 a step
        assert_eq!(settled(|_| (), 20_000), (1077, 180, 0.0)); // 9 passes
        assert_eq!(settled(|c| c.train.steps = 5000, 20_000), (5000, 834, 0.105)); // 40 passes
        assert_eq!(settled(|c| c.train.every = 7, 20_000), (1077, 7, 0.0));
        assert_eq!(settled(|c| c.augment.elastic = Elastic::Number(0.2), 20_000).2, 0.2);
        let views = |views, shape| {
            let mut config = Config::recipe(Recipe::Best);
            config.model.views = views;
            settle(&mut config, 1000, shape);
            config.model.views
        };
        assert_eq!([views(0, [28, 28, 1]), views(9, [28, 28, 1]), views(0, [1, 1, 784])], [5, 9, 1]);
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let mut config = Config::recipe(Recipe::Best);
        config.loss.alpha = f64::NAN;
        config.batch.per_class = 1;
        config.optimizer.rate = 0.0;
        config.loss.alpha2 = -1.0;
        config.sampler.near = 2.0;
        config.sampler.far = Far::Number(f64::NAN);
        config.sampler.dimension = Dimension::Number(1.5);
        let text = check_beside(&config, vec!["line 1: x is not known".to_owned()]).unwrap_err().to_string();
        assert!(text.contains("8 mistakes"), "{text}");
        for part in [
            "line 1: x",
            "loss.alpha = NaN",
            "loss.alpha2 = -1",
            "sampler.near = 2",
            "sampler.far = NaN",
            "sampler.dimension = 1.5",
            "batch.per_class = 1",
            "optimizer.rate = 0",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_memory_that_no_machine_should_hold_is_refused() {
        let mut config = Config::recipe(Recipe::Best);
        config.memory.size = 65_536;
        check(&config).unwrap();
        config.memory.size = usize::MAX;
        assert!(check(&config).unwrap_err().to_string().contains("memory.size"));
        (config.memory.size, config.model.dim) = (65_536, 4096);
        assert!(check(&config).unwrap_err().to_string().contains("above 268435456 numbers"));
        config.memory.size = 0;
        check(&config).unwrap();
    }

    #[test]
    fn a_penalty_without_a_best_boundary_is_refused() {
        let mut config = Config::recipe(Recipe::Best);
        config.loss.nu = 1.0;
        assert!(check(&config).unwrap_err().to_string().contains("no best boundary"));
        config.loss.penalty = PenaltyKind::Paper;
        check(&config).unwrap();
    }
}
