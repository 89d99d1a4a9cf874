//! The long form of the fault suite: breaks framelog on purpose, and prints what that has cost as rows of a Markdown table.
//!
//!     cargo bench -p framelog-tests --bench faults -- kill --rounds 1000 --seed 7
//!     cargo bench -p framelog-tests --bench faults -- kill --codec h264
//!     cargo bench -p framelog-tests --bench faults -- --short

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

#[expect(dead_code, reason = "the tests use the rest")]
mod faults;
#[expect(dead_code, unused_imports, reason = "the tests use the rest")]
mod support;

use faults::{Codec, Plan, Scenario, figures};

/// Breaks framelog on purpose, and prints what that has cost as a Markdown table.
#[derive(Parser)]
struct Arguments {
    /// Which scenarios, in this order [default: all]
    scenarios: Vec<Scenario>,
    /// As little as the tests do, in place of a release's numbers
    #[arg(long)]
    short: bool,
    /// How often
    #[arg(long)]
    rounds: Option<u32>,
    /// How long
    #[arg(long)]
    seconds: Option<u64>,
    /// What is random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the cameras send
    #[arg(long, value_enum, default_value_t = Codec::Mjpeg)]
    codec: Codec,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn plan(&self, scenario: Scenario) -> Plan {
        let plan = match self.short {
            true => scenario.short(self.seed),
            false => scenario.long(self.seed),
        };
        Plan {
            rounds: self.rounds.unwrap_or(plan.rounds),
            duration: self.seconds.map_or(plan.duration, Duration::from_secs),
            codec: self.codec,
            ..plan
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let scenarios = match &arguments.scenarios[..] {
        [] => &Scenario::ALL,
        some => some,
    };
    figures::print_head();
    let mut all_kept = true;
    for scenario in scenarios {
        let plan = arguments.plan(*scenario);
        let Some(findings) = scenario.run(&plan) else {
            continue;
        };
        findings.print(scenario.name(), &plan);
        for fault in findings.faults.iter().take(20) {
            eprintln!("{}: {fault}", scenario.name());
        }
        all_kept &= findings.figures.iter().all(|figure| figure.kept);
    }
    if all_kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
