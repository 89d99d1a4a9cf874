//! The chunk decoder takes any bytes, and gives the same payload in any split.
#![no_main]

use bytes::Bytes;
use framelog_core::chunked::Decoder;
use libfuzzer_sys::fuzz_target;

fn decoded(body: &[u8], step: usize) -> (Vec<u8>, bool, bool) {
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    for piece in body.chunks(step) {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(data)) => out.extend_from_slice(&data),
                Ok(None) => break,
                Err(_) => return (out, decoder.is_done(), true),
            }
        }
        if decoder.is_done() {
            break;
        }
    }
    (out, decoder.is_done(), false)
}

fuzz_target!(|body: &[u8]| {
    let whole = decoded(body, body.len().max(1));
    assert_eq!(decoded(body, 1), whole);
    assert_eq!(decoded(body, 5), whole);
    assert!(whole.0.len() <= body.len());
});
