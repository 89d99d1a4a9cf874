//! The text as a scraper reads it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use framelog_core::gap::GapReason;
use framelog_store::Rules;

use super::*;
use crate::status::{Gap, Recorder};

/// Two cameras, one of which is missing, on a disk of which a part is used.
fn status() -> Status {
    let status = Status::default();
    status.starts("/p".into());
    status.opened(Recorder {
        uuid: String::new(),
        path: "/p".into(),
        since_us: 0,
        watchers: Default::default(),
    });
    for name in ["front-door", "gate"] {
        let camera = status.camera(name);
        camera.expect_nothing(true);
        camera.count(|counts| counts.connections += 3);
    }
    status.camera("gone").expect_nothing(false);
    let detail = "say \"hi\"\n".to_owned();
    let reason = GapReason::Unreachable.into();
    status
        .camera("gate")
        .set_gap(0, Some(Gap { reason, detail }));
    let keeping = Keeping {
        footage_bytes: 5_000_000_000_000,
        disk_free: 7,
        disk_total: 9,
        is_starved: true,
        ..Keeping::default()
    };
    let rules = Rules {
        max_size: Some(1),
        ..Rules::default()
    };
    status.set_limits(keeping, rules);
    status.set_rows_waiting(4);
    status.count_clock_step();
    status
}

#[test]
fn names_units_and_values_are_as_documented() {
    let text = write(&status()).unwrap();
    for line in [
        "# TYPE framelog_camera_connections counter\n",
        "framelog_camera_connections_total{camera=\"gate\"} 3\n",
        "framelog_camera_frames_dropped_total{camera=\"gate\",reason=\"disk_slow\"} 0\n",
        "framelog_camera_parts_skipped_total{camera=\"gate\",reason=\"torn\"} 0\n",
        "# UNIT framelog_camera_stored_bytes bytes\n",
        "framelog_camera_stored_bytes_total{camera=\"front-door\"} 0\n",
        "framelog_storage_up 1\n",
        "framelog_footage_bytes 5000000000000.0\n",
        "framelog_disk_free_bytes 7.0\n",
        "framelog_disk_size_bytes 9.0\n",
        "framelog_index_rows_waiting 4.0\n",
        "framelog_limit_unkept{rule=\"max_size\",camera=\"\"} 1\n",
        "framelog_clock_steps_total 1\n",
        "# TYPE process_cpu_seconds counter\n",
    ] {
        assert!(text.contains(line), "no {line}in:\n{text}");
    }
    assert!(!text.contains("camera=\"gone\""), "{text}");
    assert!(text.ends_with("\n# EOF\n"), "{text}");
}

#[test]
fn nothing_is_up_before_the_storage_is_open() {
    let text = write(&Status::default()).unwrap();
    assert!(text.contains("framelog_storage_up 0\n"), "{text}");
}

/// OpenMetrics names a counter's family without `_total`; promtool's linter reads the older format, which names it with it.
fn older_format(text: &str) -> String {
    let counters: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut older = String::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let (mark, kind, family, rest) = (words.next(), words.next(), words.next(), words.next());
        match (mark, kind, family, rest) {
            (Some("#"), Some(kind), Some(family), Some(rest)) if counters.contains(&family) => {
                older.push_str(&format!("# {kind} {family}_total {rest}\n"));
            }
            _ => older.push_str(&format!("{line}\n")),
        }
    }
    older
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let checking = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut checking = match checking {
        Ok(checking) => checking,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: promtool is not installed (scripts/setup-tests)");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let text = older_format(&write(&status()).unwrap());
    let mut stdin = checking.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = checking.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}
