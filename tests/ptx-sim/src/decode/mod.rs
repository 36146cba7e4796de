//! Statements to decoded instructions: names become places, and every modifier is looked at once.

mod collective;
mod control;
mod data;
mod memory;
mod scope;

pub(crate) use self::scope::{Layout, Scopes, Symbol};

use std::collections::HashMap;

use crate::fault::LoadError;
use crate::op::{CONSTANT, Inst, Op, Reg, Space, Special, Src, UNGUARDED};
use crate::parse::{Function, Item, Operand, Variable, Written};

/// The code of a module while it grows.
#[derive(Default)]
pub(crate) struct Code {
    pub(crate) instructions: Vec<Inst>,
    pub(crate) constants: Vec<u64>,
    known: HashMap<u64, u32>,
}

impl Code {
    /// The constant of a value.
    pub(crate) fn constant(&mut self, value: u64) -> Src {
        let constants = &mut self.constants;
        let at = *self.known.entry(value).or_insert_with(|| {
            constants.push(value);
            constants.len() as u32 - 1
        });
        Src(CONSTANT + at)
    }

    /// A constant whose value comes later.
    fn open_constant(&mut self) -> Src {
        self.constants.push(0);
        Src(CONSTANT + self.constants.len() as u32 - 1)
    }
}

/// A function as its callers see it.
#[derive(Clone)]
pub(crate) struct Callee {
    pub(crate) number: u32,
    /// Places and sizes of parameters and results among a thread's own bytes.
    pub(crate) parameters: Vec<(u32, u32)>,
    pub(crate) results: Vec<(u32, u32)>,
}

/// Decodes one function.
pub(crate) struct Decoder<'a> {
    code: &'a mut Code,
    scopes: Scopes<'a>,
    callees: &'a HashMap<String, Callee>,
    /// Functions that this one calls.
    pub(crate) calls: Vec<u32>,
    labels: HashMap<(usize, String), u32>,
    /// Branches whose target is not known yet: instruction, place in its table, scope, name.
    open: Vec<(usize, usize, usize, String)>,
    tables: HashMap<String, Vec<String>>,
    entry: bool,
    /// The base of dynamic shared memory: it begins where the variables end, which is known last.
    dynamic: Option<Src>,
    line: u32,
    sink: Reg,
}

type Decoded<T> = Result<T, LoadError>;

impl<'a> Decoder<'a> {
    pub(crate) fn new(code: &'a mut Code, scopes: Scopes<'a>, callees: &'a HashMap<String, Callee>) -> Self {
        let mut decoder = Self {
            code,
            scopes,
            callees,
            calls: Vec::new(),
            labels: HashMap::new(),
            open: Vec::new(),
            tables: HashMap::new(),
            entry: false,
            dynamic: None,
            line: 0,
            sink: 0,
        };
        decoder.sink = decoder.scopes.layout.register();
        decoder
    }

    /// Decodes a body; the layout then says what the function needs.
    pub(crate) fn run(mut self, function: &Function, own: &Callee) -> Decoded<(Layout, Vec<u32>)> {
        self.entry = function.entry;
        let mut offset = 0;
        for (at, variable) in function.parameters.iter().chain(&function.results).enumerate() {
            let place = if function.entry {
                offset = usize::next_multiple_of(offset, variable.align);
                let place = Symbol::Place(Space::Param, offset as u64);
                offset += variable.size;
                place
            } else {
                let place = own.parameters.iter().chain(&own.results).nth(at).map_or(0, |place| place.0);
                Symbol::Place(Space::Local, u64::from(place))
            };
            self.scopes.define(&variable.name, place);
        }
        for item in function.body.iter().flatten() {
            self.item(item)?;
        }
        self.line = function.line;
        // A body may end without a return.
        self.emit(Op::Return);
        for (at, place, scope, name) in core::mem::take(&mut self.open) {
            let line = self.code.instructions[at].line;
            let Some(to) =
                self.scopes.outwards(scope).find_map(|scope| self.labels.get(&(scope, name.clone())))
            else {
                return LoadError::new(line, format!("unknown label {name}"));
            };
            match &mut self.code.instructions[at].op {
                Op::BranchIndex { targets, .. } => targets[place] = *to,
                op => *op = Op::Branch { to: *to },
            }
        }
        if let Some(Src(base)) = self.dynamic {
            let layout = &mut self.scopes.layout;
            layout.shared = layout.shared.next_multiple_of(16);
            self.code.constants[(base - CONSTANT) as usize] = layout.shared as u64;
        }
        Ok((self.scopes.layout, self.calls))
    }

    fn item(&mut self, item: &Item) -> Decoded<()> {
        match item {
            Item::Open => self.scopes.open(),
            Item::Close => self.scopes.close(),
            Item::Label(name, line) => {
                let at = self.code.instructions.len() as u32;
                if self.labels.insert((self.scopes.current(), name.clone()), at).is_some() {
                    return LoadError::new(*line, format!("label {name} stands twice"));
                }
            }
            Item::Registers { name, count } => match count {
                None => self.scopes.define_register(name),
                Some(count) => (0..*count).for_each(|at| self.scopes.define_register(&format!("{name}{at}"))),
            },
            Item::Variable(variable) => self.variable(variable)?,
            Item::Targets(name, targets) => _ = self.tables.insert(name.clone(), targets.clone()),
            Item::Instruction(written) => self.instruction(written)?,
        }
        Ok(())
    }

    fn variable(&mut self, variable: &Variable) -> Decoded<()> {
        let layout = &mut self.scopes.layout;
        let (space, place) = match variable.space.as_str() {
            "shared" => (Space::Shared, layout.shared_variable(variable)),
            "local" | "param" => (Space::Local, layout.local_variable(variable)),
            other => return LoadError::new(variable.line, format!("a .{other} variable inside a function")),
        };
        self.scopes.define(&variable.name, Symbol::Place(space, place));
        Ok(())
    }

    fn instruction(&mut self, written: &Written) -> Decoded<()> {
        self.line = written.line;
        let first = self.code.instructions.len();
        let parts: Vec<&str> = written.name.split('.').collect();
        let known = self.data(&parts, written)?
            || self.memory(&parts, written)?
            || self.control(&parts, written)?
            || self.collective(&parts, written)?;
        if !known {
            return LoadError::new(written.line, format!("unknown instruction {}", written.name));
        }
        if let Some((name, negated)) = &written.guard {
            let guard = self.register(name)?;
            // What was put before to read special registers may run in any case.
            for inst in &mut self.code.instructions[first..] {
                if !matches!(inst.op, Op::Special { d, .. } if self.scopes.hidden(d)) {
                    (inst.guard, inst.when) = (guard, !negated);
                }
            }
        }
        Ok(())
    }

    fn emit(&mut self, op: Op) {
        self.code.instructions.push(Inst { op, guard: UNGUARDED, when: true, line: self.line });
    }

    fn fail<T>(&self, message: impl Into<String>) -> Decoded<T> {
        LoadError::new(self.line, message)
    }

    /// Refuses an instruction with another number of operands.
    fn operands<'w, const N: usize>(&self, written: &'w Written) -> Decoded<&'w [Operand; N]> {
        match <&[Operand; N]>::try_from(written.operands.as_slice()) {
            Ok(operands) => Ok(operands),
            Err(_) => self.fail(format!("{} has {} operands, not {N}", written.name, written.operands.len())),
        }
    }

    fn register(&self, name: &str) -> Decoded<Reg> {
        match self.scopes.find(name) {
            Some(Symbol::Register(register)) => Ok(register),
            _ if name == "_" => Ok(self.sink),
            _ => self.fail(format!("{name} is not a register")),
        }
    }

    /// An operand that is written to.
    fn target(&self, operand: &Operand) -> Decoded<Reg> {
        match operand {
            Operand::Name(name) => self.register(name),
            other => self.fail(format!("a register is expected, not {other:?}")),
        }
    }

    /// One or two results.
    fn targets(&self, operand: &Operand) -> Decoded<(Reg, Option<Reg>)> {
        match operand {
            Operand::Pair(first, second) => Ok((self.register(first)?, Some(self.register(second)?))),
            single => Ok((self.target(single)?, None)),
        }
    }

    /// An operand that is read, as `kind` reads it.
    fn source(&mut self, operand: &Operand, kind: &str) -> Decoded<Src> {
        let value = match operand {
            Operand::Int(bits) => *bits,
            Operand::F32(bits) => u64::from(*bits),
            // A decimal number takes the type of its instruction.
            Operand::F64(bits) if kind == "f32" => u64::from((f64::from_bits(*bits) as f32).to_bits()),
            Operand::F64(bits) => *bits,
            Operand::Name(name) => match self.scopes.find(name) {
                Some(Symbol::Register(register)) => return Ok(Src(register)),
                Some(Symbol::Place(_, address)) => address,
                Some(Symbol::Dynamic) => return self.dynamic(name),
                None => {
                    if name == "WARP_SZ" {
                        return Ok(self.code.constant(32));
                    }
                    let Some(which) = scope::special(name) else {
                        return self.fail(format!("unknown name {name}"));
                    };
                    let d = self.scopes.hidden_register();
                    self.emit(Op::Special { d, which });
                    return Ok(Src(d));
                }
            },
            other => return self.fail(format!("a value is expected, not {other:?}")),
        };
        Ok(self.code.constant(value))
    }

    /// A predicate that is read, and whether it is turned round.
    fn predicate(&mut self, operand: &Operand) -> Decoded<(Src, bool)> {
        match operand {
            Operand::Not(name) => Ok((Src(self.register(name)?), true)),
            other => Ok((self.source(other, "pred")?, false)),
        }
    }

    fn dynamic(&mut self, name: &str) -> Decoded<Src> {
        if !self.entry {
            return self.fail(format!("{name}: dynamic shared memory inside a function is not modelled"));
        }
        let base = match self.dynamic {
            Some(base) => base,
            None => self.code.open_constant(),
        };
        self.dynamic = Some(base);
        Ok(base)
    }

    fn special(&self, operand: &Operand) -> Option<Special> {
        match operand {
            Operand::Name(name) if self.scopes.find(name).is_none() => scope::special(name),
            _ => None,
        }
    }
}
