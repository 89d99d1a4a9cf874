//! X-Timestamp of any text, and a clock fed with what comes of it.
#![no_main]

use bytes::Bytes;
use framelog_core::clock::{Clock, ClockKind, TimestampMode};
use framelog_core::header::Headers;
use framelog_core::timestamp::{Stamp, format_us, parse_us};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (i64, &[u8])| {
    let (start_us, text) = input;
    assert_eq!(parse_us(format_us(start_us).as_bytes()), Some(start_us));
    let _ = Stamp::from_jpeg_comment(text);
    let mut clock = Clock::new(TimestampMode::Auto, 600_000_000);
    let mut received_us = start_us;
    for line in text.split(|byte| *byte == b'\n') {
        let headers = Headers::new(Bytes::from([b"X-Timestamp: ", line].concat()));
        let reading = clock.read(Stamp::read(&headers), received_us);
        assert!(reading.kind != ClockKind::Arrival || reading.captured_us == received_us);
        received_us = received_us.wrapping_add(40_000);
    }
});
