//! Headless Chromium, as people's browser. Not for what it is shown, or how it says what it saw.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Chromium, ended when dropped.
#[derive(Debug)]
pub struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Browser {
    /// Shows a page, with its profile in this directory; `None` where Chromium is not installed.
    pub fn show(url: &str, profile: &Path) -> Option<Self> {
        let child = Command::new("chromium")
            // It refuses to run as root with its sandbox, and containers have a small /dev/shm.
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--no-first-run",
                "--disable-extensions",
                "--disable-background-networking",
            ])
            .arg("--autoplay-policy=no-user-gesture-required")
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(["--remote-debugging-port=0", url])
            // Where local time is not UTC by half an hour too, so that one taken for the other shows.
            .env("TZ", "Asia/Kolkata")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Self(child)),
            Err(error) => {
                eprintln!("skipped: no chromium ({error}); scripts/setup-tests installs it");
                None
            }
        }
    }
}
