//! Content-Type to media type and boundary, as cameras write it (RFC 2046 §5.1.1). Not for finding boundaries in a body.

/// The longest boundary believed, in bytes; RFC 2046 allows 70.
const BOUNDARY_BYTES_MAX: usize = 256;

/// A Content-Type, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentType {
    /// Type and subtype in lower case, without parameters: `multipart/x-mixed-replace`. Printable ASCII only.
    pub essence: String,
    /// The boundary parameter, unquoted, of 1 to 256 bytes. Dashes are left on: whether they are part of the boundary
    /// only the body tells (camera-quirks row 19).
    pub boundary: Option<Vec<u8>>,
}

impl ContentType {
    /// Reads the value of a Content-Type field; never fails, what is not there stays empty.
    ///
    /// Where the boundary is given more than once, the first usable one counts.
    pub fn read(value: &[u8]) -> Self {
        let value = value.trim_ascii();
        let essence = value
            .iter()
            .take_while(|&&byte| byte.is_ascii_graphic() && !is_separator(byte))
            .count();
        let (essence, parameters) = value.split_at(essence);
        Self {
            essence: essence
                .iter()
                .map(|&byte| char::from(byte.to_ascii_lowercase()))
                .collect(),
            boundary: Parameters { rest: parameters }
                .filter(|(name, _)| name.eq_ignore_ascii_case(b"boundary"))
                .map(|(_, value)| value)
                .find(|value| (1..=BOUNDARY_BYTES_MAX).contains(&value.len())),
        }
    }
}

/// Between parameters, and between the values of a field that was sent twice and joined (RFC 9110 §5.3).
fn is_separator(byte: u8) -> bool {
    matches!(byte, b';' | b',')
}

/// The `name=value` pairs behind the media type; what has no `=` is passed over.
struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let end = self
                .rest
                .iter()
                .position(|&byte| byte == b'=' || is_separator(byte))?;
            let (before, from) = self.rest.split_at(end);
            let (&found, after) = from.split_first()?;
            self.rest = after;
            if found == b'=' {
                // The last word: the semicolon before it may be missing.
                let name = before
                    .trim_ascii()
                    .rsplit(u8::is_ascii_whitespace)
                    .next()
                    .unwrap_or_default();
                return Some((name, self.take_value()));
            }
        }
    }
}

impl Parameters<'_> {
    fn take_value(&mut self) -> Vec<u8> {
        self.rest = self.rest.trim_ascii_start();
        match self.take_quoted() {
            Some(value) => value.trim_ascii().to_vec(),
            None => self.take_unquoted().to_vec(),
        }
    }

    /// A value in double or single quotes (row 18), or `None`, with nothing taken, if it has none or they don't close.
    fn take_quoted(&mut self) -> Option<Vec<u8>> {
        let (&quote, inside) = self
            .rest
            .split_first()
            .filter(|(first, _)| matches!(first, b'"' | b'\''))?;
        let mut value = Vec::new();
        let mut bytes = inside.iter().copied().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\\' => value.push(bytes.next()?.1),
                _ if byte == quote => {
                    self.rest = inside.get(at + 1..)?;
                    return Some(value);
                }
                _ => value.push(byte),
            }
        }
        None
    }

    /// A value up to the next parameter, blanks inside it and all: D-Link has `video boundary--` (row 31). A quote
    /// that has no counterpart is dropped.
    fn take_unquoted(&mut self) -> &[u8] {
        let end = (0..self.rest.len())
            .find(|&at| ends_unquoted(&self.rest[at..]))
            .unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        self.rest = rest;
        let value = value.trim_ascii();
        let value = value
            .strip_prefix(b"\"")
            .or(value.strip_prefix(b"'"))
            .unwrap_or(value);
        value.strip_suffix(b"\"").unwrap_or(value).trim_ascii()
    }
}

/// Whether `rest` begins with what ends a value: a semicolon, or the comma before a second copy of the field. Any
/// other comma may be part of a boundary (RFC 2046 §5.1.1, bchars).
fn ends_unquoted(rest: &[u8]) -> bool {
    match rest.split_first() {
        Some((b';', _)) => true,
        Some((b',', after)) => {
            let after = after.trim_ascii_start();
            [
                &b"multipart/"[..],
                b"image/",
                b"video/",
                b"application/",
                b"text/",
                b"boundary=",
            ]
            .iter()
            .any(|start| {
                after
                    .get(..start.len())
                    .is_some_and(|found| found.eq_ignore_ascii_case(start))
            })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MULTIPART: &str = "multipart/x-mixed-replace";

    fn boundary(parameters: &str) -> Option<String> {
        let read = ContentType::read(format!("{MULTIPART}{parameters}").as_bytes());
        assert_eq!(read.essence, MULTIPART, "{parameters}");
        read.boundary
            .map(|boundary| String::from_utf8(boundary).unwrap())
    }

    #[test]
    fn the_media_type_is_read_in_lower_case_without_parameters() {
        for (value, essence) in [
            ("multipart/mixed; boundary=x", "multipart/mixed"),
            (
                " Multipart/X-Mixed-Replace;boundary=x",
                "multipart/x-mixed-replace",
            ),
            ("multipart/x-mixed-released", "multipart/x-mixed-released"),
            ("image/jpg", "image/jpg"),
            ("image/jpeg;size=1234", "image/jpeg"),
            ("IMAGE/JPEG ; size=1234", "image/jpeg"),
            ("application/octet-stream", "application/octet-stream"),
            ("", ""),
            (";boundary=x", ""),
            ("text/h\u{1b}[31mtml", "text/h"),
        ] {
            assert_eq!(
                ContentType::read(value.as_bytes()).essence,
                essence,
                "{value:?}"
            );
        }
    }

    #[test]
    fn boundaries_are_read_as_cameras_write_them() {
        for (parameters, expected) in [
            (";boundary=boundarydonotcross", "boundarydonotcross"),
            ("; boundary=\"BoundaryString\"", "BoundaryString"),
            ("; boundary='BoundaryString'", "BoundaryString"),
            ("; boundary=--myboundary", "--myboundary"),
            ("; boundary =X", "X"),
            ("; boundary = X  ", "X"),
            (";\tBOUNDARY\t=\t\"X\" ; a=b", "X"),
            (";boundary=X;", "X"),
            (";;boundary=X;;", "X"),
            ("; charset=utf-8; Boundary=X; q=1", "X"),
            ("; charset; boundary=X", "X"),
            (" boundary=X", "X"),
            (", boundary=X", "X"),
            ("; boundary=video boundary--", "video boundary--"),
            ("; boundary=\"video boundary--\"; a=b", "video boundary--"),
            ("; boundary=\"a;b\"", "a;b"),
            ("; boundary=\"a\\\"b\\\\c\"", "a\"b\\c"),
            ("; other=\"; boundary=no\"; boundary=yes", "yes"),
            ("; boundary=\"X", "X"),
            ("; boundary=\"X; a=b", "X"),
            ("; boundary='X; a=b", "X"),
            ("; boundary=X\"", "X"),
            ("; boundary=\"X\\", "X\\"),
            ("; boundary=; boundary=X", "X"),
            ("; boundary=\"\"; boundary=X; boundary=Y", "X"),
            ("; boundary==STILL==", "=STILL=="),
            ("; boundary=a,b", "a,b"),
        ] {
            assert_eq!(
                boundary(parameters).as_deref(),
                Some(expected),
                "{parameters:?}"
            );
        }
    }

    #[test]
    fn a_boundary_that_is_not_there_is_none() {
        for parameters in [
            "",
            ";",
            "; boundary",
            "; boundary=",
            "; boundary=\"",
            "; boundary=;",
            "; boundary=''",
            "; xboundary=X",
            "; bound=X",
        ] {
            assert_eq!(boundary(parameters), None, "{parameters:?}");
        }
    }

    #[test]
    fn a_field_sent_twice_and_joined_gives_its_first_boundary() {
        assert_eq!(
            boundary(&format!(";boundary=X, {MULTIPART};boundary=Y")).as_deref(),
            Some("X")
        );
        assert_eq!(
            boundary(&format!(", {MULTIPART}; boundary=Y")).as_deref(),
            Some("Y")
        );
        assert_eq!(
            boundary(&format!(
                ";boundary=\"X\",{}; boundary=\"Y\"",
                MULTIPART.to_uppercase()
            ))
            .as_deref(),
            Some("X")
        );
        assert_eq!(
            boundary(&format!(";boundary=, {MULTIPART}; boundary=Y")).as_deref(),
            Some("Y")
        );
    }

    #[test]
    fn bytes_that_are_not_utf_8_stay_as_they_are() {
        let read = ContentType::read(b"multipart/mixed; boundary=gr\xfc\xdfe");
        assert_eq!(read.boundary.as_deref(), Some(&b"gr\xfc\xdfe"[..]));
    }

    #[test]
    fn a_boundary_over_256_bytes_is_not_believed() {
        let longest = "x".repeat(256);
        assert_eq!(
            boundary(&format!("; boundary={longest}")),
            Some(longest.clone())
        );
        assert_eq!(boundary(&format!("; boundary={longest}x")), None);
        assert_eq!(
            boundary(&format!("; boundary=\"{longest}x\"; boundary=Y")).as_deref(),
            Some("Y")
        );
    }

    proptest! {
        #[test]
        fn any_boundary_comes_back_out_of_double_quotes(given in "[ -~]{0,80}[!-~]") {
            let quoted = given.replace('\\', "\\\\").replace('"', "\\\"");
            let read = boundary(&format!("; boundary=\"{quoted}\"; a=b"));
            prop_assert_eq!(read.as_deref(), Some(given.trim()));
        }

        #[test]
        fn anything_is_read_without_panic_and_within_bounds(
            value in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'='), Just(b';'), Just(b','), Just(b'\\'), any::<u8>()], 0..60)
        ) {
            let read = ContentType::read(&[&b"a/b;boundary"[..], &value].concat());
            prop_assert!(read.boundary.is_none_or(|boundary| !boundary.is_empty() && boundary.len() <= 256));
            prop_assert!(read.essence.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
