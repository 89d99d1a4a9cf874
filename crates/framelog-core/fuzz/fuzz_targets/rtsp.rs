//! Any split of a connection's bytes gives the same messages and packets, and what is held stays bounded.
#![no_main]

use framelog_core::rtsp::headers::{Session, Transport, base_url, control_url};
use framelog_core::rtsp::message::{BODY_BYTES_MAX, HEAD_BYTES_MAX, Item, ReadError, Reader};
use libfuzzer_sys::fuzz_target;

/// The fields that a client looks into.
fn read_fields(item: &Item) {
    let Item::Response(response) = item else { return };
    let field = |name| response.headers.get(name);
    let _ = field("session").map(Session::read);
    let _ = field("transport").map(Transport::read);
    let base = base_url([field("content-base"), field("content-location")], "rtsp://c/");
    control_url(&base, std::str::from_utf8(&response.body).ok());
}

fn items(stream: &[u8], step: usize) -> (Vec<Item>, Option<ReadError>) {
    let mut reader = Reader::default();
    let mut out = Vec::new();
    let pieces = stream.chunks(step).map(Some).chain([None]);
    for piece in pieces {
        match piece {
            Some(piece) => reader.buffer().extend_from_slice(piece),
            None => reader.settle(true),
        }
        loop {
            match reader.poll(0) {
                Ok(Some(item)) => out.push(item),
                Ok(None) => break,
                Err(error) => return (out, Some(error)),
            }
        }
        let held = reader.buffered();
        assert!(held <= HEAD_BYTES_MAX + BODY_BYTES_MAX + step, "holds {held} bytes");
    }
    (out, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (step, stream) = input;
    let whole = items(stream, stream.len().max(1));
    whole.0.iter().for_each(read_fields);
    for step in [1, 2, 7 + usize::from(step)] {
        assert_eq!(items(stream, step), whole);
    }
});
