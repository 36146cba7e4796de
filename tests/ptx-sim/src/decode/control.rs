//! Branches, calls, barriers and fences.

use super::{Decoded, Decoder};
use crate::op::{Barrier, Op};
use crate::parse::{Operand, Written};

impl Decoder<'_> {
    /// Whether the instruction is one of these.
    pub(super) fn control(&mut self, parts: &[&str], written: &Written) -> Decoded<bool> {
        match (parts[0], &parts[1..], written.operands.as_slice()) {
            ("bra", [] | ["uni"], [Operand::Name(label)]) => self.branch(label),
            ("brx", ["idx"] | ["idx", "uni"], [index, Operand::Name(table)]) => {
                let a = self.source(index, "u32")?;
                let Some(names) = self.tables.get(table).cloned() else {
                    return self.fail(format!("unknown table of targets {table}"));
                };
                let at = self.code.instructions.len();
                let scope = self.scopes.current();
                self.open
                    .extend(names.iter().enumerate().map(|(place, name)| (at, place, scope, name.clone())));
                self.emit(Op::BranchIndex { targets: vec![0; names.len()].into(), a });
            }
            ("call", [] | ["uni"], operands) => self.call(operands)?,
            ("ret", [] | ["uni"], []) => self.emit(Op::Return),
            ("exit", [], []) => self.emit(Op::Exit),
            ("trap", [], []) => self.emit(Op::Trap("trap")),
            ("brkpt", [], []) => self.emit(Op::Trap("breakpoint")),
            // Accesses have one order here, so fences order nothing; races are judged by barriers alone.
            ("membar" | "fence", [_, ..], [])
            | ("nanosleep", _, [_])
            | ("prefetch" | "prefetchu", _, [_]) => {
                self.emit(Op::Nothing);
            }
            ("bar" | "barrier", ["warp", "sync"], _) => return Ok(false),
            ("bar" | "barrier", rest, operands) => return self.barrier(parts[0], rest, operands),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn branch(&mut self, label: &str) {
        self.open.push((self.code.instructions.len(), 0, self.scopes.current(), label.to_owned()));
        self.emit(Op::Branch { to: 0 });
    }

    /// `call (result), name, (arguments)`; results and arguments are variables of the `.param` space.
    fn call(&mut self, operands: &[Operand]) -> Decoded<()> {
        let (results, name, arguments): (&[Operand], _, &[Operand]) = match operands {
            [Operand::List(results), Operand::Name(name), Operand::List(arguments)] => {
                (results, name, arguments)
            }
            [Operand::List(results), Operand::Name(name)] => (results, name, &[]),
            [Operand::Name(name), Operand::List(arguments)] => (&[], name, arguments),
            [Operand::Name(name)] => (&[], name, &[]),
            _ => return self.fail("this form of call is not modelled"),
        };
        if name == "__assertfail" {
            self.emit(Op::Trap("a device-side assertion failed"));
            return Ok(());
        }
        let Some(callee) = self.callees.get(name).cloned() else {
            return self.fail(format!("call of {name}, which has no body"));
        };
        if arguments.len() != callee.parameters.len() || results.len() != callee.results.len() {
            return self.fail(format!("call of {name} with the wrong number of arguments"));
        }
        let place = |operand: &Operand| match operand {
            Operand::Name(name) => match self.scopes.find(name) {
                Some(super::Symbol::Place(crate::op::Space::Local, at)) => Ok(at as u32),
                _ => self.fail(format!("{name} is not a parameter of a call")),
            },
            other => self.fail(format!("a parameter is expected, not {other:?}")),
        };
        let moves = |list: &[Operand], own: &[(u32, u32)], inwards: bool| {
            list.iter()
                .zip(own)
                .map(|(operand, &(at, size))| {
                    let caller = place(operand)?;
                    Ok(if inwards { (caller, at, size) } else { (at, caller, size) })
                })
                .collect::<Decoded<Box<[_]>>>()
        };
        let arguments = moves(arguments, &callee.parameters, true)?;
        let results = moves(results, &callee.results, false)?;
        self.calls.push(callee.number);
        self.emit(Op::Call { function: callee.number, arguments, results });
        Ok(())
    }

    /// `bar.sync a, b`, `bar.arrive a, b`, `bar.red.op d, a, b, p` and the forms that begin with `barrier`.
    fn barrier(&mut self, family: &str, rest: &[&str], operands: &[Operand]) -> Decoded<bool> {
        let words: Vec<&str> =
            rest.iter().copied().filter(|word| !matches!(*word, "cta" | "aligned")).collect();
        let aligned = family == "bar" || rest.contains(&"aligned");
        let zero = self.code.constant(0);
        let (kind, d, operands, a, negated) = match (words.as_slice(), operands) {
            (["sync"], all) => (Barrier::Sync, self.sink, all, zero, false),
            (["arrive"], all @ [_, _]) => (Barrier::Arrive, self.sink, all, zero, false),
            (["red", operation, _], [d, middle @ .., p]) => {
                let kind = match *operation {
                    "popc" => Barrier::Count,
                    "and" => Barrier::And,
                    "or" => Barrier::Or,
                    _ => return Ok(false),
                };
                let (a, negated) = self.predicate(p)?;
                (kind, self.target(d)?, middle, a, negated)
            }
            _ => return Ok(false),
        };
        let (id, count) = match operands {
            [id] => (self.source(id, "u32")?, None),
            [id, count] => (self.source(id, "u32")?, Some(self.source(count, "u32")?)),
            _ => return self.fail("a barrier has one or two operands"),
        };
        self.emit(Op::Barrier { kind, id, count, d, a, negated, aligned });
        Ok(true)
    }
}
