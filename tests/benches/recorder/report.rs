//! The figures, as a Markdown table, ratios first.

use std::fs;
use std::process::Command;

use crate::contender::Contender;
use crate::load::{Framing, Load};
use crate::run::Outcome;

/// What a load was, and where and when it ran.
pub fn print_heading(name: &str, load: &Load) {
    let rate = match load.interval() {
        Some(_) => format!("{} fps", load.fps),
        None => "line rate".to_owned(),
    };
    let framing = match load.framing {
        _ if load.h264 => "",
        Framing::Length => "",
        Framing::Boundary => ", without Content-Length",
        Framing::Chunked => ", in chunks without Content-Length",
    };
    let sends = match load.send_bytes {
        0 => String::new(),
        bytes => format!(", sent {bytes} bytes at a time"),
    };
    println!(
        "## Load {name}: {} cameras, {rate}, frames of {} bytes, {} s{framing}{sends}\n",
        load.cameras, load.frame_bytes, load.seconds
    );
    println!(
        "{} · {} · Linux {} · commit {} · {}\n",
        cpu_model(),
        std::thread::available_parallelism().map_or(String::new(), |n| format!("{n} cores")),
        fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim(),
        output("git", &["describe", "--always", "--dirty", "--exclude=*"]),
        output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
    );
}

/// Ratios, then a row for each recorder.
pub fn print(outcomes: &[Outcome]) {
    let of = |contender| {
        outcomes
            .iter()
            .find(|outcome| outcome.contender == contender)
    };
    if let Some(framelog) = of(Contender::Framelog) {
        let ours = framelog.cpu_s_per_gb();
        if let Some(floor) = of(Contender::Floor) {
            println!(
                "CPU per GB kept: framelog is **{:.2} ×** the floor",
                ours / floor.cpu_s_per_gb()
            );
        }
        for peer in [Contender::Ffmpeg, Contender::Gstreamer] {
            if let Some(outcome) = of(peer) {
                println!(
                    "CPU per GB kept: {} is **{:.1} ×** framelog",
                    peer.name(),
                    outcome.cpu_s_per_gb() / ours
                );
            }
        }
        println!();
    }
    println!(
        "| Recorder | cameras | CPU s per GB kept | user | sys | CPU ms per 1,000 frames | cores busy once all have sent | peak RSS, MB | sent | stored | lost | not sent | written, MB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for outcome in outcomes {
        print_row(outcome);
    }
    println!();
}

fn print_row(outcome: &Outcome) {
    let Outcome { usage, sent, .. } = outcome;
    let count = |count: Option<i128>| count.map_or("–".to_owned(), |count| count.to_string());
    let stored = outcome.stored.map(i128::from);
    let lost = stored.map(|stored| i128::from(sent.frames) - stored);
    println!(
        "| {} | {} | {:.2} | {:.2} | {:.2} | {:.1} | {:.3} | {:.0} | {} | {} | {} | {} | {:.0} |",
        outcome.contender.name(),
        outcome.cameras,
        outcome.cpu_s_per_gb(),
        usage.user_s / outcome.kept_gb(),
        usage.sys_s / outcome.kept_gb(),
        usage.cpu_s() * 1e6 / outcome.kept_frames() as f64,
        outcome.cores,
        usage.rss_bytes as f64 / 1e6,
        sent.frames,
        count(stored),
        count(lost),
        sent.skipped,
        usage.written_bytes as f64 / 1e6,
    );
    if sent.connections != outcome.cameras as u64 {
        println!(
            "<!-- {} connected {} times -->",
            outcome.contender.name(),
            sent.connections
        );
    }
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or(String::new(), |(_, model)| model.trim().to_owned())
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}
