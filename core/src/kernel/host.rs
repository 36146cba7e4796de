//! What every backend in host memory shares: vectors as buffers, and one stamp that turns a module of plain
//! functions into a [`Backend`](super::Backend).

/// Implements `Backend` for `$backend` from the methods `run(work)` (where work happens: here, or on a pool of
/// threads), `layers()` (layers and optimisers on slices), `rows()` (distances, see [`super::rows`]), `draw_batch` and
/// `loss_batch` of the type.
macro_rules! host_backend {
    ($backend:ty, $name:literal) => {
        impl<T: $crate::Scalar> $crate::kernel::Backend<T> for $backend {
            type Buffer = Vec<T>;
            type Indices = Vec<u32>;
            type Draws = Vec<$crate::Draw<T>>;
            type Error = $crate::BatchError;

            fn name(&self) -> &str {
                $name
            }

            fn zeros(&self, len: usize) -> Result<Vec<T>, BatchError> {
                Ok(alloc::vec![T::ZERO; len])
            }

            fn upload(&self, host: &[T], buffer: &mut Vec<T>) -> Result<(), BatchError> {
                buffer[..host.len()].copy_from_slice(host);
                Ok(())
            }

            fn download(&self, buffer: &Vec<T>, host: &mut [T]) -> Result<(), BatchError> {
                host.copy_from_slice(&buffer[..host.len()]);
                Ok(())
            }

            fn copy(
                &self,
                from: &Vec<T>,
                from_at: usize,
                to: &mut Vec<T>,
                to_at: usize,
                len: usize,
            ) -> Result<(), BatchError> {
                to[to_at..to_at + len].copy_from_slice(&from[from_at..from_at + len]);
                Ok(())
            }

            fn indices(&self, host: &[u32]) -> Result<Vec<u32>, BatchError> {
                Ok(host.to_vec())
            }

            fn upload_batch<'t>(
                &self,
                batch: HostBatch<'_, T>,
                there: &'t mut Option<Batch<Vec<T>, Vec<u32>>>,
            ) -> Result<&'t Batch<Vec<T>, Vec<u32>>, BatchError> {
                let there = there.get_or_insert_default();
                there.inputs.clear();
                there.inputs.extend_from_slice(batch.inputs);
                there.labels.clear();
                there.labels.extend_from_slice(batch.labels);
                there.parts.clear();
                there.parts.extend(batch.parts.iter().flat_map(|&(class, image)| [class, image]));
                Ok(there)
            }

            fn linear(
                &self,
                shape: LinearShape,
                x: &Vec<T>,
                w: &Vec<T>,
                b: &Vec<T>,
                y: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                self.run(|| self.layers().linear(shape, x, w, b, y));
                Ok(())
            }

            fn linear_backward(
                &self,
                shape: LinearShape,
                x: &Vec<T>,
                w: &Vec<T>,
                y: &Vec<T>,
                dy: &mut Vec<T>,
                dw: &mut Vec<T>,
                db: &mut Vec<T>,
                dx: Option<&mut Vec<T>>,
            ) -> Result<(), BatchError> {
                let dx = dx.map(|dx| &mut dx[..]);
                self.run(|| self.layers().linear_backward(shape, x, w, y, dy, dw, db, dx));
                Ok(())
            }

            fn conv(
                &self,
                shape: ConvShape,
                x: &Vec<T>,
                w: &Vec<T>,
                y: &mut Vec<T>,
                picks: &mut Vec<u32>,
            ) -> Result<(), BatchError> {
                self.run(|| self.layers().conv(shape, x, w, y, picks));
                Ok(())
            }

            fn conv_backward(
                &self,
                shape: ConvShape,
                x: &Vec<T>,
                w: &Vec<T>,
                dy: &Vec<T>,
                picks: &Vec<u32>,
                dw: &mut Vec<T>,
                dx: Option<&mut Vec<T>>,
            ) -> Result<(), BatchError> {
                let dx = dx.map(|dx| &mut dx[..]);
                self.run(|| self.layers().conv_backward(shape, x, w, dy, picks, dw, dx));
                Ok(())
            }

            fn norm(
                &self,
                shape: NormShape<T>,
                x: &Vec<T>,
                affine: &Vec<T>,
                saved: &mut Vec<T>,
                running: &mut Vec<T>,
                momentum: T,
                y: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                self.run(|| self.layers().norm(shape, x, affine, saved, running, momentum, y));
                Ok(())
            }

            fn norm_infer(
                &self,
                shape: NormShape<T>,
                x: &Vec<T>,
                affine: &Vec<T>,
                running: &Vec<T>,
                y: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                self.run(|| self.layers().norm_infer(shape, x, affine, running, y));
                Ok(())
            }

            fn norm_backward(
                &self,
                shape: NormShape<T>,
                x: &Vec<T>,
                affine: &Vec<T>,
                saved: &Vec<T>,
                dy: &Vec<T>,
                daffine: &mut Vec<T>,
                dx: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                self.run(|| self.layers().norm_backward(shape, x, affine, saved, dy, daffine, dx));
                Ok(())
            }

            fn relu(&self, len: usize, x: &Vec<T>, y: &mut Vec<T>) -> Result<(), BatchError> {
                self.run(|| self.layers().relu(&x[..len], &mut y[..len]));
                Ok(())
            }

            fn relu_backward(
                &self,
                len: usize,
                y: &Vec<T>,
                dy: &Vec<T>,
                dx: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                self.run(|| self.layers().relu_backward(&y[..len], &dy[..len], &mut dx[..len]));
                Ok(())
            }

            fn max_pool(&self, shape: PoolShape, x: &Vec<T>, y: &mut Vec<T>) -> Result<(), BatchError> {
                self.run(|| self.layers().max_pool(shape, x, y));
                Ok(())
            }

            fn max_pool_backward(
                &self,
                shape: PoolShape,
                x: &Vec<T>,
                dy: &Vec<T>,
                dx: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                self.run(|| self.layers().max_pool_backward(shape, x, dy, dx));
                Ok(())
            }

            fn mean_pool(&self, shape: PoolShape, x: &Vec<T>, y: &mut Vec<T>) -> Result<(), BatchError> {
                self.run(|| self.layers().mean_pool(shape, x, y));
                Ok(())
            }

            fn mean_pool_backward(
                &self,
                shape: PoolShape,
                dy: &Vec<T>,
                dx: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                self.run(|| self.layers().mean_pool_backward(shape, dy, dx));
                Ok(())
            }

            fn normalize(
                &self,
                count: usize,
                dim: usize,
                z: &Vec<T>,
                x: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                rows::normalize(count, dim, z, x)
            }

            fn normalize_backward(
                &self,
                count: usize,
                dim: usize,
                z: &Vec<T>,
                x: &Vec<T>,
                dx: &Vec<T>,
                dz: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                rows::normalize_backward(count, dim, z, x, dx, dz);
                Ok(())
            }

            fn adam(
                &self,
                step: AdamStep<T>,
                len: usize,
                w: &mut Vec<T>,
                g: &Vec<T>,
                m: &mut Vec<T>,
                v: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                self.run(|| self.layers().adam(step, &mut w[..len], &g[..len], &mut m[..len], &mut v[..len]));
                Ok(())
            }

            fn sgd(
                &self,
                step: SgdStep<T>,
                len: usize,
                w: &mut Vec<T>,
                g: &Vec<T>,
                u: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                self.run(|| self.layers().sgd(step, &mut w[..len], &g[..len], &mut u[..len]));
                Ok(())
            }

            fn negative_moments(
                &self,
                batch: BatchView<'_, Vec<T>, Vec<u32>>,
            ) -> Result<NegativeMoments, BatchError> {
                Ok(self.run(|| rows::negative_moments(&self.rows(), batch)))
            }

            fn draw(
                &self,
                batch: BatchView<'_, Vec<T>, Vec<u32>>,
                objective: &Objective<T>,
                key: Key,
                draws: &mut Vec<Draw<T>>,
            ) -> Result<DrawReport, BatchError> {
                Ok(self.draw_batch(batch, objective, key, draws))
            }

            fn loss(
                &self,
                batch: BatchView<'_, Vec<T>, Vec<u32>>,
                objective: &Objective<T>,
                draws: &Vec<Draw<T>>,
                dx: &mut Vec<T>,
                dbetas: &mut Vec<T>,
            ) -> Result<LossReport, BatchError> {
                Ok(self.loss_batch(batch, objective, draws, dx, dbetas))
            }

            fn boundaries(
                &self,
                shape: BoundaryShape,
                anchors: usize,
                parts: &Vec<u32>,
                state: &Vec<T>,
                betas: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                for (beta, anchor) in betas[..anchors].iter_mut().zip(rows::pairs(parts, anchors)) {
                    *beta = shape.of(state, anchor);
                }
                Ok(())
            }

            fn boundary_step(
                &self,
                shape: BoundaryShape,
                step: BoundaryStep<T>,
                anchors: usize,
                parts: &Vec<u32>,
                dbetas: &Vec<T>,
                state: &mut Vec<T>,
            ) -> Result<T, BatchError> {
                let (parameters, velocity) = state[..2 * shape.count()].split_at_mut(shape.count());
                let penalty = step.nu * parameters.iter().copied().sum::<T>();
                let parts = rows::pairs(parts, anchors);
                shape.step(parameters, velocity, parts, &dbetas[..anchors], step);
                Ok(penalty)
            }

            fn boundary_fit(
                &self,
                shape: BoundaryShape,
                fit: BoundaryFit<T>,
                anchors: usize,
                parts: &Vec<u32>,
                count: usize,
                dim: usize,
                embeddings: &Vec<T>,
                draws: &Vec<Draw<T>>,
                state: &mut Vec<T>,
            ) -> Result<(), BatchError> {
                let pairs = rows::drawn_pairs(&embeddings[..count * dim], dim, draws);
                let of: Vec<_> = rows::pairs(parts, anchors).collect();
                shape.minimize(&mut state[..shape.count()], |anchor| of[anchor as usize], &pairs, fit);
                Ok(())
            }

            fn download_draws(&self, draws: &Vec<Draw<T>>) -> Result<Vec<Draw<T>>, BatchError> {
                Ok(draws.clone())
            }

            fn upload_draws(&self, draws: &[Draw<T>]) -> Result<Vec<Draw<T>>, BatchError> {
                Ok(draws.to_vec())
            }

            fn match_ranks(
                &self,
                dim: usize,
                depth: usize,
                queries: SearchView<'_, Vec<T>>,
                candidates: Option<SearchView<'_, Vec<T>>>,
            ) -> Result<MatchRanks, BatchError> {
                Ok(self.run(|| self.rows().match_ranks(dim, depth, queries, candidates)))
            }

            fn nearest(
                &self,
                dim: usize,
                k: usize,
                queries: SearchView<'_, Vec<T>>,
                candidates: Option<SearchView<'_, Vec<T>>>,
            ) -> Result<Vec<u32>, BatchError> {
                Ok(self.run(|| self.rows().nearest(dim, k, queries, candidates)))
            }

            fn neighbours(
                &self,
                dim: usize,
                k: usize,
                queries: &[T],
                candidates: Option<&[T]>,
            ) -> Result<Vec<Neighbour>, BatchError> {
                Ok(self.run(|| self.rows().neighbours(dim, k, queries, candidates)))
            }
        }
    };
}

pub(super) use host_backend;
