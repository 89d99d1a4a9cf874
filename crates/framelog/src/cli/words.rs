//! Amounts as people read them: bytes, durations, counts, and text that came from outside. Not for programs: those get integers.

/// Writes a number of bytes with three digits: `431 MB` (powers of ten, as disks are sold).
pub fn bytes(count: u64) -> String {
    let mut unit = 1_000_u64;
    let names = ["kB", "MB", "GB", "TB", "PB"];
    if count < unit {
        return format!("{count} B");
    }
    for name in names {
        let next = unit * 1_000;
        // The next unit begins where three digits would round up to it.
        if count < next - unit / 2 || name == "PB" {
            let rounded = |unit: u64| (u128::from(count) + u128::from(unit) / 2) / u128::from(unit);
            return match rounded(unit / 10) {
                tenths @ 0..100 => format!("{}.{} {name}", tenths / 10, tenths % 10),
                _ => format!("{} {name}", rounded(unit)),
            };
        }
        unit = next;
    }
    format!("{count} B")
}

/// Writes a duration in its two largest units: `1 h 02 min`, `4.2 s`, `35 ms`. Negative ones get a minus sign.
pub fn duration(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    let us = us.unsigned_abs();
    let seconds = us / 1_000_000;
    let text = match seconds {
        0 => format!("{} ms", us / 1_000),
        1..60 => format!("{seconds}.{} s", us / 100_000 % 10),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    };
    format!("{sign}{text}")
}

/// Writes a number of days as people count them: `14 days`, `3.5 days`, `12.0 hours`, `40 minutes`, `less than a minute`.
pub fn days(days: f64) -> String {
    let hours = days * 24.0;
    match days {
        10.0.. => format!("{days:.0} days"),
        2.0.. => format!("{days:.1} days"),
        _ if hours >= 1.0 => format!("{hours:.1} hours"),
        _ => match (hours * 60.0).round() {
            ..1.0 => "less than a minute".to_owned(),
            minutes => count(minutes as u64, "minute"),
        },
    }
}

/// Says that so many days fit, as in [`days`]: `14 days fit`, `1 minute fits`.
pub fn days_fit(number: f64) -> String {
    let text = days(number);
    match text.ends_with('s') {
        true => format!("{text} fit"),
        false => format!("{text} fits"),
    }
}

/// Writes a count with its noun: `1 frame`, `2 frames`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Text from outside, fit for a terminal: control characters are replaced.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_have_at_most_three_digits() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (24_321, "24 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (2_000_000_000_000, "2.0 TB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(u64::MAX), "18447 PB");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (us, text) in [
            (0, "0 ms"),
            (35_999, "35 ms"),
            (4_200_000, "4.2 s"),
            (192_000_000, "3 min 12 s"),
            (3_720_000_000, "1 h 02 min"),
            (-90_000_000_000, "-1 d 01 h"),
        ] {
            assert_eq!(duration(us), text);
        }
    }

    #[test]
    fn what_fits_is_told_in_words_that_go_together() {
        for (days, text) in [
            (14.2, "14 days fit"),
            (0.5, "12.0 hours fit"),
            (2.0 / 1440.0, "2 minutes fit"),
            (1.2 / 1440.0, "1 minute fits"),
            (0.4 / 1440.0, "less than a minute fits"),
            (0.0, "less than a minute fits"),
        ] {
            assert_eq!(days_fit(days), text);
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }

    proptest! {
        #[test]
        fn no_amount_panics(number: u64, us: i64) {
            prop_assert!(bytes(number).len() <= 9);
            prop_assert!(!duration(us).is_empty());
        }
    }
}
