//! A password or token that can't be printed by accident.

use std::fmt;

/// A password. `Debug` shows none of it; there is no `Display`.
#[derive(Clone, PartialEq)]
pub struct Password(String);

impl Password {
    /// Wraps the text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for computing an Authorization field and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}
