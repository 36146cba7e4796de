//! Cells of a grid: what each changes of the configuration that all share.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::config::{BoundaryMode, Config, Dimension, DimensionName, LossKind, SamplerKind};
use crate::recipe::Recipe;

/// One cell of the table. Of several variants the one with the best validation classes stands for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Its row in the table: mostly the loss.
    pub row: String,
    /// Its column: mostly the sampler.
    pub column: String,
    /// At least one.
    pub variants: Vec<Variant>,
}

/// A configuration that a cell may run with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// What is particular to it; empty where there is one only.
    pub name: String,
    /// Every number, but for the seed.
    pub config: Config,
}

impl Cell {
    /// A cell with one variant.
    fn new(row: &str, column: &str, config: Config) -> Self {
        Self {
            row: row.into(),
            column: column.into(),
            variants: vec![Variant { name: String::new(), config }],
        }
    }

    /// Row and column in one name that is also a folder's.
    ///
    /// ```
    /// use nearfar::ablate::Preset;
    /// use nearfar::{config::Config, recipe::Recipe};
    /// let cells = Preset::Boundary.cells(&Config::recipe(Recipe::Best));
    /// assert_eq!(cells[0].name(), "margin-fixed");
    /// ```
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}", self.row, self.column)
    }

    /// Where the runs of a variant lie in the folder of the grid.
    pub(super) fn folder(&self, variant: &Variant) -> PathBuf {
        PathBuf::from("cells").join(self.name()).join(&variant.name)
    }

    /// The cell with a variant for each of these margins, where its loss has one.
    #[must_use]
    pub fn with_margins(mut self, margins: &[f64]) -> Self {
        let [only] = &self.variants[..] else { return self };
        if only.config.loss.kind.has_alpha() && !margins.is_empty() {
            let config = only.config.clone();
            self.variants = margins
                .iter()
                .map(|&alpha| {
                    let mut config = config.clone();
                    config.loss.alpha = alpha;
                    Variant { name: format!("alpha-{alpha}"), config }
                })
                .collect();
        }
        self
    }
}

/// Grids by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The paper's table: four losses by four samplers, all with the paper's numbers; and the recipe `best`.
    Paper,
    /// How the boundary of the margin loss moves: fixed, learned (one, by class, by class and image), exact.
    Boundary,
    /// The dimension whose density is inverted: D, effective, fitted.
    Dimension,
    /// The distance whose weight caps all others.
    Cap,
}

/// Margin of the contrastive loss in the paper's table: the other losses compare distances, this one needs a scale.
const CONTRASTIVE_MARGIN: f64 = 1.0;

impl Preset {
    /// Its cells over `base`, which gives data, network, batches, optimiser and budget; loss, sampler and boundary
    /// have the paper's numbers but for what a cell names.
    #[must_use]
    pub fn cells(self, base: &Config) -> Vec<Cell> {
        match self {
            Self::Paper => {
                use LossKind::{Contrastive, Margin, Triplet, TripletL2};
                use SamplerKind::{DistanceWeighted, Hard, Semihard, Uniform};
                let mut cells = product(
                    base,
                    &[Contrastive, Triplet, TripletL2, Margin],
                    &[Uniform, Hard, Semihard, DistanceWeighted],
                );
                cells.push(best(base));
                cells
            }
            Self::Boundary => {
                let modes: [(&str, BoundaryMode, bool, bool); 5] = [
                    ("fixed", BoundaryMode::Fixed, false, false),
                    ("learned", BoundaryMode::Gradient, false, false),
                    ("by-class", BoundaryMode::Gradient, true, false),
                    ("by-image", BoundaryMode::Gradient, true, true),
                    ("exact", BoundaryMode::Exact, false, false),
                ];
                let cell = |(name, mode, per_class, per_image)| {
                    let mut config = paper(base);
                    let of_best = Config::recipe(Recipe::Best).boundary;
                    config.boundary.mode = mode;
                    (config.boundary.per_class, config.boundary.per_image) = (per_class, per_image);
                    if mode == BoundaryMode::Exact {
                        config.boundary.rate = of_best.rate;
                    }
                    Cell::new("margin", name, config)
                };
                modes.into_iter().map(cell).collect()
            }
            Self::Dimension => {
                use DimensionName::{Ambient, Effective, Fitted};
                let cell = |(name, dimension)| {
                    let mut config = paper(base);
                    config.sampler.dimension = Dimension::Named(dimension);
                    Cell::new("margin", name, config)
                };
                [("ambient", Ambient), ("effective", Effective), ("fitted", Fitted)].map(cell).into()
            }
            Self::Cap => {
                let cell = |near: f64| {
                    let mut config = paper(base);
                    config.sampler.near = near;
                    Cell::new("margin", &format!("near-{near}"), config)
                };
                [0.3, 0.5, 0.7, 0.9].map(cell).into()
            }
        }
    }
}

/// Every loss with every sampler; a loss that takes the whole batch has one cell.
#[must_use]
pub fn product(base: &Config, losses: &[LossKind], samplers: &[SamplerKind]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &loss in losses {
        let own = if loss.takes_all() { &[SamplerKind::All][..] } else { samplers };
        for &sampler in own {
            let mut config = paper(base);
            config.loss.kind = loss;
            config.sampler.kind = sampler;
            if loss == LossKind::Contrastive {
                config.loss.alpha = CONTRASTIVE_MARGIN;
            }
            cells.push(Cell::new(&loss.to_string(), &sampler.to_string(), config));
        }
    }
    cells
}

/// `base` with the paper's loss, sampler and boundary: the margin loss and distance weighted sampling.
fn paper(base: &Config) -> Config {
    let Config { loss, sampler, boundary, .. } = Config::recipe(Recipe::Paper);
    Config { loss, sampler, boundary, ..base.clone() }
}

/// `base` with the loss, sampler and boundary of the recipe `best`.
fn best(base: &Config) -> Cell {
    let Config { loss, sampler, boundary, .. } = Config::recipe(Recipe::Best);
    Cell::new("best", "recipe", Config { loss, sampler, boundary, ..base.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use std::collections::BTreeSet;

    #[test]
    fn every_cell_of_every_preset_can_run_and_has_a_name_of_its_own() {
        for &preset in Preset::value_variants() {
            let cells = preset.cells(&Config::recipe(Recipe::Best));
            let names: BTreeSet<String> = cells.iter().map(Cell::name).collect();
            assert_eq!(names.len(), cells.len());
            for cell in &cells {
                plan::check(&cell.variants[0].config).unwrap_or_else(|e| panic!("{}: {e}", cell.name()));
            }
        }
    }

    #[test]
    fn the_papers_table_has_its_sixteen_cells_and_ours() {
        let cells = Preset::Paper.cells(&Config::recipe(Recipe::Best));
        assert_eq!(cells.len(), 17);
        let last = &cells[16].variants[0].config;
        assert_eq!(*last, Config::recipe(Recipe::Best));
    }

    #[test]
    fn margins_make_variants_where_there_is_a_margin() {
        let base = Config::recipe(Recipe::Best);
        let cells = product(&base, &[LossKind::Triplet, LossKind::Npair], &[SamplerKind::Hard]);
        let variants = |at: usize| cells[at].clone().with_margins(&[0.1, 0.5]).variants.len();
        assert_eq!((variants(0), variants(1)), (2, 1));
    }
}
