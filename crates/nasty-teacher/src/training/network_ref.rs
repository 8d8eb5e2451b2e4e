//! How recipes refer to networks.

use serde::{Deserialize, Serialize};

/// Hexadecimal digits of an identity.
const DIGITS: usize = 16;

/// A trained network by its identity: the hash of the recipe that made it, `weights-<hash>` for an imported one, or
/// `victim-<hash>` for a foreign victim, which only answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct NetworkRef(pub String);

impl NetworkRef {
    /// What the name of a foreign victim begins with.
    pub const VICTIM: &str = "victim-";

    /// Whether this is a foreign victim, of which there are answers only.
    pub fn is_victim(&self) -> bool {
        self.0.starts_with(Self::VICTIM)
    }

    /// Whether this has the form of an identity. Anything else, such as a path, would name a network without saying which
    /// weights it has, and a recipe's hash would no longer cover what it was made from.
    pub fn is_identity(&self) -> bool {
        let digits =
            ["weights-", Self::VICTIM].iter().find_map(|kind| self.0.strip_prefix(kind)).unwrap_or(&self.0);
        digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }

    /// What is wrong with the reference at `key` of a recipe; `None` if it is an identity.
    pub fn problem(&self, key: &str) -> Option<String> {
        (!self.is_identity()).then(|| {
            format!(
                "{key} is `{}`, expected the {DIGITS} hexadecimal digits of a run, or weights- or {} and {DIGITS} digits",
                self.0,
                Self::VICTIM
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_identities_name_networks() {
        let fine = |text: &str| NetworkRef(text.into()).problem("teacher").is_none();
        assert!(
            fine("0123456789abcdef") && fine("weights-0123456789abcdef") && fine("victim-0123456789abcdef")
        );
        for text in ["", "/any/path", "0123456789abcde", "0123456789ABCDEF", "weights-", "../0123456789abcd"]
        {
            let problem = NetworkRef(text.into()).problem("objective.teacher").expect("no identity");
            assert!(
                problem.contains(&format!("objective.teacher is `{text}`, expected the 16 hex")),
                "{problem}"
            );
        }
    }
}
