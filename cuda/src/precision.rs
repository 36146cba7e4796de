//! What the products of linear layers and convolutions keep of their operands.

use core::fmt;

/// In what the products of a network are multiplied: those of linear layers and convolutions, forward and back.
///
/// All else is the same by either: sums, biases, activations, gradients, weights and their moments are f32, and so is all
/// that works with distances.
///
/// ```
/// use nearfar_cuda::Precision;
/// assert_eq!((Precision::default(), Precision::Tf32.to_string().as_str()), (Precision::Single, "tf32"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Operands as they are, f32. Two runs give the same bytes, on every chip.
    #[default]
    Single,
    /// Tensor cores: both operands of each product are rounded to 10 bits behind the point where f32 has 23, to nearest and
    /// ties away from zero.
    ///
    /// ```text
    /// |tf32(v) - v| <= 2^-11 |v|          for v that is not subnormal
    /// |y - x w|     <= (2^-10 + 2^-22) sum of |x| |w|, and the rounding of sums in f32
    /// ```
    /// Numbers within 2^-12 of f32's largest become infinite. Two runs give the same bytes on one kind of chip; how a
    /// tensor core rounds the sum of eight products is its own affair, so another kind may differ in the last bits.
    Tf32,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Tf32 => "tf32",
        })
    }
}
