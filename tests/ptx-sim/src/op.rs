//! The decoded instruction: every choice that the text allows is made once, at load.

use crate::arith::{Alu, Convert, Test};

/// A register, as its place in the thread's array.
pub(crate) type Reg = u32;

/// Sources from this number on are constants of the module.
pub(crate) const CONSTANT: u32 = 1 << 24;

/// What an instruction reads: a register or a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Src(pub(crate) u32);

/// A state space. `const` is `Global`: it differs by who may write, which PTX checks in its grammar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Space {
    Generic,
    Global,
    Shared,
    /// A thread's own bytes: `.local` variables, and the `.param` variables of calls.
    Local,
    /// The parameters of the launch.
    Param,
}

/// An address: a base and an offset in a space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) space: Space,
    pub(crate) base: Src,
    pub(crate) offset: i64,
}

/// How a predicate is joined with the one just computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Join {
    None,
    And,
    Or,
    Xor,
}

/// A special register.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Special {
    Tid(usize),
    Ntid(usize),
    Ctaid(usize),
    Nctaid(usize),
    Lane,
    Warp,
    Warps,
    /// The mask of lanes that compare so with the own lane: `lt`, `le`, `eq`, `ge`, `gt`.
    Mask(fn(u32, u32) -> bool),
    /// Instructions the thread has executed: a clock that repeats.
    Clock,
    DynamicShared,
    TotalShared,
}

/// How `shfl.sync` finds the source lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shuffle {
    Up,
    Down,
    Butterfly,
    Index,
}

/// What a vote returns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Vote {
    All,
    Any,
    Uniform,
    Ballot,
}

/// The element types of `mma.sync`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Matrix {
    Tf32,
    Bf16,
    F16,
}

/// What a barrier does besides waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Barrier {
    Sync,
    /// Counts as present and goes on.
    Arrive,
    Count,
    And,
    Or,
}

/// What the lanes of a warp do together.
#[derive(Clone, Debug)]
pub(crate) enum Collective {
    Sync,
    ActiveMask {
        d: Reg,
    },
    Shuffle {
        mode: Shuffle,
        d: Reg,
        valid: Option<Reg>,
        a: Src,
        b: Src,
        c: Src,
    },
    Vote {
        vote: Vote,
        d: Reg,
        a: Src,
        negated: bool,
    },
    /// `match.sync`; `all` also has a predicate.
    Match {
        all: bool,
        d: Reg,
        valid: Option<Reg>,
        a: Src,
        bits: u32,
    },
    Reduce {
        f: Alu,
        d: Reg,
        a: Src,
    },
    LoadMatrix {
        d: [Reg; 4],
        count: usize,
        transposed: bool,
        from: Place,
    },
    Multiply {
        kind: Matrix,
        k: usize,
        d: [Reg; 4],
        a: Box<[Src]>,
        b: Box<[Src]>,
        c: [Src; 4],
    },
}

/// A decoded operation.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Alu {
        f: Alu,
        d: Reg,
        a: Src,
        b: Src,
        c: Src,
    },
    Convert {
        rule: Convert,
        d: Reg,
        a: Src,
    },
    Compare {
        test: Test,
        join: Join,
        p: Reg,
        q: Reg,
        a: Src,
        b: Src,
        c: Src,
        negated: bool,
    },
    /// `bfi`: the low `length` bits of `a` put into `b`.
    Insert {
        d: Reg,
        a: Src,
        b: Src,
        position: Src,
        length: Src,
        wide: bool,
    },
    /// `lop3`: bit by bit the value of a table of eight.
    Logic {
        d: Reg,
        a: Src,
        b: Src,
        c: Src,
        table: u8,
    },
    /// `mov` of a vector to one register: parts of `bits` bits, lowest first.
    Pack {
        d: Reg,
        parts: Box<[Src]>,
        bits: u32,
    },
    Unpack {
        d: Box<[Reg]>,
        a: Src,
        bits: u32,
    },
    Special {
        d: Reg,
        which: Special,
    },
    /// `count` elements of `width` bytes. `signed` elements are extended. `strong` loads do not race with atomics.
    Load {
        d: [Reg; 4],
        count: u8,
        width: u8,
        signed: bool,
        strong: bool,
        from: Place,
    },
    Store {
        a: [Src; 4],
        count: u8,
        width: u8,
        strong: bool,
        to: Place,
    },
    /// `f(old, b, c)` is stored; `red` has no destination. `sums`: the order of such accesses changes no final value.
    Atomic {
        f: Alu,
        d: Option<Reg>,
        width: u8,
        at: Place,
        b: Src,
        c: Src,
        sums: bool,
    },
    CopyAsync {
        to: Place,
        from: Place,
        bytes: u8,
        present: Option<Src>,
    },
    CopyCommit,
    /// Waits until at most this many groups are open; with `all`, also for what was not committed.
    CopyWait {
        left: Src,
        all: bool,
    },
    Branch {
        to: u32,
    },
    BranchIndex {
        targets: Box<[u32]>,
        a: Src,
    },
    /// Copies arguments and results by (from, to, size) between places of the thread's own bytes.
    Call {
        function: u32,
        arguments: Box<[(u32, u32, u32)]>,
        results: Box<[(u32, u32, u32)]>,
    },
    Return,
    Exit,
    Trap(&'static str),
    Barrier {
        kind: Barrier,
        id: Src,
        count: Option<Src>,
        d: Reg,
        a: Src,
        negated: bool,
        aligned: bool,
    },
    Warp {
        what: Collective,
        mask: Option<Src>,
    },
    Nothing,
}

/// An instruction.
#[derive(Clone, Debug)]
pub(crate) struct Inst {
    pub(crate) op: Op,
    /// The predicate that allows it, or `UNGUARDED`.
    pub(crate) guard: Reg,
    /// The value the predicate must have.
    pub(crate) when: bool,
    pub(crate) line: u32,
}

/// No predicate.
pub(crate) const UNGUARDED: Reg = u32::MAX;
