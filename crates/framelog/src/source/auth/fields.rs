//! WWW-Authenticate fields as cameras write them, into challenges with their parameters. Not for what those mean.

/// A challenge as written: scheme and parameters, unquoted.
pub struct Raw {
    /// As it came.
    pub scheme: Vec<u8>,
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Raw {
    /// The value of the first parameter of this name, in whichever case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let named = |(found, _): &&(Vec<u8>, Vec<u8>)| found.eq_ignore_ascii_case(name.as_bytes());
        self.parameters
            .iter()
            .find(named)
            .map(|(_, value)| value.as_slice())
    }
}

/// Splits a field into challenges (RFC 9110 §11.6.1). Commas may be missing or too many; quotes may be missing; a colon may follow a scheme.
pub fn split(field: &[u8]) -> Vec<Raw> {
    let mut challenges: Vec<Raw> = Vec::new();
    let mut rest = field;
    loop {
        let skipped = rest
            .iter()
            .take_while(|byte| b", \t;:".contains(byte))
            .count();
        rest = &rest[skipped..];
        if rest.is_empty() {
            return challenges;
        }
        let (word, after) = split_word(rest);
        match after.trim_ascii_start().strip_prefix(b"=") {
            Some(value) if !word.is_empty() => {
                let (value, after) = read_value(value.trim_ascii_start());
                if let Some(challenge) = challenges.last_mut() {
                    challenge.parameters.push((word.to_vec(), value));
                }
                rest = after;
            }
            Some(after) => rest = after,
            None => {
                // Of bare words, only a known scheme begins a challenge: `qop=auth,auth-int` has a bare word in it too.
                if is_scheme(word) {
                    challenges.push(Raw {
                        scheme: word.to_vec(),
                        parameters: Vec::new(),
                    });
                }
                rest = after;
            }
        }
    }
}

fn is_scheme(word: &[u8]) -> bool {
    ["Basic", "Digest", "Bearer", "NTLM", "Negotiate"]
        .iter()
        .any(|scheme| word.eq_ignore_ascii_case(scheme.as_bytes()))
}

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| b", \t;:=".contains(byte));
    text.split_at(end.unwrap_or(text.len()))
}

/// A parameter's value, unquoted, and what follows it.
fn read_value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    if let Some(quoted) = text.strip_prefix(b"\"") {
        return read_quoted(quoted);
    }
    if let Some(quoted) = text.strip_prefix(b"'")
        && let Some(end) = memchr::memchr(b'\'', quoted)
    {
        return (quoted[..end].to_vec(), &quoted[end + 1..]);
    }
    let (value, after) = text.split_at(bare_length(text));
    (value.trim_ascii_end().to_vec(), after)
}

fn read_quoted(quoted: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return (value, &quoted[at + 1..]),
            b'\\' => value.extend(bytes.next().map(|(_, escaped)| *escaped)),
            byte => value.push(*byte),
        }
    }
    (value, &[])
}

/// How long a value without quotes is. Blanks are part of it (`realm=IP Camera`) unless a parameter begins behind them.
fn bare_length(text: &[u8]) -> usize {
    let mut before = b' ';
    let end = text.iter().enumerate().position(|(at, &byte)| {
        let was_blank = is_blank(before);
        before = byte;
        match byte {
            b',' | b';' => true,
            _ => is_blank(byte) && !was_blank && begins_parameter(&text[at..]),
        }
    });
    end.unwrap_or(text.len())
}

fn is_blank(byte: u8) -> bool {
    b" \t".contains(&byte)
}

/// Whether the next word is the name of a parameter, or a scheme with a parameter behind it.
fn begins_parameter(text: &[u8]) -> bool {
    let (word, mut after) = split_word(text.trim_ascii_start());
    if is_scheme(word) {
        (_, after) = split_word(after.trim_ascii_start());
    }
    after.trim_ascii_start().starts_with(b"=")
}
