//! Challenges to Authorization: Basic (RFC 7617) and Digest (RFC 7616, 2617, 2069), as cameras write them. Pure but for the
//! client nonce. Not for deciding whom to send credentials to, nor when to give up.
//!
//! Digest is computed here and not by `http-auth`, which leaves the algorithm out of answers without qop, hashes the body wrongly
//! under `auth-int`, drops an empty opaque and refuses realms beyond ASCII.

use md5::Md5;
use rustls::crypto::SecureRandom;
use sha2::{Digest as _, Sha256, Sha512_256};

use crate::source::tls;

mod fields;

use fields::{Raw, split};

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
    /// The first of [`offered`](Self::offered).
    pub fn strongest<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        Self::offered(fields).into_iter().next()
    }

    /// The challenges in these WWW-Authenticate fields that can be answered, each with its own nonce: the strongest first, equals as they come.
    pub fn offered<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Vec<Self> {
        let raw: Vec<Raw> = fields.into_iter().flat_map(split).collect();
        let mut offered: Vec<Self> = raw.iter().flat_map(Self::read).collect();
        offered.sort_by_key(|found| std::cmp::Reverse(found.strength()));
        offered
    }

    /// Whether it is a Digest by a hash of less strength.
    pub fn is_weaker_digest_than(&self, other: &Self) -> bool {
        matches!(self, Self::Digest(_)) && self.strength() < other.strength()
    }

    fn read(raw: &Raw) -> Vec<Self> {
        match raw.scheme.to_ascii_lowercase().as_slice() {
            b"basic" => vec![Self::Basic],
            b"digest" => Digest::read(raw).into_iter().map(Self::Digest).collect(),
            _ => Vec::new(),
        }
    }

    /// Takes the place of another. Each use of a nonce is counted once, whatever else has changed (RFC 7616 §3.4): the same count again is a replay.
    pub fn replace(&mut self, before: &Self) {
        if let (Self::Digest(digest), Self::Digest(before)) = (self, before)
            && digest.nonce == before.nonce
        {
            digest.uses = before.uses;
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
    /// One for each algorithm that it names and that is known here, the same not twice.
    fn read(raw: &Raw) -> Vec<Self> {
        let names = raw.get("algorithm").unwrap_or_default();
        let names = names.split(|byte| b", \t".contains(byte));
        let mut algorithms: Vec<_> = names.filter(|name| !name.is_empty()).map(Some).collect();
        if algorithms.is_empty() {
            algorithms.push(None);
        }
        let mut read: Vec<Self> = Vec::new();
        for algorithm in algorithms {
            let found = Self::read_for(raw, algorithm);
            let is_new = |found: &Self| {
                let same = |it: &Self| (it.hash, it.session) == (found.hash, found.session);
                !read.iter().any(same)
            };
            read.extend(found.filter(is_new));
        }
        read
    }

    fn read_for(raw: &Raw, algorithm: Option<&[u8]>) -> Option<Self> {
        let (hash, session) = match algorithm.unwrap_or(b"MD5").to_ascii_uppercase().as_slice() {
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
            algorithm: algorithm.map(<[u8]>::to_vec),
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

#[cfg(test)]
mod tests;
