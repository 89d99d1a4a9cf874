//! A part's header lines: bounded text, read without regard to case, blanks or line ends. Not for what a field means.

use bytes::Bytes;

/// The header lines of one part, as the camera sent them (RFC 2046 §5.1), kept as a slice of the input.
///
/// Lines end in CRLF or LF, or in CR if there is no LF; a line without a colon is passed over (GoAhead sends a bare date).
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
        self.lines().filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let name = from_name(&line[..colon])?.trim_ascii_end();
            Some((name, line[colon + 1..].trim_ascii()))
        })
    }

    /// The value of the last field with this name (a token, RFC 9110 §5.6.2): where a camera sends two, the later one is right
    /// (GStreamer's Content-Length: OctoPrint-Obico #150; X-Timestamp: rosys #421).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let values = self.lines().filter_map(|line| value_of(line, name));
        values.last()
    }

    /// The lines, without the LF (or CR) that ends them.
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let has_lf = memchr::memchr(b'\n', &self.raw).is_some();
        let end = if has_lf { b'\n' } else { b'\r' };
        let ends = memchr::memchr_iter(end, &self.raw)
            .filter(|end| !self.is_folded(*end))
            .chain([self.raw.len()]);
        let mut start = 0;
        ends.map(move |end| {
            let line = &self.raw[start..end];
            start = end + 1;
            line
        })
    }

    /// Whether the value of the field on the line that ends here is on the next one (RFC 9112 §5.2). What only looks indented is a field.
    fn is_folded(&self, end: usize) -> bool {
        matches!(self.raw.get(end + 1), Some(b' ' | b'\t'))
            && self.raw[..end].trim_ascii_end().ends_with(b":")
    }
}

/// The line from its name on: blanks may come before it, and a NUL or a byte order mark.
fn from_name(line: &[u8]) -> Option<&[u8]> {
    Some(&line[line.iter().position(u8::is_ascii_graphic)?..])
}

/// The value of the field on this line, if that is its name. The name is compared before a colon is looked for: most lines have another, and this
/// is asked several times a frame.
fn value_of<'l>(line: &'l [u8], name: &str) -> Option<&'l [u8]> {
    let (begin, rest) = from_name(line)?.split_at_checked(name.len())?;
    let lower = |letter: Option<&u8>| letter.map(u8::to_ascii_lowercase);
    let name = name.as_bytes();
    // Their ends alone tell nearly all of them apart.
    (lower(begin.last()) == lower(name.last())
        && lower(begin.first()) == lower(name.first())
        && begin.eq_ignore_ascii_case(name))
    .then(|| rest.trim_ascii_start().strip_prefix(b":"))?
    .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_field_is_found_by_its_name_as_it_is_among_all(raw in "[aB: \t\r\n]{0,40}") {
            let headers = Headers::new(raw.into());
            for name in ["a", "ab", "AAB"] {
                let named = (headers.iter()).filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
                prop_assert_eq!(headers.get(name), named.last().map(|(_, value)| value));
            }
        }
    }

    #[test]
    fn lines_may_end_in_cr_alone_and_begin_with_what_is_no_text() {
        for raw in [
            &b"Content-Type: image/jpeg\rX-Timestamp: 12.5\rX: y\r"[..],
            b"\0X-Timestamp: 12.5\r\nX: y\r\n",
            b"\xEF\xBB\xBFX-Timestamp: 12.5\nX: y",
        ] {
            let headers = Headers::new(Bytes::from_static(raw));
            assert_eq!(headers.get("x-timestamp"), Some(&b"12.5"[..]));
            let last_two: Vec<_> = headers.iter().collect();
            assert!(last_two.ends_with(&[(b"X-Timestamp", b"12.5"), (b"X", b"y")]));
        }
    }

    #[test]
    fn a_value_may_be_on_the_next_line() {
        let raw = b"X-Timestamp:\r\n 12.5\r\n Content-Length: 34\r\nX:\r\nY: z";
        let headers = Headers::new(Bytes::from_static(raw));
        for (name, value) in [
            ("x-timestamp", &b"12.5"[..]),
            ("content-length", b"34"),
            ("x", b""),
            ("y", b"z"),
        ] {
            assert_eq!(headers.get(name), Some(value));
        }
    }

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
