//! Shapes of layers that products are tried on, by what a kernel meets in them: `products.rs` and `tensor.rs`.

/// Rows, inputs and outputs of linear layers: sides of one number.
pub(crate) const LINEAR_THIN: &[[usize; 3]] = &[[1, 1, 1], [1, 9, 70], [33, 1, 5], [140, 17, 1]];
/// Rows that are no whole quads.
pub(crate) const LINEAR_RAGGED: &[[usize; 3]] = &[[131, 5, 3], [7, 70, 33], [3, 6, 129]];
/// Whole quads: one tile and several, results of 32 columns and of more.
pub(crate) const LINEAR_QUADS: &[[usize; 3]] = &[[9, 20, 12], [130, 36, 68], [1, 4, 32]];
/// Sums that are cut into chunks: of the output, and of the gradients.
pub(crate) const LINEAR_CHUNKS: &[[usize; 3]] =
    &[[5, 300, 8], [150, 12, 40], [130, 132, 68], [1000, 4, 4], [301, 7, 10]];

/// Batch, height, width, inputs and outputs of convolutions: one pixel, and channels that are no whole quads.
pub(crate) const CONV_RAGGED: &[[usize; 5]] =
    &[[1, 1, 1, 1, 1], [3, 5, 7, 1, 6], [2, 6, 3, 3, 5], [1, 4, 9, 7, 33]];
/// Whole quads.
pub(crate) const CONV_QUADS: &[[usize; 5]] =
    &[[2, 5, 6, 4, 8], [1, 7, 5, 8, 36], [1, 3, 3, 36, 4], [4, 9, 8, 4, 4]];
