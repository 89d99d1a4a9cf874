//! The end of a span as people write it: a time, or how long after the beginning.

use chrono::{Local, TimeZone};

use super::{TimeError, WRITABLE_US, parse, read_span};
use crate::cli::Failure;
use crate::wall::now_us;

/// Where a span ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Then, microseconds since the Unix epoch.
    At(i64),
    /// So many microseconds after its beginning.
    After(i64),
}

impl End {
    /// When that is, of a span that begins at `from_us`.
    ///
    /// # Errors
    /// If it counts from a beginning that was not given, or is too far from that.
    pub fn of_span(self, from_us: Option<i64>) -> Result<i64, Failure> {
        match (self, from_us) {
            (End::At(us), _) => Ok(us),
            (End::After(span_us), Some(from_us)) => {
                let us = from_us.saturating_add(span_us);
                let text = "--to".to_owned();
                let too_far = || Failure::usage(TimeError::TooFar { text });
                WRITABLE_US.contains(&us).then_some(us).ok_or_else(too_far)
            }
            (End::After(_), None) => Err(Failure::usage(
                "--to with a + counts from --from on; give --from too",
            )),
        }
    }
}

/// Reads the end of a span that was given on the command line: `+10min`, or a time as in [`super::argument`].
///
/// # Errors
/// As [`parse`].
pub fn end_argument(text: &str) -> Result<End, TimeError> {
    read(text, now_us(), &Local)
}

fn read<Z: TimeZone>(text: &str, now_us: i64, zone: &Z) -> Result<End, TimeError> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.strip_prefix('+').and_then(read_span) {
        Some(span_us) => span_us.map(End::After).ok_or_else(|| TimeError::TooFar {
            text: text.to_owned(),
        }),
        None => parse(text, now_us, zone).map(End::At),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn end(text: &str) -> Result<End, TimeError> {
        read(text, 1_000_000_000, &Utc)
    }

    #[test]
    fn a_span_counts_from_the_beginning_and_a_time_stands_for_itself() {
        let after = end("+1h 10min").unwrap();
        assert_eq!(after, End::After(4_200_000_000));
        assert_eq!(after.of_span(Some(5)), Ok(4_200_000_005));
        assert_eq!(after.of_span(None).unwrap_err().code, 2);
        let at = end("-10s").unwrap();
        assert_eq!(at, End::At(990_000_000));
        assert_eq!(
            (at.of_span(Some(5)), at.of_span(None)),
            (Ok(990_000_000), Ok(990_000_000))
        );
    }

    #[test]
    fn what_is_no_end_is_refused_with_the_accepted_forms() {
        for text in ["+", "+5", "+5parsecs", "+10:00", "later"] {
            let error = end(text).unwrap_err().to_string();
            assert!(error.contains("\"+10min\""), "{error}");
        }
        let far = end("+18446744073709551615d");
        assert!(matches!(far, Err(TimeError::TooFar { .. })), "{far:?}");
        let far = end("+100000000 days").unwrap();
        assert_eq!(far.of_span(Some(5)).unwrap_err().code, 2);
    }
}
