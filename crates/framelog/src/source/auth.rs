//! Challenges to Authorization: Basic (RFC 7617) and Digest (RFC 7616, 2617, 2069), as cameras write them. Pure but for the
//! client nonce. Not for deciding whom to send credentials to, nor when to give up.
//!
//! Digest is computed here and not by `http-auth`, which leaves the algorithm out of answers without qop, hashes the body wrongly
//! under `auth-int`, drops an empty opaque and refuses realms beyond ASCII.

use md5::Md5;
use rustls::crypto::SecureRandom;
use sha2::{Digest as _, Sha256, Sha512_256};

use crate::source::tls;

/// User name and password.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// As configured.
    pub username: &'a str,
    /// As configured; empty if there is none.
    pub password: &'a str,
}

/// A challenge that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User name and password as they are.
    Basic,
    /// A hash over them.
    Digest(Digest),
}

/// A Digest challenge, and how often its nonce has been used.
#[derive(Clone, Debug)]
pub struct Digest {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    opaque: Option<Vec<u8>>,
    /// As the camera wrote it, to be echoed.
    algorithm: Option<Vec<u8>>,
    hash: Hash,
    session: bool,
    qop: Option<&'static str>,
    uses: u32,
}

/// Equal if an answer to one is an answer to the other.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        (
            &self.realm,
            &self.nonce,
            &self.opaque,
            self.hash,
            self.session,
            self.qop,
        ) == (
            &other.realm,
            &other.nonce,
            &other.opaque,
            other.hash,
            other.session,
            other.qop,
        )
    }
}

impl Eq for Digest {}

/// In the order of preference: SHA-512/256 is rarer in cameras than its name, and often something else, so it comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Sha512Of256,
    Md5,
    Sha256,
}

impl Hash {
    fn hex(self, parts: &[&[u8]]) -> String {
        let text = parts.join(&b':');
        let digest = match self {
            Hash::Md5 => Md5::digest(text).to_vec(),
            Hash::Sha256 => Sha256::digest(text).to_vec(),
            Hash::Sha512Of256 => Sha512_256::digest(text).to_vec(),
        };
        hex(&digest)
    }
}

impl Challenge {
    /// The strongest challenge in these WWW-Authenticate fields that can be answered, with its own nonce; the first of equals.
    pub fn strongest<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let raw: Vec<Raw> = fields.into_iter().flat_map(split).collect();
        let mut best: Option<Self> = None;
        for found in raw.iter().filter_map(Self::read) {
            if best
                .as_ref()
                .is_none_or(|best| found.strength() > best.strength())
            {
                best = Some(found);
            }
        }
        best
    }

    fn read(raw: &Raw) -> Option<Self> {
        match raw.scheme.to_ascii_lowercase().as_slice() {
            b"basic" => Some(Self::Basic),
            b"digest" => Digest::read(raw).map(Self::Digest),
            _ => None,
        }
    }

    fn strength(&self) -> u8 {
        match self {
            Self::Basic => 0,
            Self::Digest(digest) => 1 + digest.hash as u8,
        }
    }

    /// For people: `Basic`, `Digest MD5`, `Digest SHA-256`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Basic => "Basic",
            Self::Digest(Digest {
                hash: Hash::Md5, ..
            }) => "Digest MD5",
            Self::Digest(Digest {
                hash: Hash::Sha256, ..
            }) => "Digest SHA-256",
            Self::Digest(Digest {
                hash: Hash::Sha512Of256,
                ..
            }) => "Digest SHA-512-256",
        }
    }

    /// The value of an Authorization field for a request of `method` for `target`, which is exactly as on the request line: path and query
    /// over HTTP, the whole URL over RTSP.
    pub fn answer(&mut self, credentials: Credentials<'_>, method: &str, target: &str) -> Vec<u8> {
        match self {
            Self::Basic => {
                http_auth::basic::encode_credentials(credentials.username, credentials.password)
                    .into_bytes()
            }
            Self::Digest(digest) => digest.answer(credentials, method, target, &client_nonce()),
        }
    }
}

impl Digest {
    fn read(raw: &Raw) -> Option<Self> {
        let algorithm = raw
            .get("algorithm")
            .map(|name| name.trim_ascii().to_vec())
            .filter(|name| !name.is_empty());
        let (hash, session) = match algorithm
            .as_deref()
            .unwrap_or(b"MD5")
            .to_ascii_uppercase()
            .as_slice()
        {
            b"MD5" => (Hash::Md5, false),
            b"MD5-SESS" => (Hash::Md5, true),
            b"SHA-256" | b"SHA256" => (Hash::Sha256, false),
            b"SHA-256-SESS" => (Hash::Sha256, true),
            b"SHA-512-256" => (Hash::Sha512Of256, false),
            b"SHA-512-256-SESS" => (Hash::Sha512Of256, true),
            _ => return None,
        };
        let offers = |name: &str| {
            let qop = raw.get("qop").unwrap_or_default();
            qop.split(|byte| b", ".contains(byte))
                .any(|offer| offer.eq_ignore_ascii_case(name.as_bytes()))
        };
        Some(Self {
            realm: raw.get("realm").unwrap_or_default().to_vec(),
            nonce: raw.get("nonce")?.to_vec(),
            opaque: raw.get("opaque").map(<[u8]>::to_vec),
            algorithm,
            hash,
            session,
            qop: if offers("auth") {
                Some("auth")
            } else {
                offers("auth-int").then_some("auth-int")
            },
            uses: 0,
        })
    }

    fn answer(
        &mut self,
        credentials: Credentials<'_>,
        method: &str,
        target: &str,
        client_nonce: &str,
    ) -> Vec<u8> {
        self.uses = self.uses.saturating_add(1);
        let uses = format!("{:08x}", self.uses);
        let response = self.response(credentials, [method, target], client_nonce, &uses);
        let mut out = b"Digest ".to_vec();
        let mut put = |name: &str, value: &[u8], quoted: bool| {
            if !out.ends_with(b" ") {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            if quoted {
                out.extend(quote(value))
            } else {
                out.extend_from_slice(value)
            }
        };
        put("username", credentials.username.as_bytes(), true);
        put("realm", &self.realm, true);
        put("nonce", &self.nonce, true);
        put("uri", target.as_bytes(), true);
        put("response", response.as_bytes(), true);
        if let Some(algorithm) = &self.algorithm {
            put("algorithm", algorithm, false);
        }
        if let Some(opaque) = &self.opaque {
            put("opaque", opaque, true);
        }
        if let Some(qop) = self.qop {
            put("qop", qop.as_bytes(), false);
            put("nc", uses.as_bytes(), false);
        }
        if self.qop.is_some() || self.session {
            put("cnonce", client_nonce.as_bytes(), true);
        }
        out
    }

    /// RFC 7616 §3.4.1; without qop RFC 2069 §2.1.2.
    fn response(
        &self,
        credentials: Credentials<'_>,
        [method, target]: [&str; 2],
        client_nonce: &str,
        uses: &str,
    ) -> String {
        let hash = self.hash;
        let client_nonce = client_nonce.as_bytes();
        let mut who = hash.hex(&[
            credentials.username.as_bytes(),
            &self.realm,
            credentials.password.as_bytes(),
        ]);
        if self.session {
            who = hash.hex(&[who.as_bytes(), &self.nonce, client_nonce]);
        }
        let what = match self.qop {
            Some("auth-int") => hash.hex(&[
                method.as_bytes(),
                target.as_bytes(),
                hash.hex(&[]).as_bytes(),
            ]),
            _ => hash.hex(&[method.as_bytes(), target.as_bytes()]),
        };
        match self.qop {
            Some(qop) => hash.hex(&[
                who.as_bytes(),
                &self.nonce,
                uses.as_bytes(),
                client_nonce,
                qop.as_bytes(),
                what.as_bytes(),
            ]),
            None => hash.hex(&[who.as_bytes(), &self.nonce, what.as_bytes()]),
        }
    }
}

fn quote(value: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for &byte in value {
        if b"\"\\".contains(&byte) {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn client_nonce() -> String {
    let mut bytes = [0; 8];
    let random: &dyn SecureRandom = tls::provider().secure_random;
    random
        .fill(&mut bytes)
        .expect("the system's random generator works: TLS needs it too");
    hex(&bytes)
}

/// A challenge as written: scheme and parameters, unquoted.
struct Raw {
    scheme: Vec<u8>,
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Raw {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let named = |(found, _): &&(Vec<u8>, Vec<u8>)| found.eq_ignore_ascii_case(name.as_bytes());
        self.parameters
            .iter()
            .find(named)
            .map(|(_, value)| value.as_slice())
    }
}

/// Splits a field into challenges (RFC 9110 §11.6.1). Commas may be missing or too many; quotes may be missing; a colon may follow a scheme.
fn split(field: &[u8]) -> Vec<Raw> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn challenge(fields: &[&str]) -> Option<Challenge> {
        Challenge::strongest(fields.iter().map(|field| field.as_bytes()))
    }

    fn digest(field: &str) -> Digest {
        match challenge(&[field]) {
            Some(Challenge::Digest(digest)) => digest,
            other => panic!("{other:?}"),
        }
    }

    fn answer(
        digest: &mut Digest,
        user: &str,
        password: &str,
        target: &str,
        cnonce: &str,
    ) -> String {
        String::from_utf8(digest.answer(
            Credentials {
                username: user,
                password,
            },
            "GET",
            target,
            cnonce,
        ))
        .unwrap()
    }

    #[test]
    fn answers_are_those_of_rfc_7616() {
        let rest = "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                    opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let mut digest = digest(&format!("Digest {rest}, algorithm={algorithm}"));
            let text = answer(
                &mut digest,
                "Mufasa",
                "Circle of Life",
                "/dir/index.html",
                cnonce,
            );
            assert!(text.contains(&format!("response=\"{response}\"")), "{text}");
            assert!(
                text.contains("qop=auth, nc=00000001, cnonce=\"f2/"),
                "{text}"
            );
            assert!(answer(&mut digest, "a", "b", "/", cnonce).contains("nc=00000002"));
        }
    }

    #[test]
    fn without_qop_the_formula_of_rfc_2069_is_used() {
        let mut digest = digest(
            "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"\"",
        );
        let text = answer(
            &mut digest,
            "Mufasa",
            "CircleOfLife",
            "/dir/index.html",
            "x",
        );
        assert!(
            text.contains("response=\"1949323746fe6a43ef61f9606e7febea\""),
            "{text}"
        );
        assert!(
            text.ends_with("opaque=\"\"")
                && !text.contains("nc=")
                && !text.contains("cnonce")
                && !text.contains("algorithm"),
            "{text}"
        );
    }

    #[test]
    fn the_algorithm_is_echoed_as_it_was_written_even_without_qop() {
        let mut digest =
            digest("Digest realm=\"r\", nonce=\"n\", algorithm=\"sha-256\", stale=\"FALSE\"");
        assert_eq!(digest.hash, Hash::Sha256);
        assert!(answer(&mut digest, "u", "p", "/", "c").contains("algorithm=sha-256"));
    }

    #[test]
    fn the_strongest_challenge_is_answered_with_its_own_nonce() {
        let one = "Basic realm=\"a\", Digest realm=\"a\", nonce=\"md5\", algorithm=MD5, Digest realm=\"a\", nonce=\"sha\", algorithm=SHA-256";
        assert_eq!(digest(one).nonce, b"sha");
        let several = [
            "Digest realm=\"a\", nonce=\"md5\", qop=\"auth\"",
            "Basic realm=\"a\"",
        ];
        assert!(
            matches!(challenge(&several), Some(Challenge::Digest(digest)) if digest.nonce == b"md5")
        );
        assert_eq!(
            challenge(&["Digest realm=\"a\", nonce=\"n\", algorithm=WHAT-1", "Basic"]),
            Some(Challenge::Basic)
        );
        assert_eq!(challenge(&["Bearer realm=\"x\""]), None);
    }

    #[test]
    fn sha_512_256_is_answered_only_where_nothing_better_known_is_offered() {
        let rare = "Digest realm=\"a\", nonce=\"rare\", algorithm=SHA-512-256";
        assert_eq!(digest(rare).nonce, b"rare");
        let both = [rare, "Digest realm=\"a\", nonce=\"md5\""];
        assert!(
            matches!(challenge(&both), Some(Challenge::Digest(digest)) if digest.nonce == b"md5")
        );
    }

    #[test]
    fn mangled_challenges_are_read() {
        let found = digest(
            "Digest realm=\"a\\\"b, c\" nonce=\"n=,\" qop=auth,auth-int algorithm=md5,,opaque=o,",
        );
        assert_eq!(
            (
                &found.realm[..],
                &found.nonce[..],
                found.opaque.as_deref(),
                found.qop
            ),
            (&b"a\"b, c"[..], &b"n=,"[..], Some(&b"o"[..]), Some("auth"))
        );
        for field in [
            "Digest: realm=\"a\", nonce=n",
            "Digest:realm=\"a\", nonce=n",
            "Basic: realm=\"b\", Digest : realm=\"a\", nonce=n",
        ] {
            let found = digest(field);
            assert_eq!((&found.realm[..], &found.nonce[..]), (&b"a"[..], &b"n"[..]));
        }
        for field in [
            "DIGEST realm=\"a\",nonce=\"n\",algorithm=\" MD5 \",opaque=,stale=false",
            "Digest,realm=\"a\",\tnonce='n';algorithm=\"\";opaque=\"\"",
            "Digest algorithm=md5 realm=\"a\" domain=\"::\" nonce=n opaque='' qop=none",
            "Digest username=\"\", realm=\"a\", nonce=\"n\", opaque=\"\", qop=\"\"",
        ] {
            let found = digest(field);
            assert_eq!(
                (
                    &found.realm[..],
                    &found.nonce[..],
                    found.opaque.as_deref(),
                    found.qop
                ),
                (&b"a"[..], &b"n"[..], Some(&b""[..]), None),
                "{field}"
            );
        }
        let found = digest("digest Realm = \"a\" , NONCE = n");
        assert_eq!(
            (&found.realm[..], &found.nonce[..], found.qop),
            (&b"a"[..], &b"n"[..], None)
        );
        assert_eq!(
            digest("Digest realm=\"a\", nonce=\"n\", qop=\"auth-int\"").qop,
            Some("auth-int")
        );
        assert_eq!(challenge(&["Digest realm=\"no nonce\""]), None);
    }

    #[test]
    fn values_without_double_quotes_are_read_with_their_blanks() {
        for (field, realm, nonce) in [
            (
                "Digest realm=IP Camera, nonce=\"n\", qop=\"auth\"",
                "IP Camera",
                "n",
            ),
            (
                "Digest realm=IP Camera nonce=a== qop=auth",
                "IP Camera",
                "a==",
            ),
            (
                "Digest realm=IP  Camera  nonce = n,qop=auth",
                "IP  Camera",
                "n",
            ),
            (
                "Digest realm='IP, Camera', nonce='n', qop='auth'",
                "IP, Camera",
                "n",
            ),
            (
                "Digest realm=My Basic Camera, nonce=n, qop=auth",
                "My Basic Camera",
                "n",
            ),
            ("Digest realm='til, nonce=n, qop=auth", "'til", "n"),
            ("Basic realm=a Digest realm=b, nonce=n, qop=auth", "b", "n"),
        ] {
            let found = digest(field);
            assert_eq!(
                (&found.realm[..], &found.nonce[..], found.qop),
                (realm.as_bytes(), nonce.as_bytes(), Some("auth")),
                "{field}"
            );
        }
    }

    #[test]
    fn a_challenge_is_new_when_its_nonce_is() {
        let mut first = digest("Digest realm=\"a\", nonce=\"n\", qop=\"auth\"");
        let again = first.clone();
        first.answer(
            Credentials {
                username: "u",
                password: "p",
            },
            "GET",
            "/",
            "c",
        );
        assert_eq!(first, again);
        assert_ne!(
            first,
            digest("Digest realm=\"a\", nonce=\"m\", qop=\"auth\"")
        );
    }

    proptest! {
        #[test]
        fn any_field_is_read_without_panic(field in "(Digest |Basic |)[a-z=\"', \\\\;:é]{0,60}") {
            if let Some(mut found) = challenge(&[&field]) {
                let text = found.answer(Credentials { username: "u\"", password: "p" }, "DESCRIBE", "/x");
                prop_assert!(!text.contains(&b'\n'));
            }
        }
    }
}
