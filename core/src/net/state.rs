//! The numbers of a network as tensors on the host, by name: what a file holds and a resumed run goes on from.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::Network;
use crate::Scalar;
use crate::kernel::Backend;

impl<T: Scalar, B: Backend<T>> Network<'_, T, B> {
    /// Every tensor that makes the network what it is: parameters and running statistics. With `training`, the
    /// optimiser's state too: what a resumed run needs.
    pub fn tensors(&self, training: bool) -> Result<Vec<Tensor<T>>, B::Error> {
        let mut list = Vec::new();
        let mut push = |name: String, shape: Vec<usize>, buffer: &B::Buffer| -> Result<(), B::Error> {
            let mut values = vec![T::ZERO; shape.iter().product()];
            self.backend.download(buffer, &mut values)?;
            list.push(Tensor { name, shape, values });
            Ok(())
        };
        for p in &self.parameters {
            push(p.name.clone(), p.shape.clone(), &p.value)?;
            if training {
                push(format!("{}.first", p.name), p.shape.clone(), &p.first)?;
                push(format!("{}.second", p.name), p.shape.clone(), &p.second)?;
            }
        }
        for n in &self.norms {
            push(n.name.clone(), vec![2, n.channels], &n.running)?;
        }
        Ok(list)
    }

    /// Gradients of all parameters after the last [`backward`](Self::backward).
    pub fn gradients(&self) -> Result<Vec<Tensor<T>>, B::Error> {
        let mut list = Vec::new();
        for p in &self.parameters {
            let mut values = vec![T::ZERO; p.len];
            self.backend.download(&p.gradient, &mut values)?;
            list.push(Tensor { name: p.name.clone(), shape: p.shape.clone(), values });
        }
        Ok(list)
    }

    /// Sets every tensor that [`tensors`](Self::tensors) of the same kind lists, found by name through `find`.
    pub fn load<'t>(
        &mut self,
        training: bool,
        mut find: impl FnMut(&str) -> Option<&'t Tensor<T>>,
    ) -> Result<(), LoadError<B::Error>> {
        let backend = self.backend;
        let mut set = |name: &str, shape: &[usize], buffer: &mut B::Buffer| {
            let tensor = find(name).ok_or_else(|| LoadError::Missing(name.into()))?;
            if tensor.shape != shape || tensor.values.len() != shape.iter().product() {
                return Err(LoadError::Shape {
                    name: name.into(),
                    expected: shape.to_vec(),
                    found: tensor.shape.clone(),
                });
            }
            backend.upload(&tensor.values, buffer).map_err(LoadError::Backend)
        };
        for p in &mut self.parameters {
            set(&p.name, &p.shape, &mut p.value)?;
            if training {
                set(&format!("{}.first", p.name), &p.shape, &mut p.first)?;
                set(&format!("{}.second", p.name), &p.shape, &mut p.second)?;
            }
        }
        for n in &mut self.norms {
            set(&n.name, &[2, n.channels], &mut n.running)?;
        }
        Ok(())
    }
}

/// A tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<T> {
    /// `layer.kind.part`, as in `3.conv.weight`.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Numbers in row-major order.
    pub values: Vec<T>,
}

/// Why tensors do not make this network.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// No tensor of this name.
    Missing(String),
    /// A tensor of another shape.
    Shape {
        /// Its name.
        name: String,
        /// The shape that the network has.
        expected: Vec<usize>,
        /// The shape that was found.
        found: Vec<usize>,
    },
    /// The backend failed.
    Backend(E),
}

impl<E: core::fmt::Display> core::fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "there is no tensor {name}"),
            Self::Shape { name, expected, found } => {
                write!(f, "tensor {name} has shape {found:?}, the network needs {expected:?}")
            }
            Self::Backend(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for LoadError<E> {}
