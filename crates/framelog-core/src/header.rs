//! A part's header lines: bounded text, read without regard to case, blanks or line ends. Not for what a field means.

use bytes::Bytes;

/// The header lines of one part, as the camera sent them (RFC 2046 §5.1), kept as a slice of the input.
///
/// Lines end in CRLF or LF; a line without a colon is passed over (GoAhead sends a bare date).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    raw: Bytes,
}

impl Headers {
    /// Takes the lines up to, but without, the empty line.
    pub fn new(raw: Bytes) -> Self {
        Self { raw }
    }

    /// The lines as they came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Name and value of each field, in order, blanks trimmed.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let ends = memchr::memchr_iter(b'\n', &self.raw).chain([self.raw.len()]);
        let mut start = 0;
        ends.filter_map(move |end| {
            let line = &self.raw[start..end];
            start = end + 1;
            let colon = memchr::memchr(b':', line)?;
            let name = line[..colon].trim_ascii();
            (!name.is_empty()).then(|| (name, line[colon + 1..].trim_ascii()))
        })
    }

    /// The value of the last field with this name: where a camera sends two, the later one is right
    /// (GStreamer's Content-Length: OctoPrint-Obico #150; X-Timestamp: rosys #421).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .last()
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_fields_counts_and_lines_without_a_name_do_not() {
        let raw = b"Tue, 12 Jun 2012\r\nContent-length:12\nCONTENT-LENGTH : 34 \r\n: 5\r\nX:";
        let headers = Headers::new(Bytes::from_static(raw));
        assert_eq!(headers.raw(), &raw[..]);
        assert_eq!(headers.get("content-length"), Some(&b"34"[..]));
        assert_eq!(headers.get("x"), Some(&b""[..]));
        assert_eq!(headers.get("y"), None);
    }
}
