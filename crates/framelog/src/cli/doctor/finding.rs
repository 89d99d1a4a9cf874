//! What a check has found, and how it is said. Not for finding it.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Not known, or good for now.
    Warning,
    /// Frames are lost by it, or will be.
    Wrong,
}

/// The finding of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found, one line.
    pub says: String,
    /// What to do about it, one line; empty if nothing is to be done.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub remedy: String,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            says: says.into(),
            remedy: String::new(),
        }
    }

    /// Not known, or good for now.
    pub fn warning(
        check: &'static str,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warning,
            remedy: remedy.into(),
            ..Self::ok(check, says)
        }
    }

    /// Frames are lost by it, or will be.
    pub fn wrong(check: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level: Level::Wrong,
            ..Self::warning(check, says, remedy)
        }
    }

    /// For people: one line.
    pub fn text(&self) -> String {
        let Self {
            check,
            level,
            says,
            remedy,
        } = self;
        let level = match level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Wrong => "WRONG",
        };
        match remedy.as_str() {
            "" => format!("{level:<8} {check:<11} {says}"),
            remedy => format!("{level:<8} {check:<11} {says}; {remedy}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_with_its_remedy() {
        let wrong = Finding::wrong("inodes", "none is free", "delete files");
        assert_eq!(
            wrong.text(),
            "WRONG    inodes      none is free; delete files"
        );
        assert_eq!(
            serde_json::to_string(&Finding::ok("inodes", "many")).unwrap(),
            r#"{"check":"inodes","level":"ok","says":"many"}"#
        );
    }
}
