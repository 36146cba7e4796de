//! Loads, stores, atomics and asynchronous copies.

use super::{Decoded, Decoder, Symbol};
use crate::arith;
use crate::op::{Op, Place, Reg, Space, Src};
use crate::parse::{Operand, Written, width_of};

/// The modifiers of a memory instruction.
struct Modifiers<'p> {
    space: Space,
    strong: bool,
    count: usize,
    /// What is not known here: the operation of an atomic, for instance.
    rest: Vec<&'p str>,
    kind: &'p str,
}

fn modifiers<'p>(parts: &[&'p str]) -> Option<Modifiers<'p>> {
    let [_, middle @ .., kind] = parts else { return None };
    let mut found = Modifiers { space: Space::Generic, strong: false, count: 1, rest: Vec::new(), kind };
    for word in middle {
        match *word {
            "global" | "const" => found.space = Space::Global,
            "shared" | "shared::cta" => found.space = Space::Shared,
            "local" => found.space = Space::Local,
            "param" => found.space = Space::Param,
            "volatile" | "relaxed" | "acquire" | "release" | "acq_rel" => found.strong = true,
            "v2" => found.count = 2,
            "v4" => found.count = 4,
            // Scopes and hints for caches change no value.
            "weak" | "cta" | "gpu" | "sys" | "nc" | "ca" | "cg" | "cs" | "lu" | "cv" | "wb" | "wt" => {}
            _ if word.starts_with("L1::") || word.starts_with("L2::") => {}
            other => found.rest.push(other),
        }
    }
    Some(found)
}

impl Decoder<'_> {
    /// Whether the instruction is one of these.
    pub(super) fn memory(&mut self, parts: &[&str], written: &Written) -> Decoded<bool> {
        match parts[0] {
            "ld" | "ldu" | "st" => self.transfer(parts, written),
            "atom" | "red" => self.atomic(parts, written),
            "cp" if parts.get(1) == Some(&"async") => self.copy(parts, written),
            _ => Ok(false),
        }
    }

    /// `[base + offset]` in a space.
    pub(super) fn place(&mut self, operand: &Operand, space: Space) -> Decoded<Place> {
        let Operand::Address(base, offset) = operand else {
            return self.fail(format!("an address is expected, not {operand:?}"));
        };
        let mut space = space;
        if let Operand::Name(name) = &**base {
            match self.scopes.find(name) {
                // The parameters of calls lie with a thread's own bytes.
                Some(Symbol::Place(Space::Local, _)) if space == Space::Param => space = Space::Local,
                Some(Symbol::Place(found, _)) if space == Space::Generic => space = found,
                Some(Symbol::Place(found, _)) if space != found => {
                    return self.fail(format!("{name} lies in another space"));
                }
                Some(Symbol::Register(_)) if space == Space::Param && !self.entry => space = Space::Local,
                _ => {}
            }
        }
        Ok(Place { space, base: self.source(base, "u64")?, offset: *offset })
    }

    fn transfer(&mut self, parts: &[&str], written: &Written) -> Decoded<bool> {
        let Some(found) = modifiers(parts).filter(|found| found.rest.is_empty()) else { return Ok(false) };
        let Some(width) = width_of(found.kind).filter(|_| found.kind != "pred") else { return Ok(false) };
        let [first, second] = self.operands::<2>(written)?;
        let (count, width, strong) = (found.count as u8, width as u8, found.strong);
        if usize::from(count) * usize::from(width) > 16 {
            return self.fail("a vector has more than 16 bytes");
        }
        if parts[0] == "st" {
            let to = self.place(first, found.space)?;
            if to.space == Space::Param {
                return self.fail("a kernel may not write its parameters");
            }
            let values = self.vector(second, found.count)?;
            let mut a = [Src(self.sink); 4];
            for (place, value) in a.iter_mut().zip(values) {
                *place = self.source(value, found.kind)?;
            }
            self.emit(Op::Store { a, count, width, strong, to });
        } else {
            let from = self.place(second, found.space)?;
            let mut d = [self.sink; 4];
            for (place, value) in d.iter_mut().zip(self.vector(first, found.count)?) {
                *place = self.target(value)?;
            }
            let signed = found.kind.starts_with('s');
            self.emit(Op::Load { d, count, width, signed, strong, from });
        }
        Ok(true)
    }

    /// The elements of a vector operand.
    fn vector<'w>(&self, operand: &'w Operand, count: usize) -> Decoded<&'w [Operand]> {
        match operand {
            Operand::List(list) if list.len() == count => Ok(list),
            single if count == 1 && !matches!(single, Operand::List(_)) => Ok(core::slice::from_ref(single)),
            _ => self.fail(format!("{count} elements are expected")),
        }
    }

    fn atomic(&mut self, parts: &[&str], written: &Written) -> Decoded<bool> {
        let Some(found) = modifiers(parts) else { return Ok(false) };
        let [name] = found.rest.as_slice() else { return Ok(false) };
        // Devices flush subnormal numbers of sums in global memory, and keep them in shared memory.
        let f = match (*name, found.kind, found.space) {
            ("add", "f32", Space::Global) => arith::operation("add.rn.ftz.f32").map(|(f, _)| f),
            _ => arith::atomic(name, found.kind),
        };
        let (Some(f), Some(width)) = (f, width_of(found.kind)) else { return Ok(false) };
        let (d, rest): (Option<Reg>, _) = match (parts[0], written.operands.as_slice()) {
            ("red", rest) => (None, rest),
            (_, [to, rest @ ..]) => (Some(self.target(to)?), rest),
            _ => return Ok(false),
        };
        let zero = self.code.constant(0);
        let (at, b, c) = match (rest, *name) {
            ([at, b, c], "cas") => (at, self.source(b, found.kind)?, self.source(c, found.kind)?),
            ([at, b], other) if other != "cas" => (at, self.source(b, found.kind)?, zero),
            _ => return self.fail(format!("{} has the wrong number of operands", written.name)),
        };
        let at = self.place(at, found.space)?;
        let sums = !matches!(*name, "exch" | "cas" | "inc" | "dec") && !found.kind.starts_with('f');
        self.emit(Op::Atomic { f, d, width: width as u8, at, b, c, sums });
        Ok(true)
    }

    fn copy(&mut self, parts: &[&str], written: &Written) -> Decoded<bool> {
        let zero = self.code.constant(0);
        match (&parts[2..], written.operands.as_slice()) {
            (["commit_group"], []) => self.emit(Op::CopyCommit),
            (["wait_all"], []) => self.emit(Op::CopyWait { left: zero, all: true }),
            (["wait_group"], [left]) => {
                let left = self.source(left, "u32")?;
                self.emit(Op::CopyWait { left, all: false });
            }
            (
                ["ca" | "cg", "shared" | "shared::cta", "global", hints @ ..],
                [to, from, Operand::Int(bytes), more @ ..],
            ) if hints.iter().all(|hint| hint.starts_with("L2::")) => {
                let all = if parts[2] == "cg" { *bytes == 16 } else { matches!(bytes, 4 | 8 | 16) };
                if !all || more.len() > 1 {
                    return self.fail(format!("cp.async.{} of {bytes} bytes", parts[2]));
                }
                let (to, from) = (self.place(to, Space::Shared)?, self.place(from, Space::Global)?);
                let present = match more {
                    [size] => Some(self.source(size, "u32")?),
                    _ => None,
                };
                self.emit(Op::CopyAsync { to, from, bytes: *bytes as u8, present });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
