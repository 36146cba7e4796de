//! Batches of classes that lie near each other (`batch.near_classes`): the order of each pass, from the embeddings that
//! training computes anyway.
//!
//! Groups of a batch are turned alike (see [`Maker`](crate::data::feed::Maker)), so that classes which look alike still do;
//! means are taken of classes that are shown as they are, which all stand side by side.

use anyhow::{Context, Result, ensure};
use nearfar_core::net::Tensor;
use nearfar_core::{ClassMeans, Composer, Embeddings, Key, Stream};

use crate::data::augment::Augmentation;

/// Names in a saved state.
const MEANS: &str = "classes.means";
const ORDER: &str = "classes.order";

/// Labels up to here are exact in a tensor of f32.
const EXACT: usize = 1 << 24;

/// Where the classes lie, and how many of them make a group.
pub(crate) struct NearClasses {
    size: usize,
    dim: usize,
    means: ClassMeans,
}

impl NearClasses {
    /// Groups of `size` classes; `None` where that is 1: chance decides.
    pub(crate) fn new(size: usize, classes: usize, dim: usize) -> Result<Option<Self>> {
        if size < 2 {
            return Ok(None);
        }
        ensure!(
            classes <= EXACT,
            "batch.near_classes takes {EXACT} classes at most, not {classes}: set it to 1"
        );
        Ok(Some(Self { size, dim, means: ClassMeans::new(classes, dim) }))
    }

    /// The order of pass number `pass`, which begins.
    pub(crate) fn arrange(&self, composer: &Composer, pass: u32, seed: u64) -> Vec<u32> {
        self.means.side_by_side(&composer.order(pass), self.size, Key::new(seed, Stream::Classes, pass))
    }

    /// Takes note of a batch: what each sample is shown as, class after class, and its embedding.
    pub(crate) fn see(&mut self, shown: &[u32], embeddings: &[f32]) -> Result<()> {
        let mut rest = embeddings;
        for class in shown.chunk_by(|a, b| a == b) {
            let (rows, behind) = rest.split_at(class.len() * self.dim);
            rest = behind;
            if let Some(class) = Augmentation::plain(class[0]) {
                self.means.see(class, Embeddings::new(rows, self.dim)?);
            }
        }
        Ok(())
    }

    /// The means and the order of the pass at hand as tensors, `[K, D]` and `[K]`.
    pub(crate) fn tensors(&self, order: &[u32]) -> [Tensor<f32>; 2] {
        let means = self.means.values();
        let order: Vec<f32> = order.iter().map(|&class| class as f32).collect();
        [
            Tensor {
                name: MEANS.into(),
                shape: vec![means.len() / self.dim, self.dim],
                values: means.to_vec(),
            },
            Tensor { name: ORDER.into(), shape: vec![order.len()], values: order },
        ]
    }

    /// Sets the means that [`tensors`](Self::tensors) gave, and returns the order, for batches of `composer`.
    ///
    /// Errors: a tensor is missing, or of other classes.
    pub(crate) fn restore<'t>(
        &mut self,
        composer: &Composer,
        mut find: impl FnMut(&str) -> Option<&'t Tensor<f32>>,
    ) -> Result<Vec<u32>> {
        let mut values = |name: &str| {
            Ok::<_, anyhow::Error>(&find(name).with_context(|| format!("the state has no {name}"))?.values)
        };
        let (means, order) = (values(MEANS)?, values(ORDER)?);
        // A number that is no label becomes one that does not take part, or takes the place of another.
        let order: Vec<u32> = order.iter().map(|&class| class as u32).collect();
        let (mut given, mut wanted) = (order.clone(), composer.order(0));
        given.sort_unstable();
        wanted.sort_unstable();
        ensure!(given == wanted, "the state's {ORDER} is of other classes than this run's");
        ensure!(self.means.restore(means), "the state's {MEANS} is of another size than this run's");
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use nearfar_core::SmallClass;

    use super::*;

    fn composer() -> Composer {
        Composer::new(&[0, 0, 1, 1, 2, 2, 3, 3], 2, 2, SmallClass::Take, 0).unwrap()
    }

    /// Classes 0 and 3 lie near each other, and 1 and 2.
    fn seen() -> NearClasses {
        let mut near = NearClasses::new(2, 4, 2).unwrap().unwrap();
        let rows = [[1.0, 0.0], [0.0, 1.0], [0.1, 0.9], [0.9, 0.1]];
        for (class, row) in rows.iter().enumerate() {
            near.see(&[8 * class as u32], row).unwrap();
        }
        near
    }

    #[test]
    fn near_classes_stand_side_by_side() {
        let near = seen();
        for pass in 0..20 {
            for pair in near.arrange(&composer(), pass, 5).chunks(2) {
                assert_eq!(pair[0] + pair[1], 3, "{pair:?} of pass {pass}");
            }
        }
        assert!(NearClasses::new(1, 4, 2).unwrap().is_none());
    }

    #[test]
    fn a_class_that_is_turned_tells_nothing_of_where_it_lies() {
        let mut near = seen();
        let before = near.means.clone();
        near.see(&[8 + 3, 8 + 3, 16 + 7], &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]).unwrap();
        assert_eq!(near.means, before);
        near.see(&[8 + 3, 16, 16], &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0]).unwrap();
        let half = 0.5_f32.sqrt();
        assert!(near.means.values()[4..6].iter().all(|value| (value - half).abs() < 1e-6));
        assert_eq!(near.means.values()[..4], before.values()[..4]);
    }

    #[test]
    fn a_state_is_taken_up_or_refused() {
        let near = seen();
        let order = near.arrange(&composer(), 0, 5);
        let saved = near.tensors(&order);
        let restore = |saved: &[Tensor<f32>], classes| {
            let mut again = NearClasses::new(2, classes, 2).unwrap().unwrap();
            let order = again.restore(&composer(), |name| saved.iter().find(|tensor| tensor.name == name))?;
            Ok::<_, anyhow::Error>((again, order))
        };
        let (again, found) = restore(&saved, 4).unwrap();
        assert_eq!((again.means, found), (near.means, order));
        let refused = |saved: &[Tensor<f32>], classes| restore(saved, classes).err().unwrap().to_string();
        assert!(refused(&saved[..1], 4).contains("no classes.order"));
        assert!(refused(&saved, 5).contains("classes.means is of another size"));
        for wrong in [1.0, -1.0, 4.0, f32::NAN, f32::INFINITY] {
            let mut spoilt = saved.clone();
            let at = spoilt[1].values.iter().position(|&class| class == 2.0).unwrap();
            spoilt[1].values[at] = wrong;
            assert!(refused(&spoilt, 4).contains("of other classes"), "{wrong}");
        }
    }
}
