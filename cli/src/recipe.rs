//! The two recipes: where the numbers of a run start from.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::config::{
    AugmentConfig, BatchConfig, BoundaryConfig, BoundaryMode, Config, DataConfig, Dimension, DimensionName,
    Elastic, ElasticName, EmptyKind, Far, LossConfig, LossKind, MemoryConfig, ModelConfig, ModelKind,
    OptimizerConfig, OptimizerKind, PenaltyKind, ReductionKind, SamplerConfig, SamplerKind, SmallClasses,
    TrainConfig,
};

/// Where the numbers of a run start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// What works best on validation classes: the boundary and the dimension are found from the data.
    #[default]
    Best,
    /// The numbers of the paper: n = D, beta 1.2, alpha 0.2, cap at 0.5, five samples a class.
    Paper,
}

impl Config {
    /// The numbers of a recipe.
    #[must_use]
    pub fn recipe(recipe: Recipe) -> Self {
        let best = Self {
            seed: 0,
            data: DataConfig {
                source: "kana".into(),
                validation: 0.05,
                test: 0.5,
                split_seed: 0,
                resize: 0,
                crop: 0,
                mirror: false,
                boxes: false,
            },
            model: ModelConfig {
                kind: ModelKind::Cnn,
                dim: 128,
                hidden: vec![512, 256],
                channels: vec![32, 64, 128],
                depth: 1,
                views: 0,
                whiten: 2.0,
            },
            batch: BatchConfig {
                classes: 32,
                per_class: 5,
                small_classes: SmallClasses::Take,
                near_classes: 1,
            },
            loss: LossConfig {
                kind: LossKind::Margin,
                alpha: 0.2,
                alpha2: 0.1,
                scale: 16.0,
                nu: 0.0,
                penalty: PenaltyKind::Batch,
                reduction: ReductionKind::MeanActive,
            },
            boundary: BoundaryConfig {
                start: 1.2,
                mode: BoundaryMode::Exact,
                rate: 0.05,
                momentum: 0.9,
                per_class: false,
                per_image: false,
            },
            sampler: SamplerConfig {
                kind: SamplerKind::Expected,
                dimension: Dimension::Named(DimensionName::Effective),
                near: 0.5,
                far: Far::Number(1.4),
                empty: EmptyKind::Skip,
            },
            memory: MemoryConfig { size: 0, warmup: 0 },
            optimizer: OptimizerConfig {
                kind: OptimizerKind::Adam,
                rate: 4e-3,
                warmup: 20,
                floor: 0.0,
                momentum: 0.9,
                beta2: 0.999,
                decay: 0.05,
            },
            augment: AugmentConfig {
                shift: 2,
                rotation: 10.0,
                scale: 0.1,
                shear: 0.1,
                elastic: Elastic::Named(ElasticName::Auto),
                share: 0.5,
                symmetry: 0.0,
            },
            train: TrainConfig { steps: 0, every: 0 },
        };
        match recipe {
            Recipe::Best => best,
            Recipe::Paper => Self {
                model: ModelConfig { views: 1, whiten: 0.0, ..best.model },
                batch: BatchConfig { classes: 24, ..best.batch },
                boundary: BoundaryConfig {
                    mode: BoundaryMode::Gradient,
                    rate: 1e-3,
                    per_class: true,
                    ..best.boundary
                },
                sampler: SamplerConfig {
                    kind: SamplerKind::DistanceWeighted,
                    dimension: Dimension::Named(DimensionName::Ambient),
                    ..best.sampler
                },
                optimizer: OptimizerConfig {
                    rate: 1e-3,
                    warmup: 0,
                    floor: 1.0,
                    decay: 0.0,
                    ..best.optimizer
                },
                augment: AugmentConfig {
                    shift: 2,
                    rotation: 0.0,
                    scale: 0.0,
                    shear: 0.0,
                    elastic: Elastic::Number(0.0),
                    share: 0.5,
                    symmetry: 0.0,
                },
                train: TrainConfig { steps: 600, every: 100 },
                ..best
            },
        }
    }
}
