//! What this process and its threads have used so far, as Linux counts it.

use std::fs;
use std::io;
use std::time::Duration;

/// Threads that write or read the index, as the kernel cuts their names: its own, SQLite's, and the runtime's.
const INDEX_THREADS: [&str; 3] = ["index", "sqlx-sqlite-wor", "tokio-rt-worker"];

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor time of the threads that write the index, or read it.
    pub index_cpu: Duration,
    /// Bytes handed to the kernel in writes.
    pub written: u64,
}

impl Usage {
    /// What it is now.
    pub fn now() -> io::Result<Self> {
        let mut usage = Self {
            index_cpu: Duration::ZERO,
            written: written()?,
        };
        for thread in fs::read_dir("/proc/self/task")? {
            let path = thread?.path();
            let name = fs::read_to_string(path.join("comm"))?;
            let times = fs::read_to_string(path.join("schedstat"))?;
            let ran_ns = times.split(' ').next().and_then(|ns| ns.parse().ok());
            let ran = Duration::from_nanos(ran_ns.unwrap_or_default());
            if INDEX_THREADS.contains(&name.trim()) {
                usage.index_cpu += ran;
            }
        }
        Ok(usage)
    }

    /// What was used since then. Threads that have ended meanwhile are left out.
    pub fn since(self, then: Self) -> Self {
        Self {
            index_cpu: self.index_cpu.saturating_sub(then.index_cpu),
            written: self.written.saturating_sub(then.written),
        }
    }
}

fn written() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/io")?;
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix("wchar: ")?.parse().ok());
    number.ok_or_else(|| io::Error::other("/proc/self/io: no wchar"))
}
