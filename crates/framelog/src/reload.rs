//! What became of a reload: for who asked, for the log's reader, and for `status`. Not for applying it: that is `run`.

use framelog_store::wall;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::config::Problem;

/// Asks the recorder's keeper to read the file again, and to say what became of that.
pub type Requests = mpsc::Sender<oneshot::Sender<Reload>>;

/// What became of a reload. Changes are to what was recorded before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// When, microseconds since the Unix epoch.
    pub at_us: i64,
    /// In a word.
    pub outcome: Outcome,
    /// Cameras that were not there before.
    pub added: Vec<String>,
    /// Cameras that are there no longer.
    pub removed: Vec<String>,
    /// Cameras that are to be recorded again.
    #[serde(default)]
    pub enabled: Vec<String>,
    /// Cameras that are not to be recorded any more.
    #[serde(default)]
    pub disabled: Vec<String>,
    /// Cameras that were reconnected.
    pub changed: Vec<String>,
    /// What footage may go, in words.
    pub rules: Vec<String>,
    /// Sections that changed and are applied by a restart only.
    pub restart: Vec<String>,
    /// What is doubtful in the file or, where nothing changed, wrong.
    pub problems: Vec<String>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is recorded as the file says.
    #[default]
    Applied,
    /// It will be, once the storage is there.
    Waiting,
    /// The file has errors: nothing changed.
    Refused,
    /// The storage did not take it up; reload again when that is well.
    Failed,
}

impl Reload {
    /// Just now.
    pub fn now(outcome: Outcome) -> Self {
        Self {
            at_us: wall::now_us(),
            outcome,
            ..Self::default()
        }
    }

    /// The same, ended now.
    pub fn ended(self, outcome: Outcome) -> Self {
        Self {
            at_us: wall::now_us(),
            outcome,
            ..self
        }
    }

    /// The same, of a file in which this is doubtful.
    pub fn doubting(mut self, warnings: &[Problem]) -> Self {
        self.problems
            .extend(warnings.iter().map(ToString::to_string));
        self
    }

    /// The file has errors.
    pub fn refused(problems: &[Problem]) -> Self {
        Self {
            problems: problems.iter().map(ToString::to_string).collect(),
            ..Self::now(Outcome::Refused)
        }
    }

    /// Whether it is recorded as the file said, all of it.
    pub fn is_done(&self) -> bool {
        self.outcome == Outcome::Applied && self.restart.is_empty()
    }

    /// In words, one line for each thing to know.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.problems.clone();
        let mut changes: Vec<String> = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("enabled", &self.enabled),
            ("disabled", &self.disabled),
            ("reconnected", &self.changed),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what} {}", names.join(", ")))
        .collect();
        if !self.rules.is_empty() {
            changes.push(format!("what footage may go: {}", self.rules.join(", ")));
        }
        lines.push(match self.outcome {
            Outcome::Applied if !changes.is_empty() => format!("reloaded: {}", changes.join("; ")),
            Outcome::Applied if self.restart.is_empty() => {
                "nothing changed: it is recorded as the file says already".to_owned()
            }
            Outcome::Applied => "nothing changed yet".to_owned(),
            Outcome::Waiting => {
                "nothing changed yet: it will be applied when the storage is there".to_owned()
            }
            Outcome::Refused => "nothing changed: the file has errors".to_owned(),
            Outcome::Failed => {
                "not all cameras could be taken up: reload again when the storage is well"
                    .to_owned()
            }
        });
        for section in &self.restart {
            lines.push(format!(
                "[{section}] changed: systemctl restart framelog applies it"
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_changed_is_said_or_why_nothing_did() {
        let said = |reload: Reload| reload.lines().join("\n");
        assert_eq!(
            said(Reload::default()),
            "nothing changed: it is recorded as the file says already"
        );
        assert_eq!(
            said(Reload {
                added: names(&["a", "b"]),
                enabled: names(&["d"]),
                disabled: names(&["e"]),
                changed: names(&["c"]),
                rules: names(&["retain none → 7 days"]),
                restart: names(&["http"]),
                problems: names(&["f.toml:1:1: doubtful"]),
                ..Reload::default()
            }),
            "f.toml:1:1: doubtful\n\
             reloaded: added a, b; enabled d; disabled e; reconnected c; what footage may go: retain none → 7 days\n\
             [http] changed: systemctl restart framelog applies it"
        );
        assert_eq!(
            said(Reload {
                restart: names(&["storage"]),
                ..Reload::default()
            }),
            "nothing changed yet\n[storage] changed: systemctl restart framelog applies it"
        );
        assert_eq!(
            said(Reload {
                problems: names(&["f.toml:1:1: wrong"]),
                ..Reload::now(Outcome::Refused)
            }),
            "f.toml:1:1: wrong\nnothing changed: the file has errors"
        );
    }
}
