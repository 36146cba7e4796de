//! Products of networks in bf16: operands rounded on their way into a product, sums in f32.
//!
//! A processor with tile units (AMX) multiplies 16 x 32 by 32 x 16 such numbers in one instruction, by what it states in a
//! sixteenth of the time that its f32 vectors need for as many. What that instruction computes is written down to the last
//! bit, so [`plain`] has it a second time by vectors: every machine gives the same bytes, those without the units later.
//!
//! With products this cheap the transforms of [`winograd`](super::winograd) would cost more than they save: a convolution
//! is nine shifted products over images that lie one behind the other ([`planes`]), of which no window is ever unfolded.

mod amx;
mod conv;
mod dots;
mod linear;
mod pack;
mod plain;
mod planes;
mod rows;
mod tiles;

pub(super) use rows::{HalfProducts, HalfRows};
pub(super) use tiles::Tiles;

#[cfg(test)]
mod tests {
    use super::pack::round;
    use super::tiles::wide;
    use crate::kernel::fast::{Fast, InstructionSet};
    use crate::kernel::scalar::Reference;
    use crate::kernel::{Backend, ConvShape, LinearShape};

    /// Numbers that bf16 holds.
    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| wide(round((((i + seed) * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0))).collect()
    }

    fn close(got: &[f32], wanted: &[f32], what: &str) {
        let largest = wanted.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        for (at, (got, wanted)) in got.iter().zip(wanted).enumerate() {
            assert!((got - wanted).abs() <= 1e-5 * largest, "{what}, {at}: {got} for {wanted}");
        }
    }

    /// `[y, dw, dx]` and the picks.
    fn conv<B: Backend<f32, Buffer = Vec<f32>, Indices = Vec<u32>>>(
        backend: &B,
        shape: ConvShape,
    ) -> ([Vec<f32>; 3], Vec<u32>) {
        let ConvShape { batch, height, width, inputs, outputs, pool } = shape;
        let size = outputs * batch * if pool { (height / 2) * (width / 2) } else { height * width };
        let (x, w) = (numbers(batch * height * width * inputs, 1), numbers(9 * inputs * outputs, 2));
        let (mut y, mut picks) = (vec![7.0; size], vec![9; if pool { size } else { 0 }]);
        backend.conv(shape, &x, &w, &mut y, &mut picks).unwrap();
        // Picks of the reference, so that none is decided by rounding.
        let (mut kept, mut kept_picks) = (y.clone(), picks.clone());
        Reference.conv(shape, &x, &w, &mut kept, &mut kept_picks).unwrap();
        let dy = numbers(size, 3);
        let (mut dw, mut dx) = (vec![7.0; w.len()], vec![7.0; x.len()]);
        backend.conv_backward(shape, &x, &w, &dy, &kept_picks, &mut dw, Some(&mut dx)).unwrap();
        let mut alone = vec![7.0; w.len()];
        backend.conv_backward(shape, &x, &w, &dy, &kept_picks, &mut alone, None).unwrap();
        assert!(
            alone == dw,
            "the gradient of the weights depends on whether that of the inputs is asked for"
        );
        ([y, dw, dx], picks)
    }

    #[test]
    fn convolutions_of_bf16_numbers_are_those_of_the_reference() {
        let shapes =
            [(1, 1, 1, 5, 3), (3, 7, 5, 33, 40), (37, 4, 6, 8, 64), (2, 28, 28, 32, 32), (70, 7, 7, 64, 5)];
        for ((batch, height, width, inputs, outputs), pool) in
            shapes.into_iter().flat_map(|s| [(s, false), (s, true)])
        {
            let shape = ConvShape { batch, height, width, inputs, outputs, pool };
            let (wanted, _) = conv(&Reference, shape);
            let first = conv(&Fast::new(1).unwrap().with_bf16(), shape);
            for (got, wanted) in first.0.iter().zip(&wanted) {
                close(got, wanted, &format!("{shape:?}"));
            }
            for (set, threads) in InstructionSet::available().into_iter().zip([2, 1, 3, 1]) {
                let fast = Fast::with_instruction_set(threads, set).unwrap().with_bf16();
                assert!(conv(&fast, shape) == first, "{set}: {shape:?}");
            }
        }
    }

    /// `[y, dw, db, dx]`.
    fn linear<B: Backend<f32, Buffer = Vec<f32>>>(backend: &B, shape: LinearShape) -> [Vec<f32>; 4] {
        let LinearShape { rows, inputs, outputs, .. } = shape;
        let (x, w, b) = (numbers(rows * inputs, 1), numbers(inputs * outputs, 2), numbers(outputs, 3));
        let (mut y, mut dy) = (vec![7.0; rows * outputs], numbers(rows * outputs, 4));
        let (mut dw, mut db) = (vec![7.0; inputs * outputs], vec![7.0; outputs]);
        let mut dx = vec![7.0; rows * inputs];
        backend.linear(shape, &x, &w, &b, &mut y).unwrap();
        let mut kept = y.clone();
        Reference.linear(shape, &x, &w, &b, &mut kept).unwrap();
        backend.linear_backward(shape, &x, &w, &kept, &mut dy, &mut dw, &mut db, Some(&mut dx)).unwrap();
        [y, dw, db, dx]
    }

    #[test]
    fn linear_layers_of_bf16_numbers_are_those_of_the_reference() {
        for (rows, inputs, outputs) in
            [(0, 5, 3), (1, 1, 1), (7, 5, 19), (129, 257, 65), (260, 48, 33), (64, 520, 96)]
        {
            let shape = LinearShape { rows, inputs, outputs, relu: rows % 2 == 1 };
            let wanted = linear(&Reference, shape);
            let first = linear(&Fast::new(1).unwrap().with_bf16(), shape);
            for (got, wanted) in first.iter().zip(&wanted) {
                close(got, wanted, &format!("{shape:?}"));
            }
            for (set, threads) in InstructionSet::available().into_iter().zip([2, 1, 3, 1]) {
                let fast = Fast::with_instruction_set(threads, set).unwrap().with_bf16();
                assert!(linear(&fast, shape) == first, "{set}: {shape:?}");
            }
        }
    }
}
