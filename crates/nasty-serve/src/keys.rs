//! The file of API keys. It holds digests, never the keys.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::Diagnostic;
use nasty_teacher::{Classified, ErrorClass};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A file of keys is small.
const MOST_BYTES: u64 = 16 << 20;
const LONGEST_NAME: usize = 64;

/// A key's owner, and what the owner may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The owner's name: budgets are counted by it.
    pub name: String,
    /// How many images a minute are answered; any number without it.
    pub images_per_minute: Option<u64>,
    /// How many images are answered in all; any number without it.
    pub budget: Option<u64>,
}

/// All keys, by their SHA-256.
#[derive(Debug, Default)]
pub struct Keys(HashMap<[u8; 32], Arc<Key>>);

/// A file of keys that cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{}: {fault}", path.display())]
#[diagnostic(help(
    "a file of keys has a table for each name: [alice], with sha256 (of the key, 64 hexadecimal digits), and perhaps images_per_minute and budget"
))]
pub struct KeysError {
    path: PathBuf,
    fault: String,
}

impl Classified for KeysError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Data
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    sha256: String,
    images_per_minute: Option<u64>,
    budget: Option<u64>,
}

impl Keys {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`KeysError`] for a file that cannot be read, or whose contents cannot be meant.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let text = match std::fs::metadata(path) {
            Ok(about) if about.len() > MOST_BYTES => {
                Err(format!("expected a file of keys, found {} bytes", about.len()))
            }
            _ => std::fs::read_to_string(path).map_err(|e| e.to_string()),
        };
        text.and_then(|text| Self::parse(&text)).map_err(|fault| KeysError { path: path.to_owned(), fault })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let entries: HashMap<String, Entry> = toml::from_str(text).map_err(|e| e.to_string())?;
        let mut keys = HashMap::new();
        for (name, Entry { sha256, images_per_minute, budget }) in entries {
            let plain = !name.is_empty() && !name.chars().any(char::is_control);
            if !plain || name.len() > LONGEST_NAME {
                return Err(format!("{name:?}: expected a name of 1 to {LONGEST_NAME} printable bytes"));
            }
            let digest = digest(&sha256).ok_or_else(|| {
                format!("{name}: expected sha256 as 64 hexadecimal digits, found `{sha256}`")
            })?;
            if images_per_minute == Some(0) {
                return Err(format!("{name}: images_per_minute is 0; remove the key to refuse everything"));
            }
            let key = Key { name: name.clone(), images_per_minute, budget };
            if let Some(other) = keys.insert(digest, Arc::new(key)) {
                return Err(format!("{name} and {} have the same sha256", other.name));
            }
        }
        if keys.is_empty() {
            return Err("it holds no key".into());
        }
        Ok(Self(keys))
    }

    /// The key whose text is `secret`.
    pub fn find(&self, secret: &str) -> Option<&Arc<Key>> {
        self.0.get(&<[u8; 32]>::from(Sha256::digest(secret)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// 32 bytes from hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok();
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "abc" (FIPS 180-2, appendix B.1).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn keys_are_found_by_their_text() {
        let keys = Keys::parse(&format!(
            "[alice]\nsha256 = '{ABC}'\nimages_per_minute = 60\nbudget = 1000\n[\"b@c\"]\nsha256 = '{}'\n",
            ABC.to_uppercase().replace("BA", "00")
        ))
        .expect("two keys");
        let alice = Key { name: "alice".into(), images_per_minute: Some(60), budget: Some(1000) };
        assert_eq!(keys.find("abc").map(|key| (**key).clone()), Some(alice));
        assert!(keys.find("abd").is_none() && keys.find("").is_none() && keys.find(ABC).is_none());
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_name() {
        let fault = |text: &str| Keys::parse(text).expect_err("refused");
        for (text, needle) in [
            (String::new(), "no key"),
            (format!("[a]\nsha256 = '{}'", &ABC[1..]), "a: expected sha256"),
            (format!("[a]\nsha256 = '{}é'", &ABC[2..]), "a: expected sha256"),
            (format!("[a]\nsha256 = '{ABC}'\nbudgets = 3"), "budgets"),
            (format!("[a]\nsha256 = '{ABC}'\nbudget = -3"), "budget"),
            (format!("[a]\nsha256 = '{ABC}'\n[b]\nsha256 = '{ABC}'"), "the same sha256"),
            (format!("[a]\nsha256 = '{ABC}'\nimages_per_minute = 0"), "images_per_minute is 0"),
            (format!("['']\nsha256 = '{ABC}'"), "printable"),
            (format!("[\"a\\nb\"]\nsha256 = '{ABC}'"), "printable"),
            ("[a]\nbudget = 3".into(), "sha256"),
            (format!("[a]\nsha256 = '{ABC}'\n[a]\nsha256 = '{ABC}'"), "a"),
        ] {
            assert!(fault(&text).contains(needle), "{text}: {}", fault(&text));
        }
        let missing = Keys::read(Path::new("/no/such/file")).expect_err("missing").to_string();
        assert!(missing.starts_with("/no/such/file: "), "{missing}");
    }
}
