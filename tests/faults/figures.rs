//! Figures: what a scenario found, beside what is promised, as rows of a Markdown table.

use std::process::Command;

use super::{Codec, Plan};

/// One figure, its worst case.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was counted or measured.
    pub name: &'static str,
    /// What came of it, with its unit.
    pub result: String,
    /// What is promised.
    pub goal: &'static str,
    /// Whether that was kept.
    pub kept: bool,
    /// Whether it is a count, which no busy machine can change.
    pub counted: bool,
}

impl Figure {
    /// A count that must be nought.
    pub fn nought(name: &'static str, count: u64) -> Self {
        Self {
            name,
            result: count.to_string(),
            goal: "0",
            kept: count == 0,
            counted: true,
        }
    }

    /// A count that must be nought once framelog has what it takes; until then it is only shown.
    pub fn nought_once(able: bool, name: &'static str, count: u64) -> Self {
        match able {
            true => Self::nought(name, count),
            false => Self::plain(name, count),
        }
    }

    /// A measure with a limit.
    pub fn limited(name: &'static str, result: String, goal: &'static str, kept: bool) -> Self {
        Self {
            name,
            result,
            goal,
            kept,
            counted: false,
        }
    }

    /// A figure that promises nothing.
    pub fn plain(name: &'static str, result: impl ToString) -> Self {
        Self {
            name,
            result: result.to_string(),
            goal: "",
            kept: true,
            counted: false,
        }
    }
}

/// What a scenario did and found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How often or how long, in words.
    pub rounds: String,
    /// The figures.
    pub figures: Vec<Figure>,
    /// Each fault that was found, one line each.
    pub faults: Vec<String>,
}

impl Findings {
    /// Panics unless every promise was kept that is a count.
    pub fn assert_counts_kept(&self) {
        let broken = |figure: &&Figure| figure.counted && !figure.kept;
        let broken: Vec<_> = self.figures.iter().filter(broken).collect();
        assert!(broken.is_empty(), "{broken:#?}\n{}", self.faults.join("\n"));
    }

    /// Prints the figures, a row each.
    pub fn print(&self, scenario: &str, plan: &Plan) {
        let commit = commit();
        let seed = plan.seed;
        let scenario = match plan.codec {
            Codec::Mjpeg => scenario.to_owned(),
            Codec::MjpegWithoutLength => format!("{scenario}, without length"),
            Codec::H264 => format!("{scenario}, H.264"),
            Codec::H265 => format!("{scenario}, H.265"),
        };
        for figure in &self.figures {
            let mark = if figure.kept { "" } else { " **not kept**" };
            println!(
                "| {scenario}: {} | {} | {seed} | {}{mark} | {} | {commit} |",
                figure.name, self.rounds, figure.result, figure.goal
            );
        }
    }
}

/// Prints the head of the table.
pub fn print_head() {
    println!(
        "| Figure | rounds | seed | worst case | promised | commit |\n|---|---|--:|---|---|---|"
    );
}

/// The commit that is measured, with `+` where files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output();
        output.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        })
    };
    let dirty = !git(&["status", "--porcelain"]).is_empty();
    format!(
        "{}{}",
        git(&["rev-parse", "--short", "HEAD"]),
        if dirty { "+" } else { "" }
    )
}

/// The value below which this share of them lies; 0 if there is none.
pub fn quantile(values: &[i64], share: f64) -> i64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(0)
}

/// Median, 99th percentile and largest of values in µs, in ms.
pub fn quantiles_ms(values_us: &[i64]) -> String {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(values_us, share) / 1_000);
    format!("{p50}, {p99}, {max} ms")
}
