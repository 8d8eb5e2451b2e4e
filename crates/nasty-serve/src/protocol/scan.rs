//! A first look at JSON, which bounds the memory that reading it takes.

use super::Refusal;

/// Ids and names are shorter; a parser repeats what it does not expect in its message.
const LONGEST_STRING: usize = 4096;
/// Bytes of a number in a vector that doubles its length when it is full: what it is copied to, and from.
const BYTES_OF_A_NUMBER: usize = 12;

/// Bytes that reading `json` takes beside it, at most.
///
/// # Errors
/// [`Refusal`] with 400 for a string that is too long.
pub(super) fn memory_for(json: &[u8]) -> Result<usize, Refusal> {
    let mut items = 1;
    // Where the string begins, inside one.
    let mut string = None;
    let mut escaped = false;
    for (at, byte) in json.iter().enumerate() {
        match (string, byte) {
            (None, b',') => items += 1,
            (None, b'"') => string = Some(at),
            (Some(begin), _) if at - begin > LONGEST_STRING => {
                return Err(Refusal::bad(format!(
                    "expected strings of at most {LONGEST_STRING} bytes, found a longer one at byte {begin}"
                )));
            }
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(_), b'"') => string = None,
            _ => {}
        }
    }
    Ok(items * BYTES_OF_A_NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_outside_of_strings() {
        assert_eq!(memory_for(b"[1,2,3]"), Ok(36));
        assert_eq!(memory_for(br#"{"a":"1,2,\",3","b":[]}"#), Ok(24));
        assert_eq!(memory_for(br#"["\\",1]"#), Ok(24));
        assert_eq!(memory_for(b""), Ok(12));
        let longest = format!("[\"{}\"]", "x".repeat(LONGEST_STRING - 1));
        assert!(memory_for(longest.as_bytes()).is_ok());
        let refusal = memory_for(format!("[\"{}\"]", "x".repeat(LONGEST_STRING)).as_bytes());
        assert_eq!(refusal.map_err(|r| (r.status, r.message.contains("at byte 1"))), Err((400, true)));
    }
}
