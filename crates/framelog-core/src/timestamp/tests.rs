use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const US: i64 = 1_700_000_000_123_456;

/// What is read, less how it was written.
fn read(lines: &str) -> Stamp {
    let stamp = Stamp::read(&Headers::new(Bytes::copy_from_slice(lines.as_bytes())));
    Stamp {
        written: None,
        ..stamp
    }
}

#[test]
fn how_a_number_was_written_is_kept_where_its_digits_are_not_six() {
    let written = |text: &str| {
        let stamp = Stamp::read(&Headers::new(format!("X-Timestamp: {text}").into()));
        (stamp.written).map(|written| (written.seconds, written.count, written.digits))
    };
    assert_eq!(written("12.37000"), Some((12, 37_000, 5)));
    assert_eq!(
        written("1700000000.000123456"),
        Some((1_700_000_000, 123_456, 9))
    );
    for text in [
        "12.037000",
        "12",
        "12.",
        "12.5 ms",
        "12.5e3",
        "-1.5",
        "12.0123456789",
    ] {
        assert_eq!(written(text), None, "{text}");
    }
}

fn x_timestamp(value: &str) -> Option<i64> {
    read(&format!("X-Timestamp: {value}")).stamp_us
}

fn stamp(us: i64) -> Stamp {
    Stamp {
        stamp_us: Some(us),
        ..Stamp::default()
    }
}

#[test]
fn seconds_are_read_with_any_number_of_decimals() {
    for (text, us) in [
        ("1700000000", 1_700_000_000_000_000),
        ("1700000000.", 1_700_000_000_000_000),
        ("1700000000.1", 1_700_000_000_100_000),
        ("1700000000.12", 1_700_000_000_120_000),
        ("1700000000.123", 1_700_000_000_123_000),
        ("1700000000.1234", 1_700_000_000_123_400),
        ("1700000000.12345", 1_700_000_000_123_450),
        ("1700000000.123456", US),
        ("1700000000.1234569", US),
        ("1700000000.12345678", US),
        ("1700000000.123456789", US),
        ("1700000000.12345699999999999999", US),
        ("0.152", 152_000),
        (".5", 500_000),
        ("0000000001.5", 1_500_000),
        ("184659.604338", 184_659_604_338),
        ("978307200.000001", 978_307_200_000_001),
        ("4102444800.5", 4_102_444_800_500_000),
        ("999999999999.999999", 999_999_999_999_999_999),
    ] {
        assert_eq!(x_timestamp(text), Some(us), "{text}");
    }
}

#[test]
fn no_microsecond_is_lost_to_rounding() {
    assert_eq!(
        x_timestamp("1700000000.999999999"),
        Some(1_700_000_000_999_999)
    );
    assert_eq!(
        x_timestamp("1763805164.000001"),
        Some(1_763_805_164_000_001)
    );
    assert_eq!(
        x_timestamp("1763805164.999999"),
        Some(1_763_805_164_999_999)
    );
}

#[test]
fn the_unit_is_told_by_the_number_of_digits() {
    for (text, us) in [
        ("1700000000123", 1_700_000_000_123_000),
        ("1700000000123.456", US),
        ("1700000000123456", US),
        ("1700000000123456.0", US),
        ("1700000000123456789", US),
        ("9999999999999999999", 9_999_999_999_999_999),
    ] {
        assert_eq!(x_timestamp(text), Some(us), "{text}");
    }
    for text in [
        "20261122185244",
        "170000000012345",
        "17000000001234567",
        "170000000012345678",
        "17000000001234567890",
    ] {
        assert_eq!(x_timestamp(text), None, "{text}");
    }
}

#[test]
fn commas_exponents_blanks_quotes_and_units_are_read() {
    for text in [
        "1700000000,123456",
        "1.700000000123456e9",
        "1.700000000123456E+09",
        "17000000001234.56e-4",
        "1700000000123456e-6",
        "1.700000000123456e15",
        "1.700000000123456789e+18",
        "  1700000000.123456\t",
        "\"1700000000.123456\"",
        "'1700000000.123456'",
        "\" 1700000000.123456 \"",
        "1700000000.123456s",
        "1700000000.123456 s",
        "1700000000.123456S",
        "+1700000000.123456",
        "1700000000.123456\0",
        "1700000000.123456;",
        "1700000000.123456, ",
        "1700000000.123456 sec",
        "1700000000123.456 ms",
        "1700000000123456us",
        "1700000000123456789 ns",
        "1700000000.123456 +0000",
        "1700000000.123456 UTC",
    ] {
        assert_eq!(x_timestamp(text), Some(US), "{text:?}");
    }
    assert_eq!(x_timestamp("5000 ms"), Some(5_000_000));
    assert_eq!(x_timestamp("1.7e9"), Some(1_700_000_000_000_000));
    assert_eq!(x_timestamp("5e-7"), None);
}

#[test]
fn seconds_and_a_count_of_microseconds_are_one_stamp() {
    for (text, us) in [
        ("1700000000:123456", US),
        ("1700000000 123456", US),
        ("1700000000 5", 1_700_000_000_000_005),
        ("1700000000:0", 1_700_000_000_000_000),
        ("1700000000:  12345", 1_700_000_000_012_345),
        ("1700000000 000005", 1_700_000_000_000_005),
        ("1700000000.     5", 1_700_000_000_000_005),
    ] {
        assert_eq!(x_timestamp(text), Some(us), "{text}");
    }
    for text in [
        "1700000000:",
        "1700000000:1234567",
        "1700000000 12x",
        "1700000000 -5",
        "1700000000 1 2",
        "170000000:5",
        "17000000000:5",
    ] {
        assert_eq!(x_timestamp(text), None, "{text}");
    }
}

#[test]
fn dates_with_a_zone_are_read() {
    let us = 1_363_330_304_314_000;
    for (text, us) in [
        ("2013-03-15T10:51:44.314+04:00", us),
        ("2013-03-15T10:51:44.314+0400", us),
        ("2013-03-15 10:51:44,314 +04", us),
        ("2013-03-15 06:51:44.314 Z", us),
        ("2013-03-15T06:51:44.314 UTC", us),
        ("2013-03-15 06:51:44.314GMT", us),
        ("2013-03-15t06:51:44.314000999z", us),
        ("2013-03-15T01:21:44.314-05:30", us),
        ("20130315T065144.314Z", us),
        ("2013-03-15T06:51:44Z", us - 314_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777_000_000),
        ("Sun, 06 Nov 1994 08:49:37 gmt", 784_111_777_000_000),
        ("Sun, 06 Nov 1994 08:49:37 UTC", 784_111_777_000_000),
        ("Mon, 06 Nov 1994 08:49:37 GMT", 784_111_777_000_000),
        ("6 Nov 1994 08:49:37 GMT", 784_111_777_000_000),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777_000_000),
        ("Sun, 06-Nov-1994 08:49:37 GMT", 784_111_777_000_000),
        ("Sun Nov  6 08:49:37 UTC 1994", 784_111_777_000_000),
        ("Sun Nov  6 10:49:37 +0200 1994", 784_111_777_000_000),
        ("1994/11/06 08:49:37 GMT", 784_111_777_000_000),
        ("Sun, 06 Nov 1994 10:49:37 +0200", 784_111_777_000_000),
    ] {
        assert_eq!(x_timestamp(text), Some(us), "{text}");
    }
}

#[test]
fn a_date_without_a_zone_is_no_stamp() {
    for text in [
        "2013-03-15T10:51:44.314",
        "2013-03-15 10:51:44",
        "20130315105144",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 A",
        "Sun Nov  6 08:49:37 1994",
        "07-01-2018 11:00:43 PM",
        "11:00:43",
    ] {
        assert_eq!(x_timestamp(text), None, "{text}");
    }
}

#[test]
fn what_is_no_stamp_is_none() {
    let digits = "1".repeat(400);
    let decimals = format!("1.{digits}");
    for text in [
        "",
        " ",
        "\"\"",
        "0",
        "0.000000",
        "0e9",
        "-1",
        "-1700000000.5",
        "NaN",
        "nan",
        "inf",
        "-Infinity",
        "0x6553f100",
        &digits,
        &decimals,
        "1e400",
        "1e",
        "1e9999999999",
        "e9",
        ".",
        ",",
        "s",
        "1.2.3",
        "1,700,000,000",
        "1,2.3",
        "12 34",
        "+-1",
        "--1",
        "1700000000.12x",
        "1700000000.12 +0100",
        "1700000000.12 CET",
        "1700000000.12 m",
        "2013-03-15T10:51:44 CET",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun Nov  6 08:49:37 CET 1994",
        "1994 Nov 06 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "1.     5",
        "\u{0661}\u{0662}",
        "none",
        "2013-02-30T00:00:00Z",
        "2013-13-01T00:00:00Z",
        "2013-03-15T24:00:00Z",
        "2013-03-15T10:51:44.Z",
        "2013-03-15T10:51:44+4",
        "2013-03-15T10:51:44+24:00",
        "2013-03-15T10:51:44+04:60",
        "2013-03-15T10:60:44Z",
        "2013-03-15T10:51:61Z",
        "2013-03-15T10:51:44+04:00x",
        "1970-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2013-0315T10:51:44Z",
        "2013-03-15T10:5144Z",
    ] {
        assert_eq!(x_timestamp(text), None, "{text:?}");
    }
    assert_eq!(
        Stamp::read(&Headers::new(Bytes::from_static(b"X-Timestamp: 17\xb2.5"))),
        Stamp::default()
    );
    assert_eq!(read("Content-Type: image/jpeg"), Stamp::default());
}

#[test]
fn names_are_read_in_any_case_and_the_last_of_two_counts() {
    assert_eq!(
        read("x-timestamp:1.5\r\nX-TIMESTAMP: 2.5"),
        stamp(2_500_000)
    );
}

#[test]
fn a_field_that_can_t_be_read_displaces_none_that_can() {
    for second in ["", "0.000000", "soon"] {
        assert_eq!(
            read(&format!("X-Timestamp: 1.5\r\nX-Timestamp: {second}")),
            stamp(1_500_000),
            "{second}"
        );
    }
    assert_eq!(
        read("X-Time: 2013-03-15T10:51:44Z\r\nX-Time:"),
        stamp(1_363_344_704_000_000)
    );
}

#[test]
fn a_date_in_x_timestamp_counts_whatever_stands_beside_it() {
    for beside in [
        "X-Time: 1970-01-01T00:00:10Z",
        "X-Time: 2013-03-15T10:51:44Z",
        "X-UtcTime: 1690526144",
        "x-axis-dvr-frame-time: 1003445674:23",
    ] {
        assert_eq!(
            read(&format!("{beside}\r\nX-Timestamp: 1700000000.123456")),
            stamp(US),
            "{beside}"
        );
    }
    // Of two counts from some start, too.
    assert_eq!(
        read("X-Time: 1970-01-01T00:00:10Z\r\nX-Timestamp: 0.152"),
        stamp(152_000)
    );
    assert_eq!(read("X-Time: 1970-01-01T00:00:10Z"), stamp(10_000_000));
}

#[test]
fn row_54_axxonsoft_has_the_date_in_x_time() {
    let x_time = "X-Time: 2013-03-15T10:51:44.314+04:00\r\nX-Timestamp: 0.152";
    assert_eq!(read(x_time), stamp(1_363_330_304_314_000));
    assert_eq!(read("X-Time: soon\r\nX-Timestamp: 0.152"), stamp(152_000));
    assert_eq!(read("X-Time: 12.5\r\nX-Timestamp: 0.152"), stamp(152_000));
}

#[test]
fn row_55_kasa_has_the_second_in_x_utctime() {
    let both = Stamp {
        stamp_us: Some(295_528_317_000),
        wall_second_us: Some(1_690_526_144_000_000),
        ..Stamp::default()
    };
    assert_eq!(
        read("X-UtcTime:1690526144\r\nX-Timestamp: 295528.317000"),
        both
    );
    assert_eq!(
        read("X-UtcTime:1690526144.9\r\nX-Timestamp: 295528.317000"),
        both
    );
    assert_eq!(read("X-UtcTime:1690526144"), stamp(1_690_526_144_000_000));
    assert_eq!(
        read("X-UtcTime:1690526144\r\nX-Timestamp: 0.000000"),
        stamp(1_690_526_144_000_000)
    );
    assert_eq!(
        read("X-UtcTime:1690526144\r\nX-Timestamp: 1690526144.317"),
        stamp(1_690_526_144_317_000)
    );
    assert_eq!(
        read("X-UtcTime:never\r\nX-Timestamp: 295528.317000"),
        stamp(295_528_317_000)
    );
}

#[test]
fn row_56_axis_counts_hundredths_behind_a_colon() {
    assert_eq!(
        read("x-axis-dvr-frame-time: 1003445674:23"),
        stamp(1_003_445_674_230_000)
    );
    assert_eq!(
        read("x-axis-dvr-frame-time: 1003445674:5"),
        stamp(1_003_445_674_050_000)
    );
    assert_eq!(
        read("x-axis-dvr-frame-time: 1003445674:23\r\nX-Timestamp: 1.5"),
        stamp(1_500_000)
    );
    for value in [
        "1003445674:",
        ":23",
        "1003445674:123",
        "-1:23",
        "1.5:23",
        "0:0",
        "a:b",
        "99999999999999999999:00",
    ] {
        assert_eq!(
            read(&format!("x-axis-dvr-frame-time: {value}")),
            Stamp::default(),
            "{value}"
        );
    }
}

#[test]
fn row_57_a_date_in_a_part_and_monotonic_fields_are_not_used() {
    assert_eq!(
        read("Date: 07-01-2018 11:00:43 PM IO_00000000_PT_005_000"),
        Stamp::default()
    );
    assert_eq!(
        read("Date: Sun, 06 Nov 1994 08:49:37 GMT"),
        Stamp::default()
    );
    assert_eq!(
        read("X-UStreamer-Send-Time: 184659.604338\r\nX-UStreamer-Grab-Time: 184659.6"),
        Stamp::default()
    );
}

#[test]
fn stamps_under_other_names_are_read_if_they_are_dates() {
    for line in [
        "X-Frame-Timestamp: 1700000000.123456",
        "x-image-timestamp:1700000000.123456",
        "X-Capture-Timestamp: 2023-11-14T22:13:20.123456Z",
        "X-Timestamp-Us: 1700000000123456",
        "X-Time: 1700000000.123456",
        "X-Capture-Time: 1700000000.123456\r\nX-Sent-Time: 1700000000.9",
        "X-Request-Time: 1690000000\r\nX-Frame-Time: 1700000000.123456",
        "X-Timestamp: 0.000000\r\nX-Frame-Timestamp: 1700000000.123456",
        "X-Frame-Timestamp: 1700000000.123456\r\nX-Process-Time: 0.0017",
    ] {
        assert_eq!(read(line), stamp(US), "{line}");
    }
    assert_eq!(
        read("X-Timestamp-Ms: 1700000000123"),
        stamp(US / 1_000 * 1_000)
    );
    for line in [
        "X-Frame-Timestamp: 184659.604338",
        "X-Timestamp-Ms: 184659604",
        "Timestamp: 1700000000",
        "X-Frame-Number: 1700000000",
        "X-Lifetime: 1700000000",
    ] {
        assert_eq!(read(line), Stamp::default(), "{line}");
    }
    for line in ["X-Timestamp: 1700000000.123456", "X-UtcTime: 1700000000"] {
        let both = format!("X-Capture-Timestamp: 1600000000\r\n{line}");
        assert_eq!(read(&both), read(line), "{line}");
    }
}

#[test]
fn row_79_mobotix_has_the_time_in_a_comment() {
    let read = Stamp::from_jpeg_comment;
    assert_eq!(
        read(b"#:M1IMG\r\nVER=1.0\r\nTIT=1302498816.936\r\nTZN=EST\r\n"),
        stamp(1_302_498_816_936_000)
    );
    assert_eq!(read(b"TIT=1302498816.936"), stamp(1_302_498_816_936_000));
    assert_eq!(
        read(b"A=1;TIT=1302498816.936;TZN=EST\0"),
        stamp(1_302_498_816_936_000)
    );
    assert_eq!(
        read(b"TIT=\nTIT=x\nXTIT=5.5\nTZN=EST\xff\xd8"),
        Stamp::default()
    );
    assert_eq!(read(b"TIT=1302498816.936x"), Stamp::default());
}

#[test]
fn only_what_format_us_writes_is_parsed_back() {
    assert_eq!(format_us(i64::MIN), "-9223372036854.775808");
    for (text, us) in [
        ("-9223372036854.775808", i64::MIN),
        ("9223372036854.775807", i64::MAX),
        ("-0.5", -500_000),
        ("7", 7_000_000),
    ] {
        assert_eq!(parse_us(text.as_bytes()), Some(us), "{text}");
    }
    for text in [
        "",
        "-",
        ".",
        "1.",
        ".5",
        "1.1234567",
        "9223372036854.775808",
        "-9223372036854.775809",
        "+1.0",
        "1,5",
        " 1.5",
        "1.5 ",
        "1.5.5",
        "1e3",
        "--1",
    ] {
        assert_eq!(parse_us(text.as_bytes()), None, "{text}");
    }
}

proptest! {
    #[test]
    fn microseconds_survive_a_round_trip(us in prop_oneof![any::<i64>(), -3_000_000i64..3_000_000, Just(i64::MIN), Just(i64::MAX)]) {
        prop_assert_eq!(parse_us(format_us(us).as_bytes()), Some(us));
    }

    #[test]
    fn every_spelling_of_a_time_is_read_exactly(us in 1_000_000_000_000_000i64..10_000_000_000_000_000) {
        let exponent = format!("{}.{:015}e9", us / 1_000_000_000_000_000, us % 1_000_000_000_000_000);
        for text in [format_us(us), format!("{us}"), format!("{us}789"), format!("{}.{:03}", us / 1_000, us % 1_000), exponent] {
            prop_assert_eq!(x_timestamp(&text), Some(us), "{}", text);
        }
        let date = chrono::DateTime::from_timestamp_micros(us).unwrap();
        prop_assert_eq!(x_timestamp(&date.to_rfc3339()), Some(us));
        prop_assert_eq!(x_timestamp(&date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()), Some(us - us % 1_000_000));
    }

    #[test]
    fn anything_is_read_without_panic_and_above_zero(
        value in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            "[-+0-9.,eE: TZsGM]{0,70}".prop_map(String::into_bytes),
        ]
    ) {
        let lines = [&b"X-Time: "[..], &value, b"\nX-Timestamp: ", &value, b"\nx-axis-dvr-frame-time: ", &value, b"\nX-UtcTime: ", &value].concat();
        let read = Stamp::read(&Headers::new(lines.into()));
        prop_assert!(read.stamp_us.is_none_or(|us| us > 0));
        prop_assert!(Stamp::from_jpeg_comment(&value).stamp_us.is_none_or(|us| us > 0));
        let _ = parse_us(&value);
    }
}

#[test]
fn seconds_and_what_is_finer_may_have_fields_of_their_own() {
    for (lines, us) in [
        (
            "X-Timestamp-Sec: 1700000000\r\nX-Timestamp-Usec: 123456",
            US,
        ),
        (
            "x-timestamp-usec: 123456\r\nX-TIMESTAMP-SEC: 1700000000",
            US,
        ),
        (
            "X-Timestamp-Seconds: 1700000000\r\nX-Timestamp-Microseconds: 123456",
            US,
        ),
        (
            "X-Timestamp-Sec: 1700000000\r\nX-Timestamp-Nsec: 123456789",
            US,
        ),
        (
            "X-Timestamp_sec: 1700000000\r\nX-Timestamp_msec: 123",
            US - 456,
        ),
        (
            "X-Capture-Time-Sec: 1700000000\r\nX-Capture-Time-Usec: 123456",
            US,
        ),
        ("X-Timestamp: 1700000000\r\nX-Timestamp-Usec: 123456", US),
        // No zeros in front: a count of microseconds.
        (
            "X-Timestamp-Sec: 1700000000\r\nX-Timestamp-Usec: 5",
            1_700_000_000_000_005,
        ),
        (
            "X-Timestamp-Sec: 184659\r\nX-Timestamp-Usec: 604338",
            184_659_604_338,
        ),
        (
            "X-Timestamp-Sec: 184659\r\nX-Timestamp-Usec: 604338\r\nX-Capture-Time: 2023-11-14T22:13:20.123456Z",
            US,
        ),
        // What is not finer, or belongs to something else, is not added.
        (
            "X-Timestamp-Sec: 1700000000\r\nX-Timestamp-Usec: 1000000",
            1_700_000_000_000_000,
        ),
        (
            "X-Timestamp-Sec: 1700000000\r\nX-Encode-Usec: 123456",
            1_700_000_000_000_000,
        ),
        (
            "X-Timestamp-Sec: 1700000000\r\nX-Timestamp-Ms: 1700000000123",
            US - 456,
        ),
        (
            "X-Timestamp: 1700000000.5\r\nX-Timestamp-Usec: 123456",
            1_700_000_000_500_000,
        ),
        (
            "X-Timestamp: 1700000000\r\nX-Timestamp-Usec: 1700000000123456",
            1_700_000_000_000_000,
        ),
    ] {
        assert_eq!(read(lines), stamp(us), "{lines}");
    }
    assert_eq!(read("X-Timestamp-Usec: 123456"), Stamp::default());
    assert_eq!(
        read("X-Encode-Sec: 1\r\nX-Encode-Usec: 5"),
        Stamp::default()
    );
}
