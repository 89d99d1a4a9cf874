//! Which lines separate parts (RFC 2046 §5.1.1, and what cameras make of it). Not for the order of things: that is `multipart`.

use memchr::memmem;

use crate::jpeg::SOI;

/// The longest line that is taken for a delimiter, in bytes.
pub(crate) const LINE_MAX: usize = 300;

/// What a picture begins with: SOI, and the first byte of a marker.
const PICTURE: [u8; 3] = [SOI[0], SOI[1], 0xFF];

/// What is known about a body's delimiter: what the Content-Type declared, and what the body really uses.
#[derive(Debug)]
pub(crate) struct Delimiter {
    /// `--boundary`, then `boundary` itself: some values have their dashes in already, some bodies leave them out.
    declared: Vec<Vec<u8>>,
    learned: Option<Vec<u8>>,
    /// It came twice, or is the declared one. What came once may be a greeting (`--- stream begins ---`).
    is_confirmed: bool,
}

/// What a line between parts is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A delimiter; header lines begin at this offset of the line if no line end came before them.
    Delimiter { headers_at: Option<usize> },
    /// A part's header line.
    Header,
    /// Neither.
    Other,
}

/// What comes after a position, line ends passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A delimiter.
    Delimiter,
    /// A part's header line, without a delimiter.
    Field,
    /// Something else.
    Other,
    /// Too little to tell.
    Unknown,
}

/// Where a search for a delimiter ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The delimiter begins here.
    At(usize),
    /// None before this offset; look on from here when there are more bytes.
    NotBefore(usize),
}

impl Delimiter {
    pub fn new(boundary: Option<&[u8]>) -> Self {
        let declared = match boundary {
            Some(boundary) if !boundary.is_empty() => {
                vec![[b"--", boundary].concat(), boundary.to_vec()]
            }
            _ => Vec::new(),
        };
        Self {
            declared,
            learned: None,
            is_confirmed: false,
        }
    }

    /// Whether the body has shown a delimiter.
    pub fn is_learned(&self) -> bool {
        self.learned.is_some()
    }

    /// Whether it is the declared one that the body has shown.
    pub fn is_as_declared(&self) -> bool {
        (self.learned.as_ref()).is_some_and(|learned| self.declared.contains(learned))
    }

    /// Whether a delimiter may come without dashes: then every header line has to be compared with it.
    pub fn may_lack_dashes(&self) -> bool {
        self.learned
            .as_ref()
            .map_or(!self.declared.is_empty(), |learned| {
                !learned.starts_with(b"--")
            })
    }

    /// What was learned, and what was declared as long as that may be the right one.
    fn known(&self) -> impl Iterator<Item = &[u8]> {
        let declared: &[_] = if self.is_confirmed {
            &[]
        } else {
            &self.declared
        };
        let declared = declared
            .iter()
            .filter(|needle| !self.is_learned() || needle.starts_with(b"--"));
        self.learned.iter().chain(declared).map(Vec::as_slice)
    }

    /// Classifies a line (without its end) that stands between parts. With `clean`, nothing but line ends came since the last part, and
    /// any line with two dashes is believed; it becomes the body's delimiter if none is confirmed yet.
    pub fn classify(&mut self, line: &[u8], clean: bool) -> Line {
        let line = line.trim_ascii_end();
        let known = self
            .known()
            .find_map(|needle| Some((needle.len(), rest_after(needle, line)?)));
        if let Some((length, headers_at)) = known {
            self.learn(&line[..length]);
            self.is_confirmed = true;
            return Line::Delimiter { headers_at };
        }
        if line.starts_with(b"--") && line.len() <= LINE_MAX && (clean || !self.is_learned()) {
            let headers_at = find_part_field(line);
            let name = line[..headers_at.unwrap_or(line.len())].trim_ascii_end();
            let name = name.strip_suffix(b"--").unwrap_or(name);
            // Two dashes alone would be found in any picture.
            if !self.is_confirmed && name.len() > 2 {
                self.learn(name);
            }
            return Line::Delimiter { headers_at };
        }
        if is_part_field(line) {
            Line::Header
        } else {
            Line::Other
        }
    }

    fn learn(&mut self, needle: &[u8]) {
        if self.learned.as_deref() != Some(needle) {
            self.learned = Some(needle.to_vec());
        }
    }

    /// Whether a line among a part's headers is a delimiter after all. Dashes alone are none where another one is known.
    pub fn interrupts_headers(&self, line: &[u8]) -> bool {
        let line = line.trim_ascii_end();
        let is_rule = self.is_learned() && line.iter().all(|byte| *byte == b'-');
        line.starts_with(b"--") && !is_rule
            || self
                .known()
                .any(|needle| rest_after(needle, line) == Some(None))
    }

    /// Judges the bytes behind a payload. `last` means that no more will come now.
    pub fn next(&self, text: &[u8], last: bool) -> Next {
        let Some(begin) = text.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) else {
            return if text.len() < LINE_MAX {
                Next::Unknown
            } else {
                Next::Other
            };
        };
        let text = &text[begin..];
        if self.known().any(|needle| text.starts_with(needle)) {
            return Next::Delimiter;
        }
        let line_end = text.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let line = &text[..line_end.unwrap_or(text.len())];
        if text.starts_with(b"--")
            && is_text(line)
            && (line_end.is_some() || text.len() >= LINE_MAX)
        {
            return Next::Delimiter;
        }
        if is_part_field(line) {
            return Next::Field;
        }
        let undecided = self.known().any(|needle| needle.starts_with(text))
            || could_be_part_field(text)
            || (line_end.is_none()
                && text.len() < LINE_MAX
                && (text == b"-" || text.starts_with(b"--") && is_text(text)));
        if undecided && !last {
            Next::Unknown
        } else {
            Next::Other
        }
    }

    /// Whether a line that has come this far may become a delimiter.
    pub fn may_begin_as(&self, text: &[u8]) -> bool {
        let begins = |needle: &[u8]| {
            !text.is_empty() && needle.starts_with(text) || text.starts_with(needle)
        };
        self.known().any(begins) || begins(b"--")
    }

    /// Searches for a delimiter line inside a payload. `begins_line`: the byte before `bytes` was a line end (or there is none).
    pub fn find(&self, bytes: &[u8], begins_line: bool, last: bool) -> Found {
        let needles = self
            .known()
            .filter(|needle| self.is_learned() || needle.starts_with(b"--"));
        let mut found = None;
        let (mut bytes, mut last) = (bytes, last);
        for needle in needles {
            let one = find_needle(Some(needle), bytes, begins_line, last);
            found = match (one, found) {
                (Found::At(at), _) => {
                    // Another one counts only before it, where nothing is open any more.
                    (bytes, last) = (&bytes[..at], true);
                    Some(one)
                }
                (Found::NotBefore(one), Some(Found::NotBefore(other))) => {
                    Some(Found::NotBefore(one.min(other)))
                }
                (Found::NotBefore(_), _) => found.or(Some(one)),
            };
        }
        found.unwrap_or_else(|| find_needle(None, bytes, begins_line, last))
    }
}

/// As [`Delimiter::find`], of one delimiter, or of any line that begins with dashes if none is known.
fn find_needle(exact: Option<&[u8]>, bytes: &[u8], begins_line: bool, last: bool) -> Found {
    let needle = exact.unwrap_or(b"--");
    let finder = memmem::Finder::new(needle);
    let mut from = 0;
    while let Some(offset) = finder.find(&bytes[from..]) {
        let at = from + offset;
        // Not behind the needle: one of dashes alone begins at every dash, wherever the search began.
        from = at + 1;
        let after_line_end = if at == 0 {
            begins_line
        } else {
            // A NUL: of a server that sends the ends of its strings too.
            matches!(bytes[at - 1], b'\r' | b'\n') || exact.is_some() && bytes[at - 1] == 0
        };
        // No further, so that the verdict is the same however much has come.
        let rest = &bytes[at + needle.len()..];
        let rest = &rest[..rest.len().min(2 * LINE_MAX)];
        match delimits(rest, exact.is_some(), after_line_end) {
            Some(true) => return Found::At(at),
            None if !last && rest.len() < 2 * LINE_MAX => return Found::NotBefore(at),
            _ => {}
        }
    }
    Found::NotBefore(bytes.len().saturating_sub(needle.len()))
}

/// Whether what follows a needle makes it a delimiter line; `None` if there are too few bytes to tell. A needle that is not known exactly,
/// or that does not begin a line, must be followed by a part's header, or by a picture if the part has none.
fn delimits(rest: &[u8], exact: bool, begins_line: bool) -> Option<bool> {
    if is_part_field(rest) {
        return Some(exact);
    }
    let line_end = rest
        .iter()
        .take(LINE_MAX)
        .position(|byte| matches!(byte, b'\r' | b'\n'));
    let line = &rest[..line_end.unwrap_or(rest.len().min(LINE_MAX))];
    let plausible = if exact {
        matches!(line.trim_ascii(), b"" | b"--" | b"-") || is_part_field(line) || is_remark(line)
    } else {
        is_text(line)
    };
    let Some(line_end) = line_end else {
        return (!plausible && !could_be_part_field(line) || line.len() >= LINE_MAX)
            .then_some(false);
    };
    if !plausible || (!exact && !begins_line) {
        return Some(false);
    }
    if exact && begins_line {
        return Some(true);
    }
    let next = rest[line_end..].trim_ascii_start();
    if is_part_field(next) || next.starts_with(&PICTURE) {
        Some(true)
    } else if could_be_part_field(next) || PICTURE.starts_with(next) {
        None
    } else {
        Some(false)
    }
}

/// If the line is the needle, where header lines begin in it, if any do.
fn rest_after(needle: &[u8], line: &[u8]) -> Option<Option<usize>> {
    let rest = line.strip_prefix(needle)?;
    match rest.trim_ascii() {
        b"" | b"--" => Some(None),
        text if is_part_field(text) => Some(Some(line.len() - text.len())),
        _ if needle.starts_with(b"--") && is_remark(rest) => Some(None),
        _ => None,
    }
}

/// Names that a part's header lines begin with. Other names are fine too, but do not by themselves show that a part begins here.
const PART_FIELDS: [&str; 3] = ["content-type", "content-length", "x-timestamp"];

fn is_part_field(line: &[u8]) -> bool {
    PART_FIELDS.iter().any(|name| {
        line.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
            && line[name.len()..].trim_ascii_start().first() == Some(&b':')
    })
}

fn could_be_part_field(text: &[u8]) -> bool {
    PART_FIELDS.iter().any(|name| {
        let n = text.len().min(name.len());
        text[..n].eq_ignore_ascii_case(&name.as_bytes()[..n])
            && text[n..].trim_ascii_start().is_empty()
    })
}

/// Whether one of these lines is a part's header line.
pub(crate) fn has_part_field(lines: &[u8]) -> bool {
    is_part_field(lines) || find_field_line(lines).is_some()
}

/// Where the line end is that the first part's header line begins behind.
pub(crate) fn find_field_line(bytes: &[u8]) -> Option<usize> {
    memchr::memchr2_iter(b'\r', b'\n', bytes).find(|&at| is_part_field(&bytes[at + 1..]))
}

fn find_part_field(line: &[u8]) -> Option<usize> {
    (0..line.len()).find(|&at| is_part_field(&line[at..]))
}

/// Whether the rest of a delimiter's line is a number or whatever a camera says there.
fn is_remark(rest: &[u8]) -> bool {
    matches!(rest.first(), Some(b' ' | b'\t' | b';')) && is_text(rest)
}

fn is_text(line: &[u8]) -> bool {
    line.iter()
        .all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\t')
}
