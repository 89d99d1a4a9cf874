//! The camera's side of Digest authentication (RFC 7616, RFC 2069): checks an answer to the letter, as Dahua and Trendnet do.

use std::collections::HashMap;

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// What a camera asks for, and what it then expects.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// Protection space.
    pub realm: &'static str,
    /// Number used once.
    pub nonce: String,
    /// As sent; `None` means RFC 2069.
    pub algorithm: Option<&'static str>,
    /// Whether `qop="auth"` is offered.
    pub qop: bool,
    /// To be sent back.
    pub opaque: Option<&'static str>,
}

impl Challenge {
    /// MD5 with qop and opaque, the commonest.
    pub fn md5(nonce: &str) -> Self {
        Self {
            realm: "IP Camera(1)",
            nonce: nonce.to_owned(),
            algorithm: Some("MD5"),
            qop: true,
            opaque: Some("5ccc069c403ebaf9f0171e9517f40e41"),
        }
    }

    /// SHA-256.
    pub fn sha256(nonce: &str) -> Self {
        Self {
            algorithm: Some("SHA-256"),
            ..Self::md5(nonce)
        }
    }

    /// Without qop, algorithm and opaque (RFC 2069).
    pub fn rfc2069(nonce: &str) -> Self {
        Self {
            algorithm: None,
            qop: false,
            opaque: None,
            ..Self::md5(nonce)
        }
    }

    /// The value of WWW-Authenticate.
    pub fn header(&self) -> String {
        let mut value = format!("Digest realm=\"{}\", nonce=\"{}\"", self.realm, self.nonce);
        if self.qop {
            value += ", qop=\"auth\"";
        }
        if let Some(algorithm) = self.algorithm {
            value += &format!(", algorithm={algorithm}");
        }
        if let Some(opaque) = self.opaque {
            value += &format!(", opaque=\"{opaque}\"");
        }
        value
    }

    /// Checks an Authorization value of a GET; the error says what is wrong with it.
    pub fn verify(
        &self,
        authorization: &str,
        target: &str,
        username: &str,
        password: &str,
    ) -> Result<(), String> {
        self.verify_for("GET", authorization, target, username, password)
    }

    /// Checks an Authorization value of a request of this method.
    pub fn verify_for(
        &self,
        method: &str,
        authorization: &str,
        target: &str,
        username: &str,
        password: &str,
    ) -> Result<(), String> {
        let fields = Fields::read(authorization)?;
        fields.expect("username", username, true)?;
        fields.expect("realm", self.realm, true)?;
        fields.expect("nonce", &self.nonce, true)?;
        fields.expect("uri", target, true)?;
        if let Some(opaque) = self.opaque {
            fields.expect("opaque", opaque, true)?;
        }
        if let Some(algorithm) = self.algorithm {
            let (echoed, _) = fields.get("algorithm")?;
            if !echoed.eq_ignore_ascii_case(algorithm) {
                return Err(format!("algorithm {echoed:?}, expected {algorithm:?}"));
            }
        }
        let secret = self.hash(&format!("{username}:{}:{password}", self.realm));
        let request = self.hash(&format!("{method}:{target}"));
        let expected = if self.qop {
            fields.expect("qop", "auth", false)?;
            let (nc, quoted) = fields.get("nc")?;
            if quoted
                || nc.len() != 8
                || nc == "00000000"
                || !nc.bytes().all(|byte| byte.is_ascii_hexdigit())
            {
                return Err(format!(
                    "nc {nc:?} is no unquoted count of eight hex digits"
                ));
            }
            let (cnonce, quoted) = fields.get("cnonce")?;
            if !quoted {
                return Err(format!("cnonce {cnonce:?} is not in quotes"));
            }
            self.hash(&format!(
                "{secret}:{}:{nc}:{cnonce}:auth:{request}",
                self.nonce
            ))
        } else {
            if fields.get("nc").is_ok() || fields.get("cnonce").is_ok() || fields.get("qop").is_ok()
            {
                return Err("nc, cnonce or qop without being offered qop".to_owned());
            }
            self.hash(&format!("{secret}:{}:{request}", self.nonce))
        };
        fields.expect("response", &expected, true)
    }

    fn hash(&self, text: &str) -> String {
        let digest = match self.algorithm {
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Sha256::digest(text).to_vec(),
            _ => Md5::digest(text).to_vec(),
        };
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The answer's fields: value, and whether it was in quotes.
struct Fields(HashMap<String, (String, bool)>);

impl Fields {
    fn read(authorization: &str) -> Result<Self, String> {
        let mut rest = authorization
            .strip_prefix("Digest ")
            .ok_or_else(|| format!("not a Digest answer: {}", scheme(authorization)))?
            .trim();
        let mut fields = HashMap::new();
        while !rest.is_empty() {
            let (name, after) = rest
                .split_once('=')
                .ok_or_else(|| format!("no '=' in {rest:?}"))?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => {
                    let (value, after) = quoted.split_once('"').ok_or("an open quote")?;
                    ((value.to_owned(), true), after)
                }
                None => {
                    let end = after.find(',').unwrap_or(after.len());
                    ((after[..end].trim().to_owned(), false), &after[end..])
                }
            };
            fields.insert(name.trim().to_ascii_lowercase(), value);
            rest = after.trim_start_matches([',', ' ']);
        }
        Ok(Self(fields))
    }

    fn get(&self, name: &str) -> Result<(&str, bool), String> {
        self.0
            .get(name)
            .map(|(value, quoted)| (value.as_str(), *quoted))
            .ok_or_else(|| format!("{name} is missing"))
    }

    fn expect(&self, name: &str, expected: &str, in_quotes: bool) -> Result<(), String> {
        let (value, quoted) = self.get(name)?;
        match value == expected && quoted == in_quotes {
            true => Ok(()),
            false => Err(format!(
                "{name} is {value:?} (in quotes: {quoted}), expected {expected:?} (in quotes: {in_quotes})"
            )),
        }
    }
}

fn scheme(authorization: &str) -> &str {
    authorization.split(' ').next().unwrap_or_default()
}

/// The Basic answer for these credentials.
pub fn basic(username: &str, password: &str) -> String {
    let credentials = format!("{username}:{password}");
    format!("Basic {}", base64(credentials.as_bytes()))
}

/// RFC 4648 §4.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .chain(&[0; 2])
            .take(3)
            .fold(0_u32, |group, &byte| group << 8 | u32::from(byte));
        for position in 0..4 {
            let index = group >> (18 - 6 * position) & 63;
            out.push(if position > chunk.len() {
                '='
            } else {
                char::from(ALPHABET[index as usize])
            });
        }
    }
    out
}

#[test]
fn the_example_of_rfc_7617_is_encoded_as_there() {
    assert_eq!(
        basic("Aladdin", "open sesame"),
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    );
}

#[test]
fn a_digest_answer_is_accepted_and_a_changed_one_is_not() {
    // RFC 2617 section 3.5.
    let challenge = Challenge {
        realm: "testrealm@host.com",
        ..Challenge::md5("dcd98b7102dd2f0e8b11d0f600bfb0c093")
    };
    let answer = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
        uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\", \
        algorithm=MD5, opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
    assert_eq!(
        challenge.verify(answer, "/dir/index.html", "Mufasa", "Circle Of Life"),
        Ok(())
    );
    assert!(
        challenge
            .verify(answer, "/dir/index.html", "Mufasa", "circle of life")
            .is_err()
    );
    assert!(
        challenge
            .verify(answer, "/dir/index.html?a=1", "Mufasa", "Circle Of Life")
            .is_err()
    );
}
