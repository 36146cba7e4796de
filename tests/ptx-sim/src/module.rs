//! A loaded module: text to code, with its variables in device memory.

use std::collections::HashMap;

use crate::decode::{Callee, Code, Decoder, Layout, Scopes, Symbol};
use crate::fault::LoadError;
use crate::memory::{Global, Grain};
use crate::op::{Inst, Op, Space};
use crate::parse::{self, Function, Parts};

/// A kernel and what it needs.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its name.
    pub name: String,
    pub(crate) start: u32,
    /// Registers of a thread, all 64 bits wide here.
    pub registers: u32,
    /// Bytes of a thread's own memory.
    pub local: usize,
    /// Bytes of shared memory that its variables take.
    pub shared: usize,
    /// Place and size of every parameter.
    pub parameters: Vec<(usize, usize)>,
    /// Threads of a block, if the kernel limits them; `true` when exactly these are required.
    pub threads: Option<([u32; 3], bool)>,
    /// Blocks depend on each other's order, so one core runs them all.
    pub(crate) serial: bool,
    pub(crate) grain_global: Grain,
    pub(crate) grain_shared: Grain,
}

/// A module.
pub struct Module {
    pub(crate) code: Vec<Inst>,
    pub(crate) constants: Vec<u64>,
    pub(crate) functions: Vec<u32>,
    kernels: Vec<Kernel>,
    variables: HashMap<String, (u64, usize)>,
    lines: Vec<String>,
}

impl Module {
    /// Reads a text and puts its variables into device memory.
    pub(crate) fn load(text: &str, global: &mut Global) -> Result<Self, LoadError> {
        let parts = parse::parse(text)?;
        let mut module = Self {
            code: Vec::new(),
            constants: Vec::new(),
            functions: Vec::new(),
            kernels: Vec::new(),
            variables: HashMap::new(),
            lines: text.lines().map(|line| line.trim().to_owned()).collect(),
        };
        let loaded = module.decode(&parts, global);
        if loaded.is_err() {
            module.unload(global);
        }
        loaded.map(|()| module)
    }

    /// Gives the module's variables back.
    pub(crate) fn unload(&self, global: &mut Global) {
        for (address, _) in self.variables.values() {
            global.free(*address);
        }
    }

    /// A kernel by name.
    #[must_use]
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }

    /// The names of all kernels.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        self.kernels.iter().map(|kernel| kernel.name.as_str())
    }

    /// Address and size of a `.global` or `.const` variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<(u64, usize)> {
        self.variables.get(name).copied()
    }

    pub(crate) fn line(&self, line: u32) -> &str {
        self.lines.get(line as usize - 1).map_or("", String::as_str)
    }

    pub(crate) fn line_count(&self) -> usize {
        self.lines.len()
    }

    fn decode(&mut self, parts: &Parts, global: &mut Global) -> Result<(), LoadError> {
        let (mut names, mut layout) = (HashMap::new(), Layout::default());
        for variable in &parts.variables {
            let symbol = match (variable.space.as_str(), variable.external) {
                ("shared", true) => Symbol::Dynamic,
                ("shared", false) => Symbol::Place(Space::Shared, layout.shared_variable(variable)),
                (_, true) => {
                    return LoadError::new(variable.line, format!("{} is defined elsewhere", variable.name));
                }
                _ => {
                    let placed = global.allocate(variable.size);
                    let mut initial = variable.initial.clone();
                    initial.resize(variable.size, 0);
                    let address = placed.filter(|&address| global.write(address, &initial).is_ok());
                    let Some(address) = address else {
                        return LoadError::new(variable.line, format!("no memory for {}", variable.name));
                    };
                    self.variables.insert(variable.name.clone(), (address, variable.size));
                    Symbol::Place(Space::Global, address)
                }
            };
            names.insert(variable.name.clone(), symbol);
        }
        let (mut code, mut callees) = (Code::default(), HashMap::new());
        let with_body = |entry: bool| {
            parts.functions.iter().filter(move |function| function.entry == entry && function.body.is_some())
        };
        for (number, function) in with_body(false).enumerate() {
            let mut places = |variables: &[parse::Variable]| -> Vec<(u32, u32)> {
                variables
                    .iter()
                    .map(|variable| (layout.local_variable(variable) as u32, variable.size as u32))
                    .collect()
            };
            let parameters = places(&function.parameters);
            let results = places(&function.results);
            callees.insert(function.name.clone(), Callee { number: number as u32, parameters, results });
        }
        let mut calls = Vec::new();
        for function in with_body(false) {
            self.functions.push(code.instructions.len() as u32);
            let decoder = Decoder::new(&mut code, Scopes::new(&names, layout), &callees);
            let (used, called) = decoder.run(function, &callees[&function.name])?;
            layout = used;
            calls.push(called);
        }
        refuse_recursion(parts, &calls)?;
        let library = code.instructions.len();
        let none = Callee { number: 0, parameters: Vec::new(), results: Vec::new() };
        for function in with_body(true) {
            let start = code.instructions.len();
            let decoder = Decoder::new(&mut code, Scopes::new(&names, layout), &callees);
            let (used, called) = decoder.run(function, &none)?;
            let reached = if called.is_empty() { 0 } else { library };
            let own: Vec<&Inst> =
                code.instructions[..reached].iter().chain(&code.instructions[start..]).collect();
            self.kernels.push(kernel(function, start as u32, used, &own));
        }
        (self.code, self.constants) = (code.instructions, code.constants);
        Ok(())
    }
}

/// Registers and local memory are laid out once for every function, so none may be under way twice.
fn refuse_recursion(parts: &Parts, calls: &[Vec<u32>]) -> Result<(), LoadError> {
    // Functions that call none but removed ones are removed, until none is left or nothing moves.
    let mut open: Vec<bool> = vec![true; calls.len()];
    loop {
        let removed = (0..calls.len()).find(|&at| open[at] && calls[at].iter().all(|&to| !open[to as usize]));
        match removed {
            Some(at) => open[at] = false,
            None if open.contains(&true) => {
                let line = parts.functions.first().map_or(1, |function| function.line);
                return LoadError::new(line, "functions that call themselves are not modelled");
            }
            None => return Ok(()),
        }
    }
}

fn kernel(function: &Function, start: u32, layout: Layout, code: &[&Inst]) -> Kernel {
    let (mut offset, mut parameters) = (0usize, Vec::new());
    for variable in &function.parameters {
        offset = offset.next_multiple_of(variable.align);
        parameters.push((offset, variable.size));
        offset += variable.size;
    }
    let (mut serial, mut global, mut shared) = (false, 4, 4);
    for inst in code {
        let (space, width) = match &inst.op {
            Op::Load { from: place, width, strong, .. } | Op::Store { to: place, width, strong, .. } => {
                // What is not shared for sure and is read in spite of other writers depends on their order.
                serial |= *strong && place.space != Space::Shared;
                (place.space, *width)
            }
            Op::Atomic { at, width, sums, d, .. } => {
                serial |= at.space != Space::Shared && (!sums || d.is_some() || *width != 4);
                (at.space, *width)
            }
            _ => continue,
        };
        if matches!(space, Space::Global | Space::Generic) {
            global = width.min(global);
        }
        if matches!(space, Space::Shared | Space::Generic) {
            shared = width.min(shared);
        }
    }
    Kernel {
        name: function.name.clone(),
        start,
        registers: layout.registers,
        local: layout.local.next_multiple_of(16),
        shared: layout.shared,
        parameters,
        threads: function.threads,
        serial,
        grain_global: Grain(global.trailing_zeros()),
        grain_shared: Grain(shared.trailing_zeros()),
    }
}
