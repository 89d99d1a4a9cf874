//! A child process, and what it has cost (proc(5)). Every child is ended when its handle goes.

use std::fs;
use std::io;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Ticks a second in `/proc/<pid>/stat`: part of Linux's interface, whatever the kernel's own rate.
const TICKS: f64 = 100.0;
/// How long a process has to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a process, all its threads included, has used since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU seconds in user mode.
    pub user_s: f64,
    /// CPU seconds in the kernel.
    pub sys_s: f64,
    /// Bytes given to write calls.
    pub written_bytes: u64,
    /// Largest resident set, in bytes.
    pub rss_bytes: u64,
}

impl Usage {
    /// CPU seconds in all.
    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.sys_s
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), |all, one| Self {
            user_s: all.user_s + one.user_s,
            sys_s: all.sys_s + one.sys_s,
            written_bytes: all.written_bytes + one.written_bytes,
            rss_bytes: all.rss_bytes + one.rss_bytes,
        })
    }
}

/// A child of this process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    rss_bytes: u64,
}

impl Process {
    /// Starts it.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self {
            child: command.spawn()?,
            rss_bytes: 0,
        })
    }

    /// The handle of the standard library, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// CPU seconds so far.
    pub fn cpu_s(&self) -> io::Result<f64> {
        let (user_s, sys_s) = self.times()?;
        Ok(user_s + sys_s)
    }

    /// Notes its largest resident set so far: a process that has ended shows it no more.
    pub fn note_rss(&mut self) -> io::Result<()> {
        self.rss_bytes = 1024 * self.field("status", "VmHWM:")?;
        Ok(())
    }

    /// Asks it to end, and gives what it has used in its whole life. Costs are read between its end and its burial.
    pub fn end(mut self) -> io::Result<Usage> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let asked = Instant::now();
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(pid), ended)?.is_none() {
            if asked.elapsed() > PATIENCE {
                return Err(io::Error::other(format!(
                    "process {pid:?} did not end within {PATIENCE:?} of SIGTERM"
                )));
            }
            sleep(Duration::from_millis(10));
        }
        let (user_s, sys_s) = self.times()?;
        let written_bytes = self.field("io", "wchar:")?;
        self.child.wait()?;
        Ok(Usage {
            user_s,
            sys_s,
            written_bytes,
            rss_bytes: self.rss_bytes,
        })
    }

    fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
    }

    fn times(&self) -> io::Result<(f64, f64)> {
        let stat = self.read("stat")?;
        // The name before it may hold anything, blanks and parentheses included.
        let (_, fields) = stat.rsplit_once(") ").unwrap_or_default();
        let mut times = fields.split(' ').skip(11).map(str::parse::<f64>);
        match (times.next(), times.next()) {
            (Some(Ok(user)), Some(Ok(sys))) => Ok((user / TICKS, sys / TICKS)),
            _ => Err(io::Error::other(format!("no times in {stat:?}"))),
        }
    }

    fn field(&self, file: &str, name: &str) -> io::Result<u64> {
        let text = self.read(file)?;
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| io::Error::other(format!("no {name} in {file}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
