//! The encodings of strings in pickles.

use std::borrow::Cow;

/// The bytes that a UTF-8 string's characters are; `None` if one is beyond 255.
pub(super) fn latin1(text: &[u8]) -> Option<Cow<'static, [u8]>> {
    let text = std::str::from_utf8(text).ok()?;
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    bytes.map(Cow::Owned)
}

/// A string in quotes with Python 2's escapes (opcode `S`).
pub(super) fn quoted(line: &[u8]) -> Result<Vec<u8>, String> {
    let line = line.trim_ascii();
    let inner = match line {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return Err("a string without quotes".into()),
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&escape, more) = rest.split_first().ok_or("a string that ends in an escape")?;
        rest = more;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'\\' | b'\'' | b'"' => out.push(escape),
            b'x' => out.push(hexadecimal(&mut rest, 2)? as u8),
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
                let (digits, after) = rest.split_at(more);
                rest = after;
                let first = u32::from(escape - b'0');
                out.push(digits.iter().fold(first, |n, d| 8 * n + u32::from(d - b'0')) as u8);
            }
            other => out.extend([b'\\', other]),
        }
    }
    Ok(out)
}

/// A string with `\u` and `\U` escapes, other bytes being latin-1 characters (opcode `V`); as UTF-8.
pub(super) fn unicode(line: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        let digits = match (byte, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                out.push(char::from(byte));
                continue;
            }
        };
        rest = &rest[1..];
        out.push(char::from_u32(hexadecimal(&mut rest, digits)?).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    Ok(out.into_bytes())
}

fn hexadecimal(rest: &mut &[u8], digits: usize) -> Result<u32, String> {
    let (taken, after) = rest.split_at_checked(digits).ok_or("an escape that is cut off")?;
    *rest = after;
    let text = std::str::from_utf8(taken).map_err(|_| "an escape that is no number")?;
    u32::from_str_radix(text, 16).map_err(|_| "an escape that is no number".into())
}
