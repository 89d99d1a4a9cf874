//! How a session is kept alive (RFC 2326 §12.37), and how often. Not for the requests' form.

use std::time::Duration;

use framelog_core::rtsp::headers::names_method;
use tokio::time::Instant;

/// The longest pause between two requests: routers forget a silent connection too.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The same where the camera doesn't say how long a session lives: some end it after 30 s (mediamtx #698).
const PAUSE_UNSAID: Duration = Duration::from_secs(20);
/// The shortest, whatever timeout the camera names.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// By which method, first the least likely to have side effects. OPTIONS is last: for some cameras it ends the stream (row 98).
const METHODS: [&str; 3] = ["GET_PARAMETER", "SET_PARAMETER", "OPTIONS"];

/// The choice of a method.
#[derive(Debug, Default)]
pub struct KeepAlive {
    /// Those to choose from; the first is in use.
    methods: Vec<&'static str>,
    /// See [`Self::tried`].
    tried: Option<(&'static str, Instant)>,
}

impl KeepAlive {
    /// First by what the camera names in Public; without that OPTIONS, which every camera knows. Then by any other: many know more than they name.
    /// By what is of no use last, and by none if all are to be avoided; reports of what was received go to the camera all the same.
    pub fn new(public: Option<&[u8]>, avoided: &[&str], useless: &[&str]) -> Self {
        let named = |method: &str| public.is_some_and(|public| names_method(public, method));
        let mut methods = METHODS.to_vec();
        methods.retain(|method| !avoided.contains(method));
        let is_known = |method: &str| method == "OPTIONS" || named(method);
        methods.sort_by_key(|method| (useless.contains(method), !is_known(method)));
        Self {
            methods,
            tried: None,
        }
    }

    /// The method to use next.
    pub fn method(&self) -> Option<&'static str> {
        self.methods.first().copied()
    }

    /// The method is used now.
    pub fn used(&mut self, method: &'static str) {
        if self.tried.is_none_or(|(tried, _)| tried != method) {
            self.tried = Some((method, Instant::now()));
        }
    }

    /// The method that was used last, and when that was done first.
    pub fn tried(&self) -> Option<(&'static str, Instant)> {
        self.tried
    }

    /// The camera refused the method: another is used, if there is one.
    pub fn refused(&mut self, method: &str) {
        if self.methods.len() > 1 && self.method() == Some(method) {
            self.methods.remove(0);
        }
    }
}

/// How long to wait between two requests, where a session is said to live so long without.
pub fn pause(lifetime: Option<Duration>) -> Duration {
    lifetime.map_or(PAUSE_UNSAID, |lifetime| {
        (lifetime / 2).clamp(PAUSE_MIN, PAUSE_MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_is_one_that_the_camera_names() {
        let method =
            |public: Option<&str>| KeepAlive::new(public.map(str::as_bytes), &[], &[]).method();
        assert_eq!(method(None), Some("OPTIONS"));
        assert_eq!(method(Some("OPTIONS, DESCRIBE, SETUP")), Some("OPTIONS"));
        assert_eq!(
            method(Some("OPTIONS, SET_PARAMETER")),
            Some("SET_PARAMETER")
        );
        assert_eq!(
            method(Some("options,get_parameter,SET_PARAMETER")),
            Some("GET_PARAMETER")
        );
    }

    #[test]
    fn where_all_that_are_named_are_to_be_avoided_others_are_tried() {
        let method =
            |avoided: &[&str]| KeepAlive::new(Some(b"GET_PARAMETER"), avoided, &[]).method();
        assert_eq!(method(&["OPTIONS"]), Some("GET_PARAMETER"));
        assert_eq!(method(&["GET_PARAMETER"]), Some("OPTIONS"));
        assert_eq!(method(&["GET_PARAMETER", "OPTIONS"]), Some("SET_PARAMETER"));
        assert_eq!(method(&METHODS), None);
        assert_eq!(
            KeepAlive::new(None, &["OPTIONS"], &[]).method(),
            Some("GET_PARAMETER")
        );
    }

    #[test]
    fn what_is_of_no_use_gives_way_to_what_is_not_named_and_is_better_than_none() {
        let method = |avoided: &[&str], useless: &[&str]| {
            KeepAlive::new(Some(b"OPTIONS, SET_PARAMETER"), avoided, useless).method()
        };
        assert_eq!(method(&[], &["SET_PARAMETER"]), Some("OPTIONS"));
        let named = ["OPTIONS", "SET_PARAMETER"];
        assert_eq!(method(&[], &named), Some("GET_PARAMETER"));
        assert_eq!(method(&["GET_PARAMETER"], &named), Some("SET_PARAMETER"));
        assert_eq!(method(&named, &["GET_PARAMETER"]), Some("GET_PARAMETER"));
    }

    #[test]
    fn a_refused_method_gives_way_to_the_next_and_the_last_stays() {
        let mut keep_alive = KeepAlive::new(Some(b"OPTIONS, GET_PARAMETER"), &[], &[]);
        keep_alive.refused("GET_PARAMETER");
        keep_alive.refused("GET_PARAMETER");
        assert_eq!(keep_alive.method(), Some("OPTIONS"));
        for _ in 0..2 {
            keep_alive.refused("OPTIONS");
            assert_eq!(keep_alive.method(), Some("SET_PARAMETER"));
            keep_alive.refused("SET_PARAMETER");
        }
    }

    #[test]
    fn what_is_of_no_use_is_left_where_what_is_not_named_is_refused() {
        let useless = ["OPTIONS"];
        let mut keep_alive = KeepAlive::new(Some(b"OPTIONS"), &[], &useless);
        keep_alive.refused("GET_PARAMETER");
        assert_eq!(keep_alive.method(), Some("SET_PARAMETER"));
        keep_alive.refused("SET_PARAMETER");
        assert_eq!(keep_alive.method(), Some("OPTIONS"));
    }

    #[test]
    fn half_of_the_timeout_is_waited_within_reason() {
        for (lifetime_s, pause_ms) in [
            (Some(60), 30_000),
            (Some(20), 10_000),
            (Some(5), 2_500),
            (Some(1), 500),
            (Some(3600), 30_000),
            (None, 20_000),
        ] {
            assert_eq!(
                pause(lifetime_s.map(Duration::from_secs)),
                Duration::from_millis(pause_ms)
            );
        }
    }
}
