//! The metrics that every program has under the same names: memory, files, processor time. From `/proc/self`, which a sandbox leaves.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::families::Families;

/// This process at one moment; `None`: the system doesn't say.
#[derive(Debug)]
pub struct Process {
    began_s: Option<f64>,
    cpu_ms: u64,
    resident_bytes: Option<u64>,
    open_files: Option<usize>,
    files_max: Option<u64>,
}

impl Process {
    /// As it is; it began at `began_us`, since the Unix epoch.
    pub fn now(began_us: Option<i64>) -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu_ms = cpu.tv_sec * 1_000 + cpu.tv_nsec / 1_000_000;
        Self {
            began_s: began_us.map(|us| us as f64 / 1e6),
            cpu_ms: u64::try_from(cpu_ms).unwrap_or(0),
            resident_bytes: resident_bytes(),
            // Among them the one that lists them.
            open_files: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|files| files.count().saturating_sub(1)),
            files_max: getrlimit(Resource::Nofile).current,
        }
    }
}

/// The second number of `/proc/self/statm`: proc_pid_statm(5).
fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        families.seconds_counter(
            "process_cpu",
            "Processor time used",
            self.cpu_ms as f64 / 1e3,
        )?;
        if let Some(began_s) = self.began_s {
            let help = "When the process began, since the Unix epoch";
            families.gauge("process_start_time", help, Some(Unit::Seconds), began_s)?;
        }
        if let Some(bytes) = self.resident_bytes {
            let help = "Memory in use";
            families.gauge(
                "process_resident_memory",
                help,
                Some(Unit::Bytes),
                bytes as f64,
            )?;
        }
        if let Some(files) = self.open_files {
            families.gauge("process_open_fds", "Open files", None, files as f64)?;
        }
        if let Some(files) = self.files_max {
            families.gauge("process_max_fds", "Most open files", None, files as f64)?;
        }
        Ok(())
    }
}
