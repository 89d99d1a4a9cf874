//! Header lines, Content-Types and stamps of any bytes: no panic, and what is found lies in the input.
#![no_main]

use bytes::Bytes;
use framelog_core::boundary::ContentType;
use framelog_core::header::Headers;
use framelog_core::timestamp::Stamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let headers = Headers::new(Bytes::copy_from_slice(input));
    for (name, value) in headers.iter() {
        assert!(name.len() + value.len() < input.len() && !name.is_empty());
    }
    let _ = Stamp::read(&headers);
    let content_type = ContentType::read(input);
    assert!(content_type.boundary.is_none_or(|boundary| !boundary.is_empty() && boundary.len() <= 256));
});
