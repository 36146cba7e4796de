//! Projection of rows onto the sphere.

use nearfar_core::BatchError;

use crate::device::Cuda;
use crate::error::Error;
use crate::launch::Grid;
use crate::memory::{Buffer, count};

/// Warps of a block, a row each: as in `kernels/normalize.cu`.
const ROW_WARPS: u32 = 8;

fn grid(count: u32) -> Grid {
    Grid { blocks: (count.div_ceil(ROW_WARPS), 1, 1), threads: (32 * ROW_WARPS, 1) }
}

/// What the report of the kernel says: 0, or the complement of 2 row + (1 if not finite).
fn reported(report: u32) -> Result<(), BatchError> {
    if report == 0 {
        return Ok(());
    }
    let row = (!report / 2) as usize;
    Err(if !report % 2 == 1 { BatchError::NotFinite { row } } else { BatchError::ZeroRow { row } })
}

impl Cuda {
    /// `x = z / |z|` for each of `count` rows; a zero or non-finite row is an error that names it.
    ///
    /// Waits for the device: whether a row was bad is part of the answer.
    pub fn normalize(&self, rows: usize, dim: usize, z: &Buffer, x: &mut Buffer) -> Result<(), Error> {
        let n = count(rows)?;
        count(rows.saturating_mul(dim))?;
        let mut scratch = self.scratch();
        let mut report = scratch.report(self)?;
        self.launch(
            "normalize",
            grid(n),
            [
                z.read(rows * dim).into(),
                x.write(rows * dim).into(),
                report.slice_mut(..).into(),
                n.into(),
                count(dim)?.into(),
            ],
        )?;
        let mut answer = [0];
        self.fetch(&report.as_view(), &mut answer)?;
        Ok(reported(answer[0])?)
    }

    /// `dz = (I - x xᵀ) dx / |z|`.
    pub fn normalize_backward(
        &self,
        rows: usize,
        dim: usize,
        z: &Buffer,
        x: &Buffer,
        dx: &Buffer,
        dz: &mut Buffer,
    ) -> Result<(), Error> {
        let (n, len) = (count(rows)?, count(rows.saturating_mul(dim))? as usize);
        self.launch(
            "normalize_backward",
            grid(n),
            [
                z.read(len).into(),
                x.read(len).into(),
                dx.read(len).into(),
                dz.write(len).into(),
                n.into(),
                count(dim)?.into(),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_row_and_reason() {
        assert_eq!(reported(0), Ok(()));
        assert_eq!(reported(!6), Err(BatchError::ZeroRow { row: 3 }));
        assert_eq!(reported(!7), Err(BatchError::NotFinite { row: 3 }));
    }

    #[test]
    fn the_first_bad_row_has_the_largest_report() {
        let reports: Vec<u32> = (0..6).map(|code: u32| !code).collect();
        assert!(reports.is_sorted_by(|a, b| a > b));
    }
}
