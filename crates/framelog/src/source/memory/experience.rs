//! What the ends of RTSP connections have shown of the requests that keep a session alive. Not for the choice among those that are left.

use std::time::Duration;

use tokio::time::Instant;

/// A stream that ends within so long of the first use of a method is taken to have ended because of it...
const BLAME_TIME: Duration = Duration::from_secs(3);
/// ... unless its last packet came so long before.
const STOPPED_BEFORE: Duration = Duration::from_millis(500);

/// What connections have shown of the methods, for the next.
#[derive(Debug, Default)]
pub struct Experience {
    /// A stream went on after them.
    harmless: Vec<&'static str>,
    /// A stream ended with them, and none had gone on.
    pub fatal: Vec<&'static str>,
}

/// How a connection went, at its end.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// When its last packet came. A stream that had stopped before is not blamed on a method.
    pub last_packet: Instant,
    /// The method that was used last, and when that was done first.
    pub method: Option<(&'static str, Instant)>,
}

impl Course {
    /// Whether the stream went on after what was first done then; `None` where that can't be told.
    fn went_on(&self, since: Instant) -> Option<bool> {
        if self.last_packet > since + BLAME_TIME {
            return Some(true);
        }
        (self.last_packet + STOPPED_BEFORE > since).then_some(false)
    }
}

impl Experience {
    /// The connection has ended.
    pub fn learn(&mut self, course: Course) {
        let Some((method, since)) = course.method else {
            return;
        };
        match course.went_on(since) {
            _ if self.harmless.contains(&method) => {}
            Some(true) => self.harmless.push(method),
            Some(false) => self.fatal.push(method),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_blamed_for_the_end_of_a_stream_unless_one_has_gone_on_after_it() {
        let mut experience = Experience::default();
        let mut ended = |method, after_s: i64| {
            let now = Instant::now();
            let after = Duration::from_secs(after_s.unsigned_abs());
            experience.learn(Course {
                last_packet: if after_s < 0 {
                    now - after
                } else {
                    now + after
                },
                method: Some((method, now)),
            });
            experience.fatal.clone()
        };
        assert!(ended("OPTIONS", -10).is_empty(), "it had stopped before");
        assert!(ended("OPTIONS", 10).is_empty());
        assert!(ended("OPTIONS", 1).is_empty(), "it had gone on");
        assert_eq!(ended("GET_PARAMETER", 0), ["GET_PARAMETER"]);
    }
}
