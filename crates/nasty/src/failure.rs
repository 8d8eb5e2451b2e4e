//! Exit codes, and errors rendered for people, in one place.

use miette::{Diagnostic, Report};
use nasty_teacher::{Classified, ErrorClass};

/// How a command ends.
pub type Result<T> = std::result::Result<T, CommandError>;

/// Stopped on request with its state saved: the same command goes on.
pub const STOPPED: u8 = 75;
/// A server that does not answer: the same command goes on once it does.
pub const UNAVAILABLE: u8 = 69;
/// A bug.
pub const BUG: u8 = 1;
/// Characters of a message. A damaged file may have a name of any length in it, which a parser repeats.
const LONGEST: usize = 2000;

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All done.
    Done,
    /// Stopped on request with its state saved.
    Stopped,
    /// Done, with an exit code that the results decided, such as a condition that holds.
    Decided(u8),
}

/// Why a command failed.
#[derive(Debug)]
pub struct CommandError {
    class: ErrorClass,
    report: Report,
    /// What to type, where that is the program's to know.
    hint: Option<String>,
}

impl<E: Classified> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self { class: error.class(), report: Report::new(error), hint: None }
    }
}

impl CommandError {
    /// `error` with a hint at the command line's options, which the library does not know.
    pub fn hinted<E: Classified>(error: E, hint: Option<&str>) -> Self {
        Self { hint: hint.map(str::to_owned), ..Self::from(error) }
    }

    /// The kind of trouble.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// What a person is told.
    pub fn text(&self) -> String {
        let mut text = format!("error: {}", harmless(&self.report.to_string()));
        for cause in self.report.chain().skip(1).map(|cause| harmless(&cause.to_string())) {
            // Some messages tell their cause themselves.
            if !text.contains(&cause) {
                text += &format!("\n  because: {cause}");
            }
        }
        let help: Vec<String> =
            self.report.help().map(|help| help.to_string()).into_iter().chain(self.hint.clone()).collect();
        if !help.is_empty() {
            text += &format!("\n  help: {}", help.join("\n  help: "));
        }
        text
    }

    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self.class {
            ErrorClass::Usage => 2,
            ErrorClass::Data => 3,
            ErrorClass::NotFinite => 6,
            ErrorClass::Unavailable => UNAVAILABLE,
            ErrorClass::Stopped => STOPPED,
            ErrorClass::Bug => BUG,
        }
    }
}

/// Trouble that only the program meets.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Trouble {
    /// Its kind.
    pub class: ErrorClass,
    /// What was expected and what was found.
    pub message: String,
    /// What to do.
    #[help]
    pub help: Option<String>,
}

impl Classified for Trouble {
    fn class(&self) -> ErrorClass {
        self.class
    }
}

impl Trouble {
    /// Something typed that cannot be done.
    pub fn usage(message: impl Into<String>, help: Option<&str>) -> Self {
        Self { class: ErrorClass::Usage, message: message.into(), help: help.map(str::to_owned) }
    }

    /// Something that was found and is not what it should be.
    pub fn data(message: impl Into<String>, help: Option<&str>) -> Self {
        Self { class: ErrorClass::Data, message: message.into(), help: help.map(str::to_owned) }
    }

    /// A place of the file system, or standard output, that refuses.
    pub fn refused(place: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self { class: ErrorClass::Data, message: format!("{place}: {error}"), help: None }
    }

    /// What must not happen.
    pub fn bug(message: impl Into<String>, help: Option<&str>) -> Self {
        Self { class: ErrorClass::Bug, message: message.into(), help: help.map(str::to_owned) }
    }
}

/// A message of bounded length, without control characters.
fn harmless(message: &str) -> String {
    match message.char_indices().nth(LONGEST) {
        Some((end, _)) => visible(&message[..end]) + "…",
        None => visible(message),
    }
}

/// `text` without the control characters that a file may bring into it, which a terminal would obey. They are written as in JSON, so
/// that JSON stays the same JSON.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            _ if character.is_control() => shown += &format!("\\u{:04x}", u32::from(character)),
            _ => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_brings_into_a_message_is_harmless() {
        let told = |message: String| CommandError::from(Trouble::data(message, None)).text();
        assert_eq!(
            told("unknown field `\u{1b}[2J`,\n\texpected é".into()),
            "error: unknown field `\\u001b[2J`,\n\texpected é"
        );
        let long = told("x".repeat(1_000_000));
        assert_eq!(long.chars().count(), "error: ".len() + LONGEST + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn json_stays_the_same_json() {
        let names = serde_json::json!(["\u{1b}[2J", "\u{7f}", "\u{9b}2J\r", "é"]);
        let shown = visible(&serde_json::to_string_pretty(&names).expect("plain data"));
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), names);
    }
}
