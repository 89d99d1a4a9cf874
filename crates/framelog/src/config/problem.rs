//! What is wrong with a configuration file, one line each: where, which key, what, and what to do. Never a line of the file itself:
//! it may hold a password.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing wrong (or, as a warning, doubtful) in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Line and column, from 1; `None` if it is not about one place.
    pub at: Option<(usize, usize)>,
    /// The key with its sections, such as `cameras.gate.url`; empty if it is not about one key.
    pub key: String,
    /// What, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Collects the problems of one file. Nothing stops at the first.
#[derive(Debug)]
pub(super) struct Report<'t> {
    file: &'t Path,
    text: &'t str,
    /// What makes the file unusable.
    pub errors: Vec<Problem>,
    /// What deserves a look.
    pub warnings: Vec<Problem>,
}

impl<'t> Report<'t> {
    pub fn new(file: &'t Path, text: &'t str) -> Self {
        Self {
            file,
            text,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Adds an error at a byte offset of the file.
    pub fn error(&mut self, at: usize, key: impl Into<String>, message: impl Into<String>) {
        let problem = self.problem(Some(at), key.into(), message.into());
        self.errors.push(problem);
    }

    /// Adds a warning; `at` as in [`Report::error`].
    pub fn warn(&mut self, at: Option<usize>, key: impl Into<String>, message: impl Into<String>) {
        let problem = self.problem(at, key.into(), message.into());
        self.warnings.push(problem);
    }

    fn problem(&self, at: Option<usize>, key: String, message: String) -> Problem {
        let at = at.map(|at| position(self.text, at));
        Problem {
            file: self.file.to_owned(),
            at,
            key,
            message,
        }
    }
}

/// Line and column, from 1, of a byte offset; the column counts characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// ` (did you mean "…"?)` with the nearest of the known words, or nothing if none is near.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> String {
    nearest(word, known)
        .map(|nearest| format!(" (did you mean {nearest:?}?)"))
        .unwrap_or_default()
}

/// The nearest of the known words, if one is near.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase();
    known
        .iter()
        .map(|candidate| {
            // Short words are too short to be alike; two letters in the wrong order are one slip.
            let slips = strsim::osa_distance(&word, candidate);
            let likeness = strsim::jaro_winkler(&word, candidate);
            (if slips <= 1 { 1.0 } else { likeness }, candidate)
        })
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, nearest)| *nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "ä = 1\nbé = 2\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 3), (1, 3));
        assert_eq!(position(text, text.find('2').unwrap()), (2, 6));
        assert_eq!(position(text, 10_000), (3, 1));
    }

    #[test]
    fn only_near_words_are_suggested() {
        assert_eq!(
            did_you_mean("usrname", &["url", "username"]),
            r#" (did you mean "username"?)"#
        );
        assert_eq!(
            did_you_mean("Stall-Timeout", &["stall_timeout"]),
            r#" (did you mean "stall_timeout"?)"#
        );
        assert_eq!(
            did_you_mean("ulr", &["url", "username"]),
            r#" (did you mean "url"?)"#
        );
        assert_eq!(did_you_mean("colour", &["url", "username"]), "");
    }
}
