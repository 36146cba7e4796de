//! What the products of linear layers and convolutions keep of their operands.

use core::fmt;

/// In what the products of a network are multiplied: those of linear layers and convolutions, forward and back.
///
/// All else is the same by each: sums, biases, activations, gradients, weights and their moments are f32, and so is all
/// that works with distances.
///
/// ```
/// use nearfar_cuda::Precision;
/// let names = [Precision::default(), Precision::Tf32, Precision::Bf16].map(|precision| precision.to_string());
/// assert_eq!(names, ["single", "tf32", "bf16"]);
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
    /// Tensor cores: both operands of each product are rounded to 7 bits behind the point, to nearest and ties to even.
    ///
    /// ```text
    /// |bf16(v) - v| <= 2^-8 |v|           for v that is not subnormal
    /// |y - x w|     <= (2^-7 + 2^-16) sum of |x| |w|, and the rounding of sums in f32
    /// ```
    /// The exponents are those of f32. Numbers within 2^-9 of f32's largest become infinite. As with `Tf32`, two runs
    /// give the same bytes on one kind of chip. Eight times the error of `Tf32`, for twice its operations in the same
    /// time by the rates that the chips state.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}
