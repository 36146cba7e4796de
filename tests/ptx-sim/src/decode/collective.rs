//! What the lanes of a warp do together.

use super::{Decoded, Decoder};
use crate::arith;
use crate::op::{Collective, Matrix, Op, Reg, Shuffle, Space, Src, Vote};
use crate::parse::{Operand, Written};

impl Decoder<'_> {
    /// Whether the instruction is one of these.
    pub(super) fn collective(&mut self, parts: &[&str], written: &Written) -> Decoded<bool> {
        let (what, mask) = match (parts, written.operands.as_slice()) {
            (["bar" | "barrier", "warp", "sync"], [mask]) => (Collective::Sync, Some(mask)),
            (["activemask", "b32"], [d]) => (Collective::ActiveMask { d: self.target(d)? }, None),
            (["shfl", "sync", mode, "b32"], [d, a, b, c, mask]) => {
                let mode = match *mode {
                    "up" => Shuffle::Up,
                    "down" => Shuffle::Down,
                    "bfly" => Shuffle::Butterfly,
                    "idx" => Shuffle::Index,
                    _ => return Ok(false),
                };
                let (d, valid) = self.targets(d)?;
                let (a, b, c) = (self.source(a, "b32")?, self.source(b, "b32")?, self.source(c, "b32")?);
                (Collective::Shuffle { mode, d, valid, a, b, c }, Some(mask))
            }
            (["vote", "sync", mode, "pred" | "b32"], [d, a, mask]) => {
                let vote = match *mode {
                    "all" => Vote::All,
                    "any" => Vote::Any,
                    "uni" => Vote::Uniform,
                    "ballot" => Vote::Ballot,
                    _ => return Ok(false),
                };
                let (a, negated) = self.predicate(a)?;
                (Collective::Vote { vote, d: self.target(d)?, a, negated }, Some(mask))
            }
            (["match", mode @ ("any" | "all"), "sync", kind @ ("b32" | "b64")], [d, a, mask]) => {
                let (d, valid) = self.targets(d)?;
                let bits = if *kind == "b32" { 32 } else { 64 };
                (
                    Collective::Match { all: *mode == "all", d, valid, a: self.source(a, kind)?, bits },
                    Some(mask),
                )
            }
            (["redux", "sync", name, kind], [d, a, mask]) => {
                let Some(f) = arith::atomic(name, kind).filter(|_| kind.ends_with("32") && *kind != "f32")
                else {
                    return Ok(false);
                };
                (Collective::Reduce { f, d: self.target(d)?, a: self.source(a, kind)? }, Some(mask))
            }
            (["ldmatrix", "sync", "aligned", "m8n8", rest @ ..], [Operand::List(d), from]) => {
                let (count, transposed) = match rest {
                    [count, "trans", "shared" | "shared::cta", "b16"] => (count, true),
                    [count, "shared" | "shared::cta", "b16"] => (count, false),
                    _ => return Ok(false),
                };
                let count = match *count {
                    "x1" => 1,
                    "x2" => 2,
                    "x4" => 4,
                    _ => return Ok(false),
                };
                let d = self.fragment(d, count)?;
                (
                    Collective::LoadMatrix { d, count, transposed, from: self.place(from, Space::Shared)? },
                    None,
                )
            }
            (["mma", "sync", "aligned", shape, "row", "col", kinds @ ..], [d, a, b, c]) => {
                let (kind, k) = match (*shape, kinds) {
                    ("m16n8k4", ["f32", "tf32", "tf32", "f32"]) => (Matrix::Tf32, 4),
                    ("m16n8k8", ["f32", "tf32", "tf32", "f32"]) => (Matrix::Tf32, 8),
                    ("m16n8k8", ["f32", "bf16", "bf16", "f32"]) => (Matrix::Bf16, 8),
                    ("m16n8k16", ["f32", "bf16", "bf16", "f32"]) => (Matrix::Bf16, 16),
                    ("m16n8k8", ["f32", "f16", "f16", "f32"]) => (Matrix::F16, 8),
                    ("m16n8k16", ["f32", "f16", "f16", "f32"]) => (Matrix::F16, 16),
                    _ => return Ok(false),
                };
                // Registers of a lane: elements over lanes, a tf32 or two short ones in each.
                let packed = if kind == Matrix::Tf32 { 1 } else { 2 };
                let (Operand::List(d), Operand::List(a), Operand::List(b), Operand::List(c)) = (d, a, b, c)
                else {
                    return self.fail("mma takes lists of registers");
                };
                let d = self.fragment(d, 4)?;
                let a = self.sources(a, 16 * k / 32 / packed)?;
                let b = self.sources(b, 8 * k / 32 / packed)?;
                let c = self.sources(c, 4)?;
                let c = [c[0], c[1], c[2], c[3]];
                (Collective::Multiply { kind, k, d, a, b, c }, None)
            }
            _ => return Ok(false),
        };
        let mask = match mask {
            Some(mask) => Some(self.source(mask, "b32")?),
            None => None,
        };
        self.emit(Op::Warp { what, mask });
        Ok(true)
    }

    fn fragment(&self, list: &[Operand], count: usize) -> Decoded<[Reg; 4]> {
        if list.len() != count {
            return self.fail(format!("{count} registers are expected, not {}", list.len()));
        }
        let mut registers = [self.sink; 4];
        for (place, operand) in registers.iter_mut().zip(list) {
            *place = self.target(operand)?;
        }
        Ok(registers)
    }

    fn sources(&mut self, list: &[Operand], count: usize) -> Decoded<Box<[Src]>> {
        if list.len() != count {
            return self.fail(format!("{count} registers are expected, not {}", list.len()));
        }
        list.iter().map(|operand| self.source(operand, "f32")).collect()
    }
}
