//! What the ends of RTSP connections have shown of what we send while a stream runs. Not for the choice among what is left.

use std::time::Duration;

use tokio::time::Instant;

/// A stream that ends within so long of the first use of a method, or report, is taken to have ended because of it...
const BLAME_TIME: Duration = Duration::from_secs(3);
/// ... unless its last packet came so long before.
const STOPPED_BEFORE: Duration = Duration::from_millis(500);

/// A connection that ends younger than this may have ended for want of something that keeps it alive: few sessions live longer without.
const AGE_MAX: Duration = Duration::from_secs(600);
/// Ages at which connections end are the same if they differ by this part of them at most.
const ALIKE: u32 = 8;
/// So many streams in a row have to end with the first report: most servers want them.
const REPORTS_MAX: u32 = 2;

/// What connections have shown of the methods, for the next.
#[derive(Debug, Default)]
pub struct Experience {
    /// A stream went on after them.
    harmless: Vec<&'static str>,
    /// A stream ended with them, and none had gone on.
    pub fatal: Vec<&'static str>,
    /// Connections ended at the same age each time though these were used: OPTIONS is answered and keeps no session alive (EvoStream,
    /// Streamedian #73).
    pub useless: Vec<&'static str>,
    /// The method that the last connection was kept alive by, or that there was none, and how old it became.
    last: Option<(Option<&'static str>, Duration)>,
    /// So many streams in a row have ended with the first report.
    ended_by_report: u32,
}

/// How a connection went, at its end.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// When its packets could begin to come.
    pub began: Instant,
    /// When its last packet came. A stream that had stopped before is not blamed on a method.
    pub last_packet: Instant,
    /// The method that was used last, and when that was done first.
    pub method: Option<(&'static str, Instant)>,
    /// There was a method to use.
    pub has_method: bool,
    /// When the first report went over the connection, between its packets.
    pub report: Option<Instant>,
}

impl Course {
    fn age(&self) -> Duration {
        self.last_packet.saturating_duration_since(self.began)
    }

    /// Whether the stream went on after what was first done then; `None` where that can't be told.
    fn went_on(&self, since: Instant) -> Option<bool> {
        if self.last_packet > since + BLAME_TIME {
            return Some(true);
        }
        (self.last_packet + STOPPED_BEFORE > since).then_some(false)
    }
}

impl Experience {
    /// Whether the camera bears reports between its packets. GStreamer can be told to send none (`do-rtcp`), because some don't.
    pub fn bears_reports(&self) -> bool {
        self.ended_by_report < REPORTS_MAX
    }

    /// The connection has ended.
    pub fn learn(&mut self, course: Course) {
        let is_young = course.age() < AGE_MAX;
        match course.report.and_then(|since| course.went_on(since)) {
            Some(false) => self.ended_by_report += 1,
            Some(true) => self.ended_by_report = 0,
            None if !self.bears_reports() && is_young => self.ended_by_report = 0,
            None => {}
        }
        let went_on = course.method.and_then(|(_, since)| course.went_on(since));
        let method = course.method.map(|(method, _)| method);
        if let Some(method) = method {
            match went_on {
                _ if self.harmless.contains(&method) => {}
                Some(true) => self.harmless.push(method),
                Some(false) => self.fatal.push(method),
                None => {}
            }
            self.useless.retain(|known| is_young || *known != method);
        }
        let last = self.last.take();
        let has_lived = went_on == Some(true) || !course.has_method && course.age() > BLAME_TIME;
        if !is_young || !has_lived {
            return;
        }
        self.last = Some((method, course.age()));
        let is_alike = |(before, age): (Option<&str>, Duration)| {
            before == method && age.abs_diff(course.age()) <= course.age() / ALIKE
        };
        match method {
            _ if !last.is_some_and(is_alike) => {}
            // What is avoided in vain is tried again.
            None => self.fatal.clear(),
            Some(method) if !self.useless.contains(&method) => self.useless.push(method),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a connection that became so old, in seconds, and used the method from the first of these on.
    fn course(method: Option<&'static str>, since_s: u64, age_s: u64) -> Course {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        Course {
            began,
            last_packet: after(age_s),
            method: method.map(|method| (method, after(since_s))),
            has_method: method.is_some(),
            report: None,
        }
    }

    #[test]
    fn a_method_is_blamed_for_the_end_of_a_stream_unless_one_has_gone_on_after_it() {
        let mut experience = Experience::default();
        let mut ended = |method, after_s: i64| {
            let age_s = 20_u64.saturating_add_signed(after_s);
            experience.learn(course(Some(method), 20, age_s));
            experience.fatal.clone()
        };
        assert!(ended("OPTIONS", -10).is_empty(), "it had stopped before");
        assert!(ended("OPTIONS", 10).is_empty());
        assert!(ended("OPTIONS", 1).is_empty(), "it had gone on");
        assert_eq!(ended("GET_PARAMETER", 0), ["GET_PARAMETER"]);
    }

    #[test]
    fn a_method_with_which_connections_end_at_the_same_age_is_useless_until_one_grows_old() {
        let useless = |ages_s: &[u64]| {
            let mut experience = Experience::default();
            for age_s in ages_s {
                experience.learn(course(Some("OPTIONS"), 20, *age_s));
            }
            experience.useless
        };
        assert_eq!(useless(&[60, 64]), ["OPTIONS"]);
        assert!(useless(&[60, 90, 60, 90]).is_empty());
        assert!(useless(&[60, 0, 60]).is_empty(), "not in a row");
        assert!(useless(&[900, 900]).is_empty(), "it has kept them alive");
        assert!(useless(&[60, 60, 900]).is_empty());
        assert!(useless(&[20, 20]).is_empty(), "that is another fault");
    }

    #[test]
    fn reports_with_which_two_streams_in_a_row_ended_are_not_sent() {
        let bears = |ages_s: &[u64]| {
            let mut experience = Experience::default();
            for age_s in ages_s {
                let mut course = course(None, 0, *age_s);
                course.report = experience
                    .bears_reports()
                    .then(|| course.began + Duration::from_secs(10));
                experience.learn(course);
            }
            experience.bears_reports()
        };
        assert!(!bears(&[10, 11]));
        assert!(bears(&[10, 60, 10]), "it had gone on");
        assert!(bears(&[5, 5]), "it had ended before");
        assert!(!bears(&[10, 10, 3600]), "it lives without");
        assert!(bears(&[10, 10, 60]), "it ends without too");
    }

    #[test]
    fn methods_that_were_all_avoided_in_vain_are_tried_again() {
        let mut experience = Experience::default();
        experience.learn(course(Some("OPTIONS"), 20, 20));
        experience.learn(course(None, 0, 3600));
        assert_eq!(experience.fatal, ["OPTIONS"], "it did live without");
        for age_s in [60, 600, 60, 90, 0, 0, 60] {
            experience.learn(course(None, 0, age_s));
            assert_eq!(experience.fatal, ["OPTIONS"], "it may be another fault");
        }
        experience.learn(course(None, 0, 64));
        assert!(experience.fatal.is_empty());
    }
}
