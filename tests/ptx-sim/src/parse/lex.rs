//! PTX text to tokens. Dotted names such as `ld.global.f32` stay one word: the decoder takes them apart.

use crate::fault::LoadError;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A name, an instruction, a directive or a label.
    Word(String),
    /// An integer, as its 64 bits.
    Int(u64),
    /// A single given by its bits, `0f3F800000`.
    F32(u32),
    /// A double, by its bits (`0d...`) or as a decimal number.
    F64(u64),
    /// The content of a quoted string.
    Text(String),
    /// A sign.
    Sign(char),
}

/// A token and its line.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) line: u32,
}

fn starts_word(c: u8) -> bool {
    c.is_ascii_alphabetic() || matches!(c, b'_' | b'$' | b'%' | b'.')
}

fn in_word(c: u8) -> bool {
    starts_word(c) || c.is_ascii_digit()
}

/// All tokens of a text.
pub(crate) fn tokens(text: &str) -> Result<Vec<Placed>, LoadError> {
    let bytes = text.as_bytes();
    let (mut at, mut line, mut list) = (0, 1u32, Vec::new());
    while at < bytes.len() {
        let (c, rest, start) = (bytes[at], &bytes[at..], at);
        let token = if c == b'\n' {
            line += 1;
            at += 1;
            continue;
        } else if c.is_ascii_whitespace() || c == 0 {
            at += 1;
            continue;
        } else if rest.starts_with(b"//") {
            at += rest.iter().position(|&c| c == b'\n').unwrap_or(rest.len());
            continue;
        } else if rest.starts_with(b"/*") {
            let Some(end) = rest.windows(2).skip(2).position(|pair| pair == b"*/") else {
                return LoadError::new(line, "a comment does not end");
            };
            line += rest[..end + 4].iter().filter(|&&c| c == b'\n').count() as u32;
            at += end + 4;
            continue;
        } else if c == b'"' {
            let Some(end) = rest[1..].iter().position(|&c| c == b'"') else {
                return LoadError::new(line, "a string does not end");
            };
            at += end + 2;
            Token::Text(String::from_utf8_lossy(&rest[1..=end]).into_owned())
        } else if c.is_ascii_digit() {
            at += rest.iter().take_while(|&&c| c.is_ascii_alphanumeric() || c == b'.').count();
            // The sign of a decimal exponent belongs to its number.
            if matches!(bytes[at - 1], b'e' | b'E')
                && text[start..at].contains('.')
                && matches!(bytes.get(at), Some(b'+' | b'-'))
            {
                at += 1 + bytes[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
            }
            match number(&text[start..at]) {
                Some(token) => token,
                None => return LoadError::new(line, format!("not a number: {}", &text[start..at])),
            }
        } else if starts_word(c) {
            while at < bytes.len() && (in_word(bytes[at]) || bytes[at..].starts_with(b"::")) {
                at += if bytes[at] == b':' { 2 } else { 1 };
            }
            Token::Word(text[start..at].to_owned())
        } else if b",;:(){}[]<>@!|+-=".contains(&c) {
            at += 1;
            Token::Sign(c as char)
        } else {
            return LoadError::new(line, format!("a stray character {:?}", c as char));
        };
        list.push(Placed { token, line });
    }
    Ok(list)
}

fn number(text: &str) -> Option<Token> {
    let body = text.strip_suffix('U').unwrap_or(text);
    let radix = |digits: &str, base| u64::from_str_radix(digits, base).ok().map(Token::Int);
    match body.as_bytes() {
        [b'0', b'f' | b'F', ..] if body.len() == 10 => {
            u32::from_str_radix(&body[2..], 16).ok().map(Token::F32)
        }
        [b'0', b'd' | b'D', ..] if body.len() == 18 => {
            u64::from_str_radix(&body[2..], 16).ok().map(Token::F64)
        }
        [b'0', b'x' | b'X', ..] => radix(&body[2..], 16),
        [b'0', b'b' | b'B', ..] => radix(&body[2..], 2),
        _ if body.contains('.') => body.parse::<f64>().ok().map(|x| Token::F64(x.to_bits())),
        [b'0', _, ..] => radix(&body[1..], 8),
        _ => radix(body, 10),
    }
}
