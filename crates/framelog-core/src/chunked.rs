//! Takes the chunk layer off a body (RFC 9112 §7.1), as cameras write it. Not for the head, nor for what trailers say.

use bytes::Bytes;

/// The longest chunk-size line, with its extensions and the line end before it, in bytes.
const SIZE_LINE_BYTES_MAX: usize = 4 << 10;
/// The longest trailer section, in bytes.
const TRAILER_BYTES_MAX: usize = 16 << 10;
/// The largest chunk: what a signed 64-bit length can hold. Nothing is allocated for it.
const CHUNK_BYTES_MAX: u64 = i64::MAX as u64;
/// So many bytes of data in whole chunks are no coincidence.
const EVIDENCE_BYTES: u64 = 64;
/// The largest chunk whose end is waited for to see whether it is one, in bytes: a picture behind a line that only looks like a size must not wait long.
const UNDECLARED_BYTES_MAX: u64 = 256 << 10;
/// The longest line that may be the size of such a chunk, in bytes.
const UNDECLARED_LINE_MAX: usize = 64;

/// Why a chunked body can't be read on; the connection is of no more use. Positions are bytes from the start of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Where a chunk's size should be, there is something else.
    #[error("chunk at byte {at} has no hexadecimal size; reconnect")]
    NoSize {
        /// Where the size was looked for.
        at: u64,
    },
    /// The size has more than 63 bits.
    #[error("chunk at byte {at} declares a size over {CHUNK_BYTES_MAX}; reconnect")]
    SizeTooLarge {
        /// Where the size is.
        at: u64,
    },
    /// A size line or the trailers don't end.
    #[error("chunk size or trailers at byte {at} exceed {max} bytes; reconnect")]
    LinesTooLong {
        /// Where they begin.
        at: u64,
        /// The limit exceeded.
        max: usize,
    },
    /// The body ended before its last chunk.
    #[error("chunked body ended at byte {at} without its last chunk; reconnect")]
    Truncated {
        /// How long it was.
        at: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a line that gives a size, or in the empty one that ends the data before it.
    Size,
    /// In a chunk's data, of which so many bytes are still to come.
    Data(u64),
    /// Behind the last chunk, before the empty line.
    Trailers,
    Done,
    Failed(Error),
}

/// Whether a chunked body may begin with these bytes; `None` while they are line ends, blanks and digits, which both may.
/// A head may say `chunked` where the body is not (row 8's imitators).
pub fn begins(bytes: &[u8]) -> Option<bool> {
    let line = bytes.trim_ascii_start();
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let digits = digits.count();
    match line.get(digits) {
        None => None,
        Some(b'\r' | b'\n' | b';' | b' ' | b'\t') => Some(digits > 0),
        Some(b'x' | b'X') => Some(line[..digits] == *b"0"),
        Some(_) => Some(false),
    }
}

/// Whether a body that nobody calls chunked is, or has a second such layer: whole chunks come first, of some size in all, each with a line end
/// behind its data. `None` while that can't be told. A delimiter, a header line and a picture are none by their first bytes.
pub fn is_undeclared(pieces: &[Bytes]) -> Option<bool> {
    let bytes = |at: usize, most| pieces.iter().flatten().copied().skip(at).take(most);
    let (mut at, mut data_bytes) = (0, 0);
    while data_bytes < EVIDENCE_BYTES {
        let line: Vec<u8> = bytes(at, UNDECLARED_LINE_MAX).collect();
        let Some(end) = memchr::memchr(b'\n', &line) else {
            let may_go_on = line.len() < UNDECLARED_LINE_MAX && begins(&line) != Some(false);
            return if may_go_on { None } else { Some(false) };
        };
        let size = match parse_size(line[..end].trim_ascii_end(), 0) {
            Ok(0) => return Some(data_bytes > 0),
            Ok(size) if size <= UNDECLARED_BYTES_MAX => size,
            _ => return Some(false),
        };
        at += end + 1 + size as usize;
        let line_end: &[u8] = if line[..end].ends_with(b"\r") {
            b"\r\n"
        } else {
            b"\n"
        };
        let behind: Vec<u8> = bytes(at, line_end.len()).collect();
        if behind != line_end {
            return if line_end.starts_with(&behind) {
                None
            } else {
                Some(false)
            };
        }
        at += line_end.len();
        data_bytes += size;
    }
    Some(true)
}

/// The decoder: bytes in any split in, slices of them out. Holds at most one unfinished line (16 KiB).
///
/// Sizes may be in either case, with leading zeros, blanks around them and extensions; lines may end in LF alone; the
/// line end after a chunk's data may be missing.
///
/// ```
/// use bytes::Bytes;
/// use framelog_core::chunked::Decoder;
///
/// let mut decoder = Decoder::new();
/// let mut input = Bytes::from_static(b"5\r\nframe\r\n3\r\nlog\r\n0\r\n\r\n");
/// let mut payload = Vec::new();
/// while let Some(slice) = decoder.decode(&mut input)? {
///     payload.extend_from_slice(&slice);
/// }
/// assert_eq!(payload, b"framelog");
/// assert!(decoder.is_done());
/// # Ok::<(), framelog_core::chunked::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// The unfinished line.
    line: Vec<u8>,
    /// Bytes consumed since the last data or, in the trailers, since the last chunk: what the limits bound.
    section_bytes: usize,
    /// Bytes consumed before that.
    section_at: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new() -> Self {
        Self {
            state: State::Size,
            line: Vec::new(),
            section_bytes: 0,
            section_at: 0,
        }
    }

    /// Takes the next slice of payload off the front of `input`; it is never empty and never copied.
    ///
    /// `None` means that all of `input` is used up and more is wanted or, when [`is_done`](Self::is_done), that the body
    /// is over; what is then left in `input` belongs to the next response.
    ///
    /// # Errors
    /// When the chunk layer can't be followed; the same error then comes for ever.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Error> {
        self.advance(input)
            .inspect_err(|&error| self.state = State::Failed(error))
    }

    /// Whether the last chunk and the trailers behind it have been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Tells whether the payload is whole if no more bytes come: cameras may close behind the last chunk without the
    /// empty line that is due.
    ///
    /// # Errors
    /// [`Error::Truncated`] when the last chunk has not come; an earlier error if there was one.
    pub fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::Trailers | State::Done => Ok(()),
            State::Failed(error) => Err(error),
            State::Size | State::Data(_) => Err(Error::Truncated {
                at: self.position(),
            }),
        }
    }

    fn advance(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Error> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = self.take_line(input, SIZE_LINE_BYTES_MAX)? else {
                        return Ok(None);
                    };
                    self.read_size_line(&line)?;
                }
                State::Data(left) => return Ok(self.take_data(input, left)),
                State::Trailers => {
                    let Some(line) = self.take_line(input, TRAILER_BYTES_MAX)? else {
                        return Ok(None);
                    };
                    if line.trim_ascii().is_empty() {
                        self.state = State::Done;
                    }
                }
                State::Done => return Ok(None),
                State::Failed(error) => return Err(error),
            }
        }
    }

    /// The line up to the next LF, once it is there.
    fn take_line(&mut self, input: &mut Bytes, max: usize) -> Result<Option<Vec<u8>>, Error> {
        let end = memchr::memchr(b'\n', input);
        let piece = input.split_to(end.map_or(input.len(), |end| end + 1));
        if self.section_bytes + piece.len() > max {
            return Err(Error::LinesTooLong {
                at: self.section_at,
                max,
            });
        }
        self.section_bytes += piece.len();
        self.line.extend_from_slice(&piece);
        Ok(end.map(|_| std::mem::take(&mut self.line)))
    }

    fn read_size_line(&mut self, line: &[u8]) -> Result<(), Error> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        let size = parse_size(line, self.section_at)?;
        self.begin_section(0);
        self.state = if size == 0 {
            State::Trailers
        } else {
            State::Data(size)
        };
        Ok(())
    }

    fn take_data(&mut self, input: &mut Bytes, left: u64) -> Option<Bytes> {
        if input.is_empty() {
            return None;
        }
        let slice = input.split_to(usize::try_from(left).unwrap_or(usize::MAX).min(input.len()));
        let taken = slice.len() as u64;
        self.begin_section(taken);
        self.state = if taken == left {
            State::Size
        } else {
            State::Data(left - taken)
        };
        Some(slice)
    }

    fn begin_section(&mut self, data_bytes: u64) {
        self.section_at = self.position().saturating_add(data_bytes);
        self.section_bytes = 0;
    }

    fn position(&self) -> u64 {
        self.section_at.saturating_add(self.section_bytes as u64)
    }
}

/// The size in a line that is trimmed and not empty.
fn parse_size(line: &[u8], at: u64) -> Result<u64, Error> {
    // As C's `%#x` writes it.
    let line = (line.strip_prefix(b"0x").or(line.strip_prefix(b"0X"))).unwrap_or(line);
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (digits, rest) = line.split_at(digits);
    if digits.is_empty() || !matches!(rest.trim_ascii_start().first(), None | Some(b';')) {
        return Err(Error::NoSize { at });
    }
    digits
        .iter()
        .filter_map(|&digit| char::from(digit).to_digit(16))
        .try_fold(0u64, |size, digit| {
            size.checked_mul(16)?.checked_add(u64::from(digit))
        })
        .filter(|&size| size <= CHUNK_BYTES_MAX)
        .ok_or(Error::SizeTooLarge { at })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What came out of a body that came in these pieces: payload, how it ended, what was left over.
    fn decode(pieces: &[&[u8]]) -> (Vec<u8>, Result<(), Error>, Vec<u8>) {
        let mut decoder = Decoder::new();
        let (mut payload, mut left) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut input = Bytes::copy_from_slice(piece);
            loop {
                match decoder.decode(&mut input) {
                    Ok(Some(slice)) => {
                        assert!(!slice.is_empty());
                        payload.extend_from_slice(&slice);
                    }
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(decoder.decode(&mut input), Err(error));
                        return (payload, decoder.finish(), left);
                    }
                }
            }
            assert!(input.is_empty() || decoder.is_done());
            left.extend_from_slice(&input);
        }
        (payload, decoder.finish(), left)
    }

    fn whole(body: &[u8]) -> (Vec<u8>, Result<(), Error>) {
        let (payload, end, _) = decode(&[body]);
        (payload, end)
    }

    #[test]
    fn body_that_is_not_chunked_is_known_by_its_beginning() {
        for (text, expected) in [
            ("1a\r", Some(true)),
            ("0\n", Some(true)),
            ("\r\n 1A;x", Some(true)),
            ("0x1f\r\n", Some(true)),
            ("fe ", Some(true)),
            ("--b\r\n", Some(false)),
            ("\r\n--b", Some(false)),
            ("Content-Type: image/jpeg", Some(false)),
            ("date: ", Some(false)),
            ("\0", Some(false)),
            ("\u{ff}", Some(false)),
            ("1x", Some(false)),
            ("", None),
            ("\r\n", None),
            ("1f", None),
        ] {
            assert_eq!(begins(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn undeclared_chunks_are_known_by_whole_ones_however_they_are_cut() {
        let long = "x".repeat(70);
        let whole = format!("46\r\n{long}\r\n");
        for (body, expected) in [
            (whole.clone(), Some(true)),
            (format!("0046 ;a=b\r\n{long}\r\n"), Some(true)),
            (format!("46\n{long}\n"), Some(true)),
            ("1\r\n-\r\n".repeat(64), Some(true)),
            ("1\r\n-\r\n0\r\n\r\n".to_owned(), Some(true)),
            ("1\r\n-\r\n".repeat(63), None),
            (whole[..whole.len() - 1].to_owned(), None),
            (format!("45\r\n{long}\r\n"), Some(false)),
            (format!("46\r\n{long}--b\r\n"), Some(false)),
            (format!("70\r\n{long}\r\n{whole}"), Some(false)),
            ("0\r\n\r\n".to_owned(), Some(false)),
            ("40001\r\n".to_owned(), Some(false)),
            ("40000\r\n".to_owned(), None),
            ("a".repeat(64), Some(false)),
            ("a".repeat(63), None),
            ("\r\n--b\r\n".to_owned(), Some(false)),
            ("--b\r\n".to_owned(), Some(false)),
            ("Content-Type: image/jpeg\r\n".to_owned(), Some(false)),
            ("date: today\r\n".to_owned(), Some(false)),
            ("\u{ff}".to_owned(), Some(false)),
            ("5 frames\r\n".to_owned(), Some(false)),
            (String::new(), None),
        ] {
            let body = body.into_bytes();
            for size in [1, 3, 50, 1_000] {
                let pieces: Vec<_> = body.chunks(size).map(Bytes::copy_from_slice).collect();
                assert_eq!(
                    is_undeclared(&pieces),
                    expected,
                    "{:?}",
                    body.escape_ascii()
                );
            }
        }
    }

    proptest! {
        #[test]
        fn more_bytes_never_change_what_is_known_of_undeclared_chunks(
            sizes in proptest::collection::vec(1usize..40, 0..8),
            tail in proptest::collection::vec(prop_oneof![Just(b'0'), Just(b'3'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..100)
        ) {
            let chunks = sizes.iter().map(|size| format!("{size:x}\r\n{}\r\n", "x".repeat(*size)).into_bytes());
            let body = chunks.chain([tail]).collect::<Vec<_>>().concat();
            let verdicts = (0..=body.len()).map(|end| is_undeclared(&[Bytes::copy_from_slice(&body[..end])]));
            let known: Vec<bool> = verdicts.skip_while(Option::is_none).map(Option::unwrap).collect();
            prop_assert!(known.windows(2).all(|two| two[0] == two[1]));
            if sizes.iter().sum::<usize>() >= 64 {
                prop_assert_eq!(known.last(), Some(&true));
            }
        }
    }

    #[test]
    fn sizes_are_read_as_cameras_write_them() {
        for body in [
            "A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n",
            "a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n",
            "000000000000000000000000A\r\n0123456789\r\n01\r\nx\r\n00\r\n\r\n",
            " a \r\n0123456789\r\n\t1\t\r\nx\r\n 0\r\n\r\n",
            "a;name=\"v;\"\r\n0123456789\r\n1 ; q\r\nx\r\n0;last\r\n\r\n",
            "a\n0123456789\n1\nx\n0\n\n",
            "a\r\n01234567891\r\nx0\r\n\r\n",
            "\r\na\r\n0123456789\r\n\r\n1\r\nx\r\n0\r\nTrailer: 1\r\nno colon\r\n\r\n",
            "a\r\n0123456789\r\n1\r\nx\r\n0\r\n",
        ] {
            assert_eq!(
                whole(body.as_bytes()),
                (b"0123456789x".to_vec(), Ok(())),
                "{body:?}"
            );
        }
    }

    #[test]
    fn what_follows_the_body_is_left_for_the_next_response() {
        let (payload, end, left) = decode(&[b"1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"]);
        assert_eq!(
            (payload, end, left),
            (b"x".to_vec(), Ok(()), b"HTTP/1.1 200 OK\r\n".to_vec())
        );
    }

    #[test]
    fn size_may_be_written_as_c_does() {
        let (payload, end, _) = decode(&[b"0x3\r\nabc\r\n0X1\r\nd\r\n0x0\r\n\r\n"]);
        assert_eq!((payload, end), (b"abcd".to_vec(), Ok(())));
    }

    #[test]
    fn what_is_no_size_is_an_error_that_says_where() {
        for line in ["x", "-1", "x10", "5 5", "\u{ff}", ";a", "5g"] {
            let body = format!("3\r\nabc\r\n{line}\r\nabc");
            assert_eq!(
                whole(body.as_bytes()),
                (b"abc".to_vec(), Err(Error::NoSize { at: 6 })),
                "{line:?}"
            );
        }
    }

    #[test]
    fn an_absurd_size_is_an_error_and_a_huge_one_allocates_nothing() {
        for size in [
            "8000000000000000",
            "ffffffffffffffff",
            "10000000000000000",
            &"f".repeat(400),
        ] {
            let body = format!("{size}\r\nabc");
            assert_eq!(
                whole(body.as_bytes()),
                (vec![], Err(Error::SizeTooLarge { at: 0 })),
                "{size}"
            );
        }
        let (payload, end) = whole(b"7fffffffffffffff\r\nabc");
        assert_eq!(
            (payload, end),
            (b"abc".to_vec(), Err(Error::Truncated { at: 21 }))
        );
    }

    #[test]
    fn endless_lines_are_refused_at_their_limit() {
        let error = |at, max| Err(Error::LinesTooLong { at, max });
        let extended = |bytes| whole(format!("1;{}\r\nx\r\n0\r\n", "e".repeat(bytes)).as_bytes()).1;
        assert_eq!(extended(4_092), Ok(()));
        assert_eq!(extended(4_093), error(0, 4_096));
        assert_eq!(whole("0".repeat(5_000).as_bytes()).1, error(0, 4_096));
        assert_eq!(whole("\r\n".repeat(5_000).as_bytes()).1, error(0, 4_096));
        assert_eq!(
            whole(format!("1\r\nx\r\n1;{}\r\n", "e".repeat(5_000)).as_bytes()).1,
            error(4, 4_096)
        );
        assert_eq!(
            whole(format!("0\r\n{}", "T: 1\r\n".repeat(3_000)).as_bytes()).1,
            error(3, 16_384)
        );
        assert_eq!(
            whole(format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(4_000)).as_bytes()).1,
            Ok(())
        );
    }

    #[test]
    fn a_body_that_ends_before_its_last_chunk_is_truncated() {
        for (body, at) in [("", 0), ("5", 1), ("5\r\nab", 5), ("2\r\nab\r\n", 7)] {
            assert_eq!(
                whole(body.as_bytes()).1,
                Err(Error::Truncated { at }),
                "{body:?}"
            );
        }
    }

    #[test]
    fn payload_is_a_slice_of_the_input() {
        let mut input = Bytes::from_static(b"3\r\nabc\r\n");
        let expected = input[3..].as_ptr();
        let slice = Decoder::new().decode(&mut input).unwrap().unwrap();
        assert_eq!(slice.as_ptr(), expected);
    }

    /// Chunks and a body that holds them, written in one of the ways that cameras have.
    fn chunked_body() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let end = prop_oneof![Just("\r\n"), Just("\n")];
        let after = prop_oneof![Just("\r\n"), Just("\n"), Just("")];
        let extension = prop_oneof![Just(""), Just(";a=b"), Just(" "), Just(" ; x")];
        let chunk = (
            proptest::collection::vec(any::<u8>(), 1..40),
            end,
            after,
            extension,
            any::<bool>(),
        );
        proptest::collection::vec(chunk, 0..6).prop_map(|chunks| {
            let (mut payload, mut body) = (Vec::new(), Vec::new());
            for (content, end, after, extension, upper) in chunks {
                let size = if upper {
                    format!("{:02X}", content.len())
                } else {
                    format!("{:x}", content.len())
                };
                body.extend_from_slice(format!("{size}{extension}{end}").as_bytes());
                body.extend_from_slice(&content);
                body.extend_from_slice(after.as_bytes());
                payload.extend_from_slice(&content);
            }
            body.extend_from_slice(b"0\r\nT: 1\r\n\r\nnext");
            (payload, body)
        })
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_payload((payload, body) in chunked_body()) {
            let expected = (payload, Ok(()), b"next".to_vec());
            prop_assert_eq!(&decode(&[&body]), &expected);
            prop_assert_eq!(&decode(&body.chunks(1).collect::<Vec<_>>()), &expected);
            for at in 0..=body.len() {
                prop_assert_eq!(&decode(&[&body[..at], &body[at..]]), &expected);
            }
        }

        #[test]
        fn any_split_of_anything_gives_the_same(
            body in proptest::collection::vec(prop_oneof![Just(b'0'), Just(b'3'), Just(b'\r'), Just(b'\n'), Just(b';'), any::<u8>()], 0..60)
        ) {
            let expected = decode(&[&body]);
            let bytewise = decode(&body.chunks(1).collect::<Vec<_>>());
            prop_assert_eq!((&bytewise.0, &bytewise.1), (&expected.0, &expected.1));
            for at in 0..=body.len() {
                let split = decode(&[&body[..at], &body[at..]]);
                prop_assert_eq!((&split.0, &split.1), (&expected.0, &expected.1));
            }
        }
    }
}
