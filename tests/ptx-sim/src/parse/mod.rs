//! Tokens to the parts of a module: variables, functions and their statements. Nothing is understood yet.

mod cursor;
mod lex;

use self::cursor::Cursor;
use self::lex::Token;
use crate::fault::LoadError;

/// An operand as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Name(String),
    /// `!name`, a predicate turned round.
    Not(String),
    Int(u64),
    F32(u32),
    F64(u64),
    /// `{a, b}`, or the `(a, b)` of a call.
    List(Vec<Operand>),
    /// `[base + offset]`.
    Address(Box<Operand>, i64),
    /// `a|b`, two results.
    Pair(String, String),
}

/// An instruction as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) line: u32,
    /// The predicate before it, and whether it is turned round.
    pub(crate) guard: Option<(String, bool)>,
    pub(crate) name: String,
    pub(crate) operands: Vec<Operand>,
}

/// A variable or a parameter.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    /// `global`, `const`, `shared`, `local` or `param`.
    pub(crate) space: String,
    pub(crate) align: usize,
    pub(crate) size: usize,
    /// The first bytes; the others are zero.
    pub(crate) initial: Vec<u8>,
    pub(crate) external: bool,
    pub(crate) line: u32,
}

/// A part of a function's body.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Open,
    Close,
    Label(String, u32),
    /// Registers; a count stands for `name0` to `name(count-1)`.
    Registers {
        name: String,
        count: Option<u32>,
    },
    Variable(Variable),
    Targets(String, Vec<String>),
    Instruction(Written),
}

/// A kernel or a function.
#[derive(Clone, Debug, Default)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: u32,
    pub(crate) entry: bool,
    pub(crate) results: Vec<Variable>,
    pub(crate) parameters: Vec<Variable>,
    /// Threads of a block, if limited; `true` when exactly these are required.
    pub(crate) threads: Option<([u32; 3], bool)>,
    /// Absent for a declaration.
    pub(crate) body: Option<Vec<Item>>,
}

/// A module, in parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) variables: Vec<Variable>,
    pub(crate) functions: Vec<Function>,
}

/// Nothing larger is believed in a declaration: hostile text must not make us allocate without end.
const SIZE_MAX: u64 = 1 << 28;
/// Nor more registers under one name.
const REGISTERS_MAX: u64 = 1 << 16;

/// Bytes of a fundamental type, `.pred` counting as one.
pub(crate) fn width_of(kind: &str) -> Option<usize> {
    Some(match kind.trim_start_matches('.') {
        "pred" | "b8" | "u8" | "s8" => 1,
        "b16" | "u16" | "s16" | "f16" | "bf16" => 2,
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" | "tf32" => 4,
        "b64" | "u64" | "s64" | "f64" => 8,
        _ => return None,
    })
}

/// Reads a module.
pub(crate) fn parse(text: &str) -> Result<Parts, LoadError> {
    let mut cursor = Cursor::new(lex::tokens(text)?);
    let (mut parts, mut external) = (Parts::default(), false);
    while let Some(token) = cursor.peek().cloned() {
        let line = cursor.line();
        let Token::Word(word) = token else {
            return LoadError::new(line, format!("a directive is expected, not {token:?}"));
        };
        cursor.step();
        match word.as_str() {
            ".version" | ".target" | ".address_size" | ".file" => cursor.skip_line(line),
            ".visible" | ".weak" | ".common" => {}
            ".extern" => external = true,
            ".global" | ".const" | ".shared" => {
                for mut variable in variables(&mut cursor, &word[1..])? {
                    variable.external = external;
                    parts.variables.push(variable);
                }
                cursor.expect(';')?;
                external = false;
            }
            ".entry" | ".func" => {
                parts.functions.push(function(&mut cursor, word == ".entry", line)?);
                external = false;
            }
            _ => return LoadError::new(line, format!("unknown directive {word}")),
        }
    }
    Ok(parts)
}

/// `.align 4 .b8 name[16] = {...}, ...`: declarations of one type.
fn variables(cursor: &mut Cursor, space: &str) -> Result<Vec<Variable>, LoadError> {
    let (line, parameter) = (cursor.line(), space == "param");
    let (mut align, mut element) = (0, None);
    while let Some(word) = cursor.word_if(|word| word.starts_with('.')) {
        match word.as_str() {
            ".align" => align = cursor.integer()?.min(SIZE_MAX) as usize,
            // What a pointer parameter points to; the interpreter checks addresses themselves.
            ".ptr" | ".global" | ".const" | ".shared" | ".local" => {}
            _ => match width_of(&word) {
                Some(width) => element = Some(width),
                None => return LoadError::new(line, format!("unknown type {word}")),
            },
        }
    }
    let Some(element) = element else { return LoadError::new(line, "a type is missing") };
    let align = if align == 0 { element } else { align };
    if !align.is_power_of_two() {
        return LoadError::new(line, format!("alignment {align} is no power of two"));
    }
    let mut list = Vec::new();
    loop {
        let name = cursor.word()?;
        let mut size = element as u64;
        while cursor.take('[') {
            let count = if cursor.take(']') { 0 } else { cursor.integer()? };
            size = size.saturating_mul(count);
            if count > 0 {
                cursor.expect(']')?;
            }
        }
        if size > SIZE_MAX {
            return LoadError::new(line, format!("{name} is too large: {size} bytes"));
        }
        let mut initial = Vec::new();
        if cursor.take('=') {
            let list = cursor.take('{');
            loop {
                let value = match cursor.operand()? {
                    Operand::Int(bits) => bits,
                    Operand::F32(bits) => u64::from(bits),
                    Operand::F64(bits) => bits,
                    other => return LoadError::new(line, format!("{name} starts as {other:?}")),
                };
                initial.extend_from_slice(&value.to_le_bytes()[..element]);
                if !(list && cursor.take(',')) {
                    break;
                }
            }
            if list {
                cursor.expect('}')?;
            }
            if initial.len() as u64 > size {
                return LoadError::new(line, format!("{name} has more initial values than places"));
            }
        }
        let space = space.to_owned();
        list.push(Variable { name, space, align, size: size as usize, initial, external: false, line });
        // A comma after a parameter belongs to the list it stands in.
        if parameter || !cursor.take(',') {
            return Ok(list);
        }
    }
}

/// `(.param .b32 x, ...)`.
fn parameters(cursor: &mut Cursor) -> Result<Vec<Variable>, LoadError> {
    let mut list = Vec::new();
    if cursor.take('(') && !cursor.take(')') {
        loop {
            let word = cursor.word()?;
            if word != ".param" && word != ".reg" {
                return LoadError::new(cursor.line(), format!("a parameter is expected, not {word}"));
            }
            list.extend(variables(cursor, "param")?);
            if !cursor.take(',') {
                break;
            }
        }
        cursor.expect(')')?;
    }
    Ok(list)
}

fn function(cursor: &mut Cursor, entry: bool, line: u32) -> Result<Function, LoadError> {
    let results = if entry { Vec::new() } else { parameters(cursor)? };
    let name = cursor.word()?;
    let parameters = parameters(cursor)?;
    let mut function = Function { name, line, entry, results, parameters, ..Function::default() };
    while let Some(word) = cursor.word_if(|word| word.starts_with('.')) {
        match word.as_str() {
            ".maxntid" | ".reqntid" => {
                let mut threads = [1; 3];
                for axis in 0..3 {
                    threads[axis] = cursor.integer()?.min(u64::from(u32::MAX)) as u32;
                    if axis == 2 || !cursor.take(',') {
                        break;
                    }
                }
                function.threads = Some((threads, word == ".reqntid"));
            }
            ".minnctapersm" | ".maxnreg" => _ = cursor.integer()?,
            ".noreturn" => {}
            _ => return LoadError::new(cursor.line(), format!("unknown directive {word}")),
        }
    }
    if !cursor.take(';') {
        cursor.expect('{')?;
        function.body = Some(body(cursor)?);
    }
    Ok(function)
}

fn body(cursor: &mut Cursor) -> Result<Vec<Item>, LoadError> {
    let (mut items, mut depth) = (Vec::new(), 0u32);
    loop {
        let line = cursor.line();
        if cursor.take('}') {
            if depth == 0 {
                return Ok(items);
            }
            depth -= 1;
            items.push(Item::Close);
        } else if cursor.take('{') {
            depth += 1;
            items.push(Item::Open);
        } else if !cursor.take(';') {
            statement(cursor, line, &mut items)?;
        }
    }
}

fn statement(cursor: &mut Cursor, line: u32, items: &mut Vec<Item>) -> Result<(), LoadError> {
    let mut guard = None;
    if cursor.take('@') {
        let negated = cursor.take('!');
        guard = Some((cursor.word()?, negated));
    }
    let name = cursor.word()?;
    if guard.is_none() && cursor.take(':') {
        if cursor.word_if(|word| word == ".branchtargets").is_some() {
            let mut targets = Vec::new();
            while targets.is_empty() || cursor.take(',') {
                targets.push(cursor.word()?);
            }
            cursor.expect(';')?;
            items.push(Item::Targets(name, targets));
        } else {
            items.push(Item::Label(name, line));
        }
        return Ok(());
    }
    match name.as_str() {
        ".reg" => {
            let kind = cursor.word()?;
            if width_of(&kind).is_none() {
                return LoadError::new(line, format!("unknown type {kind}"));
            }
            loop {
                let (name, mut count) = (cursor.word()?, None);
                if cursor.take('<') {
                    let number = cursor.integer()?;
                    if number > REGISTERS_MAX {
                        return LoadError::new(line, format!("too many registers {name}"));
                    }
                    count = Some(number as u32);
                    cursor.expect('>')?;
                }
                items.push(Item::Registers { name, count });
                if !cursor.take(',') {
                    break;
                }
            }
            cursor.expect(';')
        }
        ".shared" | ".local" | ".param" | ".global" | ".const" => {
            items.extend(variables(cursor, &name[1..])?.into_iter().map(Item::Variable));
            cursor.expect(';')
        }
        ".loc" | ".file" => {
            cursor.skip_line(line);
            Ok(())
        }
        ".pragma" => {
            while !cursor.take(';') {
                cursor.next()?;
            }
            Ok(())
        }
        _ if name.starts_with('.') => LoadError::new(line, format!("unknown directive {name}")),
        _ => {
            let mut operands = Vec::new();
            if !cursor.take(';') {
                loop {
                    operands.push(cursor.operand()?);
                    if !cursor.take(',') {
                        break;
                    }
                }
                cursor.expect(';')?;
            }
            items.push(Item::Instruction(Written { line, guard, name, operands }));
            Ok(())
        }
    }
}
