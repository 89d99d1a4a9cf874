//! What a running recorder takes of its machine (proc(5)).

use std::fs;

/// Ticks a second in `/proc/<pid>/stat`: part of Linux's interface, whatever the kernel's own rate.
const TICKS: f64 = 100.0;

/// One moment of a process. What can't be read, because the process is gone, is 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident set, bytes.
    pub rss: u64,
    /// The largest that it has been, bytes.
    pub peak_rss: u64,
    /// CPU seconds since its start, user and system.
    pub cpu_s: f64,
    /// Open files.
    pub files: usize,
    /// Threads.
    pub threads: usize,
}

/// Looks at a process.
pub fn usage(pid: u32) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| -> u64 {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value
            .and_then(|value| value.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it may hold anything, blanks and parentheses included.
    let (_, times) = stat.rsplit_once(") ").unwrap_or_default();
    let ticks = times.split(' ').skip(11).take(2);
    Usage {
        rss: field("VmRSS:") << 10,
        peak_rss: field("VmHWM:") << 10,
        cpu_s: ticks
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum::<f64>()
            / TICKS,
        files: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count),
        threads: field("Threads:") as usize,
    }
}
