//! How long things took.

use std::time::{Duration, Instant};

/// How long something took, each time.
#[derive(Default)]
pub struct Timed(pub Vec<Duration>);

impl Timed {
    /// Notes how long this takes.
    pub async fn of<T>(&mut self, asked: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let found = asked.await;
        self.0.push(began.elapsed());
        found
    }

    /// As a row of a table.
    pub fn print(mut self, rows: i64, what: &str) {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let at = |share: f64| self.0.get((last as f64 * share).round() as usize).copied();
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| at(share).unwrap_or_default());
        println!("| {rows} | {what} | {p50:.1?} | {p99:.1?} | {max:.1?} |");
    }
}
