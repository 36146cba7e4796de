//! Instructions that only compute: arithmetic, moves, comparisons and conversions.

use super::{Decoded, Decoder};
use crate::arith::{self, Convert};
use crate::memory::{LOCAL_WINDOW, SHARED_WINDOW, WINDOW};
use crate::op::{Join, Op, Src};
use crate::parse::{Operand, Written, width_of};

impl Decoder<'_> {
    /// Whether the instruction is one of these.
    pub(super) fn data(&mut self, parts: &[&str], written: &Written) -> Decoded<bool> {
        let zero = self.code.constant(0);
        let kind = parts[parts.len() - 1];
        match (parts[0], written.operands.as_slice()) {
            ("mov", [Operand::List(targets), from]) => {
                let a = self.source(from, kind)?;
                let d = targets.iter().map(|target| self.target(target)).collect::<Decoded<Box<[_]>>>()?;
                let bits = self.part(kind, d.len())?;
                self.emit(Op::Unpack { d, a, bits });
            }
            ("mov", [to, Operand::List(sources)]) => {
                let d = self.target(to)?;
                let bits = self.part(kind, sources.len())?;
                let parts = sources.iter().map(|source| self.source(source, kind)).collect::<Decoded<_>>()?;
                self.emit(Op::Pack { d, parts, bits });
            }
            ("mov", [to, from]) if let Some(which) = self.special(from) => {
                let d = self.target(to)?;
                self.emit(Op::Special { d, which });
            }
            ("setp", _) => self.compare(parts, written)?,
            ("bfi", [to, a, b, position, length]) if matches!(kind, "b32" | "b64") => {
                let (d, a, b) = (self.target(to)?, self.source(a, kind)?, self.source(b, kind)?);
                let (position, length) = (self.source(position, "u32")?, self.source(length, "u32")?);
                self.emit(Op::Insert { d, a, b, position, length, wide: kind == "b64" });
            }
            ("lop3", [to, a, b, c, Operand::Int(table)]) if kind == "b32" => {
                let (d, a, b) = (self.target(to)?, self.source(a, kind)?, self.source(b, kind)?);
                let c = self.source(c, kind)?;
                self.emit(Op::Logic { d, a, b, c, table: *table as u8 });
            }
            ("cvt", [to, from]) => {
                let Some(rule) = Convert::new(&written.name) else { return Ok(false) };
                let (d, a) = (self.target(to)?, self.source(from, kind)?);
                self.emit(Op::Convert { rule, d, a });
            }
            ("cvta", [to, from]) => {
                let space = parts
                    .iter()
                    .find(|part| matches!(**part, "global" | "const" | "shared" | "local" | "shared::cta"));
                let window = match space {
                    Some(&"global" | &"const") => 0,
                    Some(&"shared" | &"shared::cta") => SHARED_WINDOW,
                    Some(&"local") => LOCAL_WINDOW,
                    _ => return Ok(false),
                };
                let b = self.code.constant(if parts[1] == "to" { window.wrapping_neg() } else { window });
                let (d, a) = (self.target(to)?, self.source(from, kind)?);
                self.emit(Op::Alu { f: |a, b, _| a.wrapping_add(b), d, a, b, c: zero });
            }
            ("isspacep", [to, from]) => {
                let (d, a) = (self.target(to)?, self.source(from, "u64")?);
                let f: arith::Alu = match kind {
                    "shared" | "shared::cta" => {
                        |a, _, _| u64::from((SHARED_WINDOW..SHARED_WINDOW + WINDOW).contains(&a))
                    }
                    "local" => |a, _, _| u64::from((LOCAL_WINDOW..LOCAL_WINDOW + WINDOW).contains(&a)),
                    "global" => |a, _, _| u64::from(a >> 32 != 0),
                    _ => return Ok(false),
                };
                self.emit(Op::Alu { f, d, a, b: zero, c: zero });
            }
            (_, [to, rest @ ..]) => {
                let Some((f, count)) = arith::operation(&written.name) else { return Ok(false) };
                if rest.len() != count {
                    return self.fail(format!("{} takes {count} sources, not {}", written.name, rest.len()));
                }
                let d = self.target(to)?;
                let mut sources = [zero; 3];
                for (place, operand) in sources.iter_mut().zip(rest) {
                    *place = self.source(operand, kind)?;
                }
                let [a, b, c] = sources;
                self.emit(Op::Alu { f, d, a, b, c });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Bits of each of some parts of a type.
    fn part(&self, kind: &str, count: usize) -> Decoded<u32> {
        match width_of(kind) {
            Some(width) if matches!(count, 2 | 4) && width * 8 >= count * 8 => Ok((width * 8 / count) as u32),
            _ => self.fail(format!("{kind} has no {count} parts")),
        }
    }

    fn compare(&mut self, parts: &[&str], written: &Written) -> Decoded<()> {
        let [to, a, b, more @ ..] = written.operands.as_slice() else {
            return self.fail("setp has too few operands");
        };
        let [_, order, middle @ .., kind] = parts else { return self.fail("setp has too few parts") };
        let mut join = Join::None;
        let mut flush = false;
        for word in middle {
            match *word {
                "and" => join = Join::And,
                "or" => join = Join::Or,
                "xor" => join = Join::Xor,
                "ftz" => flush = true,
                _ => return self.fail(format!("unknown instruction {}", written.name)),
            }
        }
        let form = if flush { format!("ftz.{kind}") } else { (*kind).to_owned() };
        let Some(test) = arith::comparison(order, &form) else {
            return self.fail(format!("unknown instruction {}", written.name));
        };
        let (p, q) = self.targets(to)?;
        let (a, b) = (self.source(a, kind)?, self.source(b, kind)?);
        let (c, negated) = match more {
            [] if join == Join::None => (Src(p), false),
            [third] if join != Join::None => self.predicate(third)?,
            _ => return self.fail("setp has the wrong number of operands"),
        };
        self.emit(Op::Compare { test, join, p, q: q.unwrap_or(self.sink), a, b, c, negated });
        Ok(())
    }
}
