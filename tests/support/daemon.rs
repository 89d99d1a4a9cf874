//! The recorder as a child process, in a directory of its own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::account::assert_adds_up;
use super::index::Index;
use super::planted::Planted;

/// A program that a test may run.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framelog-under-test"));
    command
        .env_remove("FRAMELOG_CONFIG")
        .env_remove("FRAMELOG_LOG")
        .stdin(Stdio::null());
    command
}

/// A directory with a configuration, a storage directory, and what the recorder says. Whatever the test is about, it fails if a secret of
/// the configuration is in what was logged, printed, answered or stored here.
#[derive(Debug)]
pub struct Place {
    directory: TempDir,
    planted: Mutex<Planted>,
}

impl Place {
    /// With these cameras: the TOML below `[storage]` and `[http]`.
    pub fn new(cameras: &str) -> Self {
        let place = Self {
            directory: TempDir::new().expect("a temporary directory"),
            planted: Mutex::default(),
        };
        place.configure(cameras);
        place
    }

    /// Replaces the cameras.
    pub fn configure(&self, cameras: &str) {
        let storage = self.storage();
        let text = format!(
            "[storage]\npath = {storage:?}\n\n[http]\nlisten = \"127.0.0.1:0\"\n\n{cameras}"
        );
        self.write_config(&text);
    }

    /// Replaces the whole file.
    pub fn write_config(&self, text: &str) {
        fs::write(self.config(), text).expect("a writable temporary directory");
        self.plant_of_config(&[]);
    }

    /// What must show nowhere either: a secret that stands elsewhere in the configuration, or is sent to the recorder.
    pub fn plant(&self, secret: &str) {
        self.planted().add("admin", secret);
    }

    /// The secrets of the file as it is now; it may be replaced.
    fn plant_of_config(&self, environment: &[(&str, &str)]) {
        self.planted().add_of(&self.config(), environment);
    }

    fn planted(&self) -> MutexGuard<'_, Planted> {
        // One who found a secret has panicked, and is heard already.
        self.planted
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Fails if a secret is in this.
    pub fn assert_clean(&self, what: &str, bytes: &[u8]) {
        let leaks = self.planted().found_in(what, bytes);
        assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    }

    /// Where secrets are in what was logged and stored, in words. The end of the test asks too, unless it was asked for.
    pub fn leaks(&self) -> Vec<String> {
        let planted = std::mem::take(&mut *self.planted());
        if planted.is_empty() {
            return Vec::new();
        }
        let stored = self.files().into_iter().flat_map(|file| {
            // Some tests take away the disk, or the right to read it.
            let bytes = fs::read(&file).unwrap_or_default();
            planted.found_in(&file.display().to_string(), &bytes)
        });
        let logged = planted.found_in("the log", self.log().as_bytes());
        logged.into_iter().chain(stored).collect()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("framelog.toml")
    }

    /// The storage directory.
    pub fn storage(&self) -> PathBuf {
        self.directory.path().join("storage")
    }

    /// For what else a test makes.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What recorders have said here so far.
    pub fn log(&self) -> String {
        fs::read(self.path("log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// Starts a recorder.
    pub fn run(&self) -> Daemon {
        self.run_with("FRAMELOG_LOG", "info")
    }

    /// Starts a recorder with this in its environment.
    pub fn run_with(&self, variable: &str, value: &str) -> Daemon {
        self.run_in(&[(variable, value)])
    }

    /// Starts a recorder with all of this in its environment.
    pub fn run_in(&self, environment: &[(&str, &str)]) -> Daemon {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a writable temporary directory");
        self.run_logging_to(log, environment)
    }

    /// Starts a recorder that says elsewhere what it says.
    pub fn run_logging_to(&self, log: impl Into<OwnedFd>, environment: &[(&str, &str)]) -> Daemon {
        self.plant_of_config(environment);
        let log = log.into();
        let child = program()
            .args(["run", "--config"])
            .arg(self.config())
            .envs(environment.iter().copied())
            .stdout(log.try_clone().expect("a descriptor can be shared"))
            .stderr(log)
            .spawn()
            .expect("the program under test is built");
        Daemon {
            child,
            storage: self.storage(),
        }
    }

    /// Runs another command of the program to its end.
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.command_in(&[], arguments)
    }

    /// Runs another command with this in its environment.
    pub fn command_in(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
        self.plant_of_config(environment);
        let output = program()
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(self.directory.path())
            .output()
            .expect("the program starts");
        let what = format!("what {} prints", arguments.join(" "));
        self.assert_clean(&what, &output.stdout);
        self.assert_clean(&what, &output.stderr);
        output
    }

    /// What the recorder answers to GET /healthz; empty if it doesn't.
    pub fn health(&self) -> String {
        self.get("/healthz")
    }

    /// What the recorder answers to GET of this path; empty if it doesn't.
    pub fn get(&self, path: &str) -> String {
        let log = self.log();
        let Some(address) = log.rsplit("listening url=http://").next().and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')?;
            rest.get(..end)
        }) else {
            return String::new();
        };
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(address) {
            // An answer that doesn't come is an empty one.
            let _ = stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
            let _ = stream.read_to_string(&mut answer);
        }
        self.assert_clean(path, answer.as_bytes());
        answer
    }

    /// The index, once there is one.
    pub fn index(&self) -> Option<Index> {
        Index::open(&self.storage()).ok()
    }

    /// Waits until the index holds what is asked for; panics, with the log, when it doesn't in time.
    pub fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        found: impl Fn(&Index) -> Option<T>,
    ) -> T {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if let Some(found) = self.index().as_ref().and_then(&found) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no {what} within {limit:?}; the log:\n{}", self.log());
    }

    /// Every file below the storage directory.
    pub fn files(&self) -> Vec<PathBuf> {
        files_below(&self.storage())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let leaks = self.leaks();
            assert!(leaks.is_empty(), "{}", leaks.join("\n"));
        }
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// A running recorder. It is killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    storage: PathBuf,
}

impl Daemon {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a child has a pid");
        kill_process(pid, signal).expect("the child is ours");
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// SIGTERM, then waits for the end: its exit status, or `None` when it takes longer than the limit.
    pub fn stop(mut self, limit: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// SIGKILL, then waits for the end.
    pub fn kill(mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// Waits for the end; panics if it is a good one and its accounts don't add up.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let status = self.wait_whatever_it_did(limit);
        if status.is_some_and(|status| status.success()) {
            assert_adds_up(&self.storage);
        }
        status
    }

    /// Waits for the end of a recorder whose index or footage was tampered with: its accounts tell of more than is left.
    pub fn wait_whatever_it_did(&mut self, limit: Duration) -> Option<ExitStatus> {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
