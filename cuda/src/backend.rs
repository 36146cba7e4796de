//! The seam of `nearfar-core`, each operation handed to the inherent one of the same name.

use nearfar_core::kernel::{
    AdamStep, Backend, Batch, BatchView, ConvShape, HostBatch, LinearShape, MatchRanks, NegativeMoments,
    NormShape, PoolShape, SearchView, SgdStep,
};
use nearfar_core::{BoundaryFit, BoundaryShape, BoundaryStep, Draw, DrawReport, Key, LossReport, Objective};

use crate::device::Cuda;
use crate::draw::Draws;
use crate::error::Error;
use crate::memory::{Buffer, Indices};

impl Backend<f32> for Cuda {
    type Buffer = Buffer;
    type Indices = Indices;
    type Draws = Draws;
    type Error = Error;

    fn name(&self) -> &str {
        self.name()
    }

    fn zeros(&self, len: usize) -> Result<Buffer, Error> {
        self.zeros(len)
    }

    fn upload(&self, host: &[f32], buffer: &mut Buffer) -> Result<(), Error> {
        self.upload(host, buffer)
    }

    fn download(&self, buffer: &Buffer, host: &mut [f32]) -> Result<(), Error> {
        self.download(buffer, host)
    }

    fn copy(
        &self,
        from: &Buffer,
        from_at: usize,
        to: &mut Buffer,
        to_at: usize,
        len: usize,
    ) -> Result<(), Error> {
        self.copy(from, from_at, to, to_at, len)
    }

    fn indices(&self, host: &[u32]) -> Result<Indices, Error> {
        self.indices(host)
    }

    fn upload_batch<'t>(
        &self,
        batch: HostBatch<'_, f32>,
        there: &'t mut Option<Batch<Buffer, Indices>>,
    ) -> Result<&'t Batch<Buffer, Indices>, Error> {
        self.upload_batch(batch, there)
    }

    fn linear(
        &self,
        shape: LinearShape,
        x: &Buffer,
        w: &Buffer,
        b: &Buffer,
        y: &mut Buffer,
    ) -> Result<(), Error> {
        self.linear(shape, x, w, b, y)
    }

    fn linear_backward(
        &self,
        shape: LinearShape,
        x: &Buffer,
        w: &Buffer,
        y: &Buffer,
        dy: &mut Buffer,
        dw: &mut Buffer,
        db: &mut Buffer,
        dx: Option<&mut Buffer>,
    ) -> Result<(), Error> {
        self.linear_backward(shape, x, w, y, dy, dw, db, dx)
    }

    fn conv(
        &self,
        shape: ConvShape,
        x: &Buffer,
        w: &Buffer,
        y: &mut Buffer,
        picks: &mut Indices,
    ) -> Result<(), Error> {
        self.conv(shape, x, w, y, picks)
    }

    fn conv_backward(
        &self,
        shape: ConvShape,
        x: &Buffer,
        w: &Buffer,
        dy: &Buffer,
        picks: &Indices,
        dw: &mut Buffer,
        dx: Option<&mut Buffer>,
    ) -> Result<(), Error> {
        self.conv_backward(shape, x, w, dy, picks, dw, dx)
    }

    fn norm(
        &self,
        shape: NormShape<f32>,
        x: &Buffer,
        affine: &Buffer,
        saved: &mut Buffer,
        running: &mut Buffer,
        momentum: f32,
        y: &mut Buffer,
    ) -> Result<(), Error> {
        self.norm(shape, x, affine, saved, running, momentum, y)
    }

    fn norm_infer(
        &self,
        shape: NormShape<f32>,
        x: &Buffer,
        affine: &Buffer,
        running: &Buffer,
        y: &mut Buffer,
    ) -> Result<(), Error> {
        self.norm_infer(shape, x, affine, running, y)
    }

    fn norm_backward(
        &self,
        shape: NormShape<f32>,
        x: &Buffer,
        affine: &Buffer,
        saved: &Buffer,
        dy: &Buffer,
        daffine: &mut Buffer,
        dx: &mut Buffer,
    ) -> Result<(), Error> {
        self.norm_backward(shape, x, affine, saved, dy, daffine, dx)
    }

    fn relu(&self, len: usize, x: &Buffer, y: &mut Buffer) -> Result<(), Error> {
        self.relu(len, x, y)
    }

    fn relu_backward(&self, len: usize, y: &Buffer, dy: &Buffer, dx: &mut Buffer) -> Result<(), Error> {
        self.relu_backward(len, y, dy, dx)
    }

    fn max_pool(&self, shape: PoolShape, x: &Buffer, y: &mut Buffer) -> Result<(), Error> {
        self.max_pool(shape, x, y)
    }

    fn max_pool_backward(
        &self,
        shape: PoolShape,
        x: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<(), Error> {
        self.max_pool_backward(shape, x, dy, dx)
    }

    fn mean_pool(&self, shape: PoolShape, x: &Buffer, y: &mut Buffer) -> Result<(), Error> {
        self.mean_pool(shape, x, y)
    }

    fn mean_pool_backward(&self, shape: PoolShape, dy: &Buffer, dx: &mut Buffer) -> Result<(), Error> {
        self.mean_pool_backward(shape, dy, dx)
    }

    fn normalize(&self, count: usize, dim: usize, z: &Buffer, x: &mut Buffer) -> Result<(), Error> {
        self.normalize(count, dim, z, x)
    }

    fn normalize_backward(
        &self,
        count: usize,
        dim: usize,
        z: &Buffer,
        x: &Buffer,
        dx: &Buffer,
        dz: &mut Buffer,
    ) -> Result<(), Error> {
        self.normalize_backward(count, dim, z, x, dx, dz)
    }

    fn adam(
        &self,
        step: AdamStep<f32>,
        len: usize,
        w: &mut Buffer,
        g: &Buffer,
        m: &mut Buffer,
        v: &mut Buffer,
    ) -> Result<(), Error> {
        self.adam(step, len, w, g, m, v)
    }

    fn sgd(
        &self,
        step: SgdStep<f32>,
        len: usize,
        w: &mut Buffer,
        g: &Buffer,
        u: &mut Buffer,
    ) -> Result<(), Error> {
        self.sgd(step, len, w, g, u)
    }

    fn negative_moments(&self, batch: BatchView<'_, Buffer, Indices>) -> Result<NegativeMoments, Error> {
        self.negative_moments(batch)
    }

    fn draw(
        &self,
        batch: BatchView<'_, Buffer, Indices>,
        objective: &Objective<f32>,
        key: Key,
        draws: &mut Draws,
    ) -> Result<DrawReport, Error> {
        self.draw(batch, objective, key, draws)
    }

    fn loss(
        &self,
        batch: BatchView<'_, Buffer, Indices>,
        objective: &Objective<f32>,
        draws: &Draws,
        dx: &mut Buffer,
        dbetas: &mut Buffer,
    ) -> Result<LossReport, Error> {
        self.loss(batch, objective, draws, dx, dbetas)
    }

    fn boundaries(
        &self,
        shape: BoundaryShape,
        anchors: usize,
        parts: &Indices,
        state: &Buffer,
        betas: &mut Buffer,
    ) -> Result<(), Error> {
        self.boundaries(shape, anchors, parts, state, betas)
    }

    fn boundary_step(
        &self,
        shape: BoundaryShape,
        step: BoundaryStep<f32>,
        anchors: usize,
        parts: &Indices,
        dbetas: &Buffer,
        state: &mut Buffer,
    ) -> Result<f32, Error> {
        self.boundary_step(shape, step, anchors, parts, dbetas, state)
    }

    fn boundary_fit(
        &self,
        shape: BoundaryShape,
        fit: BoundaryFit<f32>,
        anchors: usize,
        parts: &Indices,
        count: usize,
        dim: usize,
        embeddings: &Buffer,
        draws: &Draws,
        state: &mut Buffer,
    ) -> Result<(), Error> {
        self.boundary_fit(shape, fit, anchors, parts, count, dim, embeddings, draws, state)
    }

    fn download_draws(&self, draws: &Draws) -> Result<Vec<Draw<f32>>, Error> {
        self.download_draws(draws)
    }

    fn upload_draws(&self, draws: &[Draw<f32>]) -> Result<Draws, Error> {
        self.upload_draws(draws)
    }

    fn match_ranks(
        &self,
        dim: usize,
        depth: usize,
        queries: SearchView<'_, Buffer>,
        candidates: Option<SearchView<'_, Buffer>>,
    ) -> Result<MatchRanks, Error> {
        self.match_ranks(dim, depth, queries, candidates)
    }

    fn nearest(
        &self,
        dim: usize,
        k: usize,
        queries: SearchView<'_, Buffer>,
        candidates: Option<SearchView<'_, Buffer>>,
    ) -> Result<Vec<u32>, Error> {
        self.nearest(dim, k, queries, candidates)
    }
}
