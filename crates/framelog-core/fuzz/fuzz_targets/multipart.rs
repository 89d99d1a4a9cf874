//! Any split of any input gives the same parts, and what is held stays bounded.
#![no_main]

use bytes::Bytes;
use framelog_core::multipart::{Event, Limits, Parser};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { part_bytes_max: 600, header_bytes_max: 100 };

fn told(event: &Event) -> (u64, Vec<u8>, bool, Bytes) {
    match event {
        Event::Part(part) => (part.offset, part.payload.to_vec(), part.complete, part.headers.raw().clone()),
        Event::Skipped(skipped) => (skipped.bytes, skipped.beginning.to_vec(), false, skipped.headers.raw().clone()),
    }
}

fn events(boundary: Option<&[u8]>, stream: &[u8], step: usize) -> Vec<(u64, Vec<u8>, bool, Bytes)> {
    let mut parser = Parser::new(boundary, LIMITS);
    let mut out = Vec::new();
    for piece in stream.chunks(step) {
        parser.push(Bytes::copy_from_slice(piece), 0);
        while let Some(event) = parser.poll() {
            out.push(told(&event));
        }
        assert!(parser.pending_bytes() <= 4096 + step as u64, "holds {} bytes", parser.pending_bytes());
    }
    parser.finish();
    while let Some(event) = parser.poll() {
        out.push(told(&event));
    }
    out
}

fuzz_target!(|input: (u8, &[u8])| {
    let (way, stream) = input;
    let boundary = (way & 1 == 0).then_some(&b"b"[..]);
    let whole = events(boundary, stream, stream.len().max(1));
    for step in [1, 2, 7 + usize::from(way >> 1)] {
        assert_eq!(events(boundary, stream, step), whole);
    }
});
