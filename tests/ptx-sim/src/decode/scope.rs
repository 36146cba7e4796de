//! Names in nested blocks, and the layout of what a function needs.

use std::collections::HashMap;

use crate::op::{Reg, Space, Special};
use crate::parse::Variable;

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Symbol {
    Register(Reg),
    Place(Space, u64),
    /// `extern .shared`: as much as the launch asks for.
    Dynamic,
}

/// Registers, and bytes of local and shared memory, used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) registers: u32,
    pub(crate) local: usize,
    pub(crate) shared: usize,
}

impl Layout {
    pub(crate) fn register(&mut self) -> Reg {
        self.registers += 1;
        self.registers - 1
    }

    pub(crate) fn shared_variable(&mut self, variable: &Variable) -> u64 {
        Self::place(&mut self.shared, variable)
    }

    pub(crate) fn local_variable(&mut self, variable: &Variable) -> u64 {
        Self::place(&mut self.local, variable)
    }

    fn place(used: &mut usize, variable: &Variable) -> u64 {
        let at = used.next_multiple_of(variable.align);
        *used = at + variable.size;
        at as u64
    }
}

struct Scope {
    parent: usize,
    names: HashMap<String, Symbol>,
}

/// The blocks of a function; the outermost one is number 0. Names of the module lie behind.
pub(crate) struct Scopes<'a> {
    all: Vec<Scope>,
    current: usize,
    module: &'a HashMap<String, Symbol>,
    hidden: Vec<Reg>,
    pub(crate) layout: Layout,
}

impl<'a> Scopes<'a> {
    pub(crate) fn new(module: &'a HashMap<String, Symbol>, layout: Layout) -> Self {
        let all = vec![Scope { parent: 0, names: HashMap::new() }];
        Self { all, current: 0, module, hidden: Vec::new(), layout }
    }

    pub(crate) fn current(&self) -> usize {
        self.current
    }

    pub(crate) fn open(&mut self) {
        self.all.push(Scope { parent: self.current, names: HashMap::new() });
        self.current = self.all.len() - 1;
    }

    pub(crate) fn close(&mut self) {
        self.current = self.all[self.current].parent;
    }

    /// A scope and those around it.
    pub(crate) fn outwards(&self, from: usize) -> impl Iterator<Item = usize> {
        core::iter::successors(Some(from), |&at| (at != 0).then(|| self.all[at].parent))
    }

    pub(crate) fn define(&mut self, name: &str, symbol: Symbol) {
        self.all[self.current].names.insert(name.to_owned(), symbol);
    }

    pub(crate) fn define_register(&mut self, name: &str) {
        let register = self.layout.register();
        self.define(name, Symbol::Register(register));
    }

    /// A register that the text does not name.
    pub(crate) fn hidden_register(&mut self) -> Reg {
        let register = self.layout.register();
        self.hidden.push(register);
        register
    }

    pub(crate) fn hidden(&self, register: Reg) -> bool {
        self.hidden.contains(&register)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Symbol> {
        self.outwards(self.current)
            .find_map(|scope| self.all[scope].names.get(name))
            .or_else(|| self.module.get(name))
            .copied()
    }
}

/// The special registers.
pub(crate) fn special(name: &str) -> Option<Special> {
    let axis = || match name.rsplit('.').next() {
        Some("x") => Some(0),
        Some("y") => Some(1),
        Some("z") => Some(2),
        _ => None,
    };
    Some(match name.split('.').next()? {
        "%tid" => Special::Tid(axis()?),
        "%ntid" => Special::Ntid(axis()?),
        "%ctaid" => Special::Ctaid(axis()?),
        "%nctaid" => Special::Nctaid(axis()?),
        "%laneid" => Special::Lane,
        "%warpid" => Special::Warp,
        "%nwarpid" => Special::Warps,
        "%lanemask_lt" => Special::Mask(|other, own| other < own),
        "%lanemask_le" => Special::Mask(|other, own| other <= own),
        "%lanemask_eq" => Special::Mask(|other, own| other == own),
        "%lanemask_ge" => Special::Mask(|other, own| other >= own),
        "%lanemask_gt" => Special::Mask(|other, own| other > own),
        "%clock" | "%clock64" | "%globaltimer" => Special::Clock,
        "%dynamic_smem_size" => Special::DynamicShared,
        "%total_smem_size" => Special::TotalShared,
        _ => return None,
    })
}
