//! What is installed beside the program: the unit's sandbox, alerts and dashboard, by the tools that read them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::Place;

const LIMIT: Duration = Duration::from_secs(20);

/// What a unit may score at most, in tenths.
const EXPOSURE_MAX: &str = "12";

fn deploy() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Runs a tool in `deploy/`; `None`, which is said, where it isn't installed.
fn tool(program: &str, arguments: &[&str]) -> Option<Output> {
    let run = Command::new(program)
        .args(arguments)
        .current_dir(deploy())
        .output();
    match run {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: {program} is not installed (scripts/setup-tests)");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

fn assert_good(output: &Output) {
    let said = [&*output.stdout, &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
}

#[test]
fn sandbox_leaves_little() {
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let arguments = ["security", "--offline=true", &threshold, "framelog.service"];
    if let Some(output) = tool("systemd-analyze", &arguments) {
        assert_good(&output);
    }
}

#[test]
fn rules_are_right_and_each_alert_is_fired_by_what_it_is_for() {
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
    ] {
        if let Some(output) = tool("promtool", &arguments) {
            assert_good(&output);
        }
    }
}

/// The names of framelog's metrics, and of those of every process, in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("framelog_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_there_are() {
    let gate = Camera::start(Listen::plainly(41), live(50));
    let place = Place::new(&gate.section("gate", "/"));
    let daemon = place.run();
    let begin = Instant::now();
    let scraped = loop {
        let scraped = place.get("/metrics");
        // Frames come, and the disk is looked at, after some seconds.
        let has_all = [
            "framelog_disk_size_bytes ",
            "framelog_camera_up{camera=\"gate\"} 1",
        ];
        if has_all.iter().all(|metric| scraped.contains(metric)) {
            break scraped;
        }
        assert!(begin.elapsed() < LIMIT, "{scraped}\n{}", place.log());
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(scraped.starts_with("HTTP/1.0 200 OK\r\n"), "{scraped}");
    assert!(
        scraped.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{scraped}"
    );
    let there_are = metrics(&scraped);
    for file in ["alerts.yml", "grafana.json"] {
        let text = std::fs::read_to_string(deploy().join(file)).expect("a file of the project");
        let asked = metrics(&text);
        assert!(asked.len() > 5, "{file}");
        let missing: Vec<_> = asked.difference(&there_are).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}");
    }
    let status = daemon.stop(LIMIT);
    assert!(status.expect("a stop in time").success());
}

#[test]
fn dashboard_is_whole() {
    let text = std::fs::read_to_string(deploy().join("grafana.json")).expect("a file");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            assert!(
                target["expr"].as_str().is_some_and(|expr| !expr.is_empty()),
                "{panel}"
            );
        }
    }
}

/// All that the program is made of, this part of each file, with every run of spaces and line ends as one space.
fn sources(part: fn(&str) -> &str) -> String {
    let mut directories = vec![deploy().join("../crates")];
    let mut text = String::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory of the project") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text += part(&std::fs::read_to_string(path).expect("text"));
            }
        }
    }
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| *word != "\\")
        .collect();
    words.join(" ").replace("\\\"", "\"")
}

/// What tests log is not the program's.
fn without_tests(source: &str) -> &str {
    let tests = source.find("#[cfg(test)]\nmod tests {");
    tests.map_or(source, |tests| &source[..tests])
}

#[test]
fn messages_that_are_explained_are_messages() {
    let page = deploy().join("../docs/troubleshooting.md");
    let page = std::fs::read_to_string(page).expect("a page of the project");
    let sources = sources(|source| source);
    let mut explained = 0;
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let first = row.split('|').nth(1).expect("a first column");
        for message in first.split('`').skip(1).step_by(2) {
            // What differs from time to time is left out with `…`.
            let pieces = message
                .split('…')
                .map(|piece| piece.trim_matches([' ', ':', ',']));
            for piece in pieces.filter(|piece| piece.len() > 3) {
                explained += 1;
                assert!(sources.contains(piece), "no message has {piece:?}");
            }
        }
    }
    assert!(explained > 40, "{explained}");
}

/// The text of every warning and error of the log, from the sources.
fn logged() -> Vec<String> {
    let sources = sources(without_tests);
    let mut found = Vec::new();
    for level in ["tracing::warn!(", "tracing::error!("] {
        for call in sources.split(level).skip(1) {
            let end = call.find(");").unwrap_or(call.len());
            let text = call[..end].rsplit('"').nth(1).unwrap_or_default();
            found.push(text.to_owned());
        }
    }
    found
}

#[test]
fn every_warning_and_error_of_the_log_is_explained() {
    let page = deploy().join("../docs/troubleshooting.md");
    let page = std::fs::read_to_string(page).expect("a page of the project");
    let explained: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let logged = logged();
    assert!(logged.len() > 30, "{logged:?}");
    let missing: Vec<&String> = logged
        .iter()
        .filter(|text| !text.starts_with("test camera"))
        .filter(|text| {
            let has = |message: &&str| message.len() > 10 && text.contains(*message);
            !explained.iter().any(has)
        })
        .collect();
    assert!(
        missing.is_empty(),
        "not in troubleshooting.md: {missing:#?}"
    );
}
