//! A place in a list of tokens, and the small readers every statement is made of.

use super::Operand;
use super::lex::{Placed, Token};
use crate::fault::LoadError;

/// Lists in lists; no instruction needs more than one level.
const DEPTH_MAX: u32 = 4;

pub(crate) struct Cursor {
    tokens: Vec<Placed>,
    at: usize,
}

impl Cursor {
    pub(crate) fn new(tokens: Vec<Placed>) -> Self {
        Self { tokens, at: 0 }
    }

    pub(crate) fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |placed| placed.line)
    }

    pub(crate) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    pub(crate) fn step(&mut self) {
        self.at += 1;
    }

    pub(crate) fn next(&mut self) -> Result<Token, LoadError> {
        match self.peek().cloned() {
            Some(token) => {
                self.at += 1;
                Ok(token)
            }
            None => LoadError::new(self.line(), "the text ends too early"),
        }
    }

    /// Passes the rest of a line.
    pub(crate) fn skip_line(&mut self, line: u32) {
        while self.tokens.get(self.at).is_some_and(|placed| placed.line == line) {
            self.at += 1;
        }
    }

    pub(crate) fn take(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, sign: char) -> Result<(), LoadError> {
        let line = self.line();
        if self.take(sign) {
            return Ok(());
        }
        LoadError::new(line, format!("{sign:?} is expected, not {:?}", self.peek()))
    }

    pub(crate) fn word(&mut self) -> Result<String, LoadError> {
        let line = self.line();
        match self.next()? {
            Token::Word(word) => Ok(word),
            other => LoadError::new(line, format!("a name is expected, not {other:?}")),
        }
    }

    pub(crate) fn word_if(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        match self.peek() {
            Some(Token::Word(word)) if wanted(word) => {
                let word = word.clone();
                self.at += 1;
                Some(word)
            }
            _ => None,
        }
    }

    pub(crate) fn integer(&mut self) -> Result<u64, LoadError> {
        let line = self.line();
        match self.next()? {
            Token::Int(value) => Ok(value),
            other => LoadError::new(line, format!("an integer is expected, not {other:?}")),
        }
    }

    pub(crate) fn operand(&mut self) -> Result<Operand, LoadError> {
        self.operand_in(DEPTH_MAX)
    }

    fn operand_in(&mut self, depth: u32) -> Result<Operand, LoadError> {
        let line = self.line();
        if depth == 0 {
            return LoadError::new(line, "lists are nested too deep");
        }
        Ok(match self.next()? {
            Token::Int(bits) => Operand::Int(bits),
            Token::F32(bits) => Operand::F32(bits),
            Token::F64(bits) => Operand::F64(bits),
            Token::Sign('!') => Operand::Not(self.word()?),
            Token::Sign('-') => match self.next()? {
                Token::Int(bits) => Operand::Int(bits.wrapping_neg()),
                Token::F64(bits) => Operand::F64(bits ^ 1 << 63),
                other => return LoadError::new(line, format!("a number is expected, not {other:?}")),
            },
            Token::Word(name) => {
                if self.take('|') {
                    Operand::Pair(name, self.word()?)
                } else {
                    Operand::Name(name)
                }
            }
            Token::Sign(open @ ('{' | '(')) => {
                let close = if open == '{' { '}' } else { ')' };
                let mut list = Vec::new();
                if !self.take(close) {
                    loop {
                        list.push(self.operand_in(depth - 1)?);
                        if !self.take(',') {
                            break;
                        }
                    }
                    self.expect(close)?;
                }
                Operand::List(list)
            }
            Token::Sign('[') => {
                let base = self.operand_in(depth - 1)?;
                let mut offset = 0;
                if self.take('+') {
                    let negative = self.take('-');
                    let value = self.integer()? as i64;
                    offset = if negative { value.wrapping_neg() } else { value };
                } else if self.take('-') {
                    offset = (self.integer()? as i64).wrapping_neg();
                }
                self.expect(']')?;
                Operand::Address(Box::new(base), offset)
            }
            other => return LoadError::new(line, format!("an operand is expected, not {other:?}")),
        })
    }
}
