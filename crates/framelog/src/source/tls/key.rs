//! The public key of a certificate, and what was signed with it, where rustls looks at neither: in certificates of X.509 version 1, and RSA
//! keys of fewer than 2048 bits (Tapo C210). Not for whether a certificate is the camera's: one whose fingerprint was not compared is not to be read here.

use std::fmt;

use ring::signature::{
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    UnparsedPublicKey, VerificationAlgorithm,
};
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;

/// `rsaEncryption` (RFC 8017 §A.1), as an algorithm begins.
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";

/// The version's tag; certificates of version 1 have none.
const VERSION: u8 = 0xa0;

/// See the module.
#[derive(Debug)]
pub struct PublicKey<'a> {
    algorithm: &'a [u8],
    key: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// Of a certificate in DER, of any version (RFC 5280 §4.1).
    pub fn of(certificate: &'a [u8]) -> Option<Self> {
        let (certificate, _) = element(certificate)?;
        let (mut fields, _) = element(certificate)?;
        if fields.first() == Some(&VERSION) {
            (_, fields) = element(fields)?;
        }
        // Serial number, signature, issuer, validity, subject.
        for _ in 0..5 {
            (_, fields) = element(fields)?;
        }
        let (key, _) = element(fields)?;
        let (algorithm, key) = element(key)?;
        let (key, _) = element(key)?;
        // No bit of its last byte is left over.
        let key = key.strip_prefix(b"\0")?;
        Some(Self { algorithm, key })
    }

    /// Whether the message was signed with it, by one of these algorithms or with a small RSA key.
    pub fn has_signed(
        &self,
        message: &[u8],
        scheme: SignatureScheme,
        signature: &[u8],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> bool {
        let mut usual = algorithms
            .mapping
            .iter()
            .filter(|(known, _)| *known == scheme)
            .flat_map(|(_, algorithms)| *algorithms)
            .filter(|algorithm| *algorithm.public_key_alg_id() == *self.algorithm);
        let is_small_rsa = |algorithm| {
            let key = UnparsedPublicKey::new(algorithm, self.key);
            key.verify(message, signature).is_ok()
        };
        usual.any(|usual| usual.verify_signature(self.key, message, signature).is_ok())
            || small_rsa(scheme).is_some_and(is_small_rsa)
    }

    /// Whether there is anything to check what it signs with: of RSA keys of fewer than 2048 bits by this scheme, of others by any, so that
    /// nobody who has the certificate alone makes it one that can't be checked.
    pub fn can_be_checked(
        &self,
        scheme: SignatureScheme,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> bool {
        match self.rsa_bits() {
            // By nothing of ring's.
            Some(..1024 | 8193..) => false,
            Some(1024..2048) => small_rsa(scheme).is_some(),
            Some(2048..=8192) | None => algorithms
                .all
                .iter()
                .any(|algorithm| *algorithm.public_key_alg_id() == *self.algorithm),
        }
    }

    /// How long the modulus of an RSA key is, in bits, rounded up to bytes.
    fn rsa_bits(&self) -> Option<usize> {
        let (numbers, _) = element(self.key).filter(|_| self.algorithm.starts_with(RSA))?;
        let (modulus, _) = element(numbers)?;
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        Some((modulus.len() - zeros) * 8)
    }
}

/// For people.
impl fmt::Display for PublicKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rsa_bits() {
            Some(bits) => write!(f, "RSA, {bits} bits"),
            None => f.write_str("not RSA"),
        }
    }
}

/// What checks signatures of RSA keys from 1024 bits on. There is none for PSS.
fn small_rsa(scheme: SignatureScheme) -> Option<&'static dyn VerificationAlgorithm> {
    match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => Some(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        SignatureScheme::RSA_PKCS1_SHA512 => Some(&RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
        _ => None,
    }
}

/// What is in the element that these bytes begin with, and what follows it (X.690 §8.1).
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[_, short], rest) = der.split_first_chunk()?;
    let (digits, rest) = match short {
        0..0x80 => return rest.split_at_checked(short.into()),
        _ => rest.split_at_checked((short & 0x7f).into())?,
    };
    let add = |length: usize, digit: &u8| length.checked_mul(256)?.checked_add((*digit).into());
    rest.split_at_checked(digits.iter().try_fold(0, add)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tls::provider;

    const CERTIFICATE: &[u8] = include_bytes!("samples/rsa-1024.der");
    const MESSAGE: &[u8] = b"signed by a camera";

    fn has_signed(message: &[u8], scheme: SignatureScheme, signature: &[u8]) -> bool {
        let algorithms = provider().signature_verification_algorithms;
        let key = PublicKey::of(CERTIFICATE).unwrap();
        key.has_signed(message, scheme, signature, &algorithms)
    }

    #[test]
    fn a_signature_of_a_small_rsa_key_is_checked() {
        let sha256 = include_bytes!("samples/rsa-1024.sha256");
        let sha512 = include_bytes!("samples/rsa-1024.sha512");
        assert!(has_signed(
            MESSAGE,
            SignatureScheme::RSA_PKCS1_SHA256,
            sha256
        ));
        assert!(has_signed(
            MESSAGE,
            SignatureScheme::RSA_PKCS1_SHA512,
            sha512
        ));
        assert!(!has_signed(
            b"signed by another",
            SignatureScheme::RSA_PKCS1_SHA256,
            sha256
        ));
        assert!(!has_signed(
            MESSAGE,
            SignatureScheme::RSA_PSS_SHA256,
            sha256
        ));
    }

    #[test]
    fn keys_are_named() {
        let name = |certificate| PublicKey::of(certificate).unwrap().to_string();
        assert_eq!(name(CERTIFICATE), "RSA, 1024 bits");
        assert_eq!(
            name(include_bytes!("samples/rsa-2048.der")),
            "RSA, 2048 bits"
        );
        assert_eq!(name(include_bytes!("samples/version-1.der")), "not RSA");
    }

    #[test]
    fn a_certificate_that_is_cut_off_is_none() {
        for end in 0..CERTIFICATE.len() {
            assert!(PublicKey::of(&CERTIFICATE[..end]).is_none(), "{end}");
        }
        assert!(PublicKey::of(&[0x30, 0xff, 0xff]).is_none());
    }

    /// Asks all that there is to ask of a key. Returns whether a signature of the sample's key passes for its own.
    fn ask(key: &PublicKey<'_>) -> bool {
        let algorithms = provider().signature_verification_algorithms;
        let scheme = SignatureScheme::RSA_PKCS1_SHA256;
        let signature = include_bytes!("samples/rsa-1024.sha256");
        key.can_be_checked(scheme, &algorithms);
        assert!(!key.to_string().is_empty());
        key.has_signed(MESSAGE, scheme, signature, &algorithms)
    }

    #[test]
    fn a_damaged_certificate_is_none_or_one_of_another_key() {
        let whole = PublicKey::of(CERTIFICATE).unwrap();
        let places = 0..CERTIFICATE.len();
        for (place, byte) in places.flat_map(|place| [0, 0x80, 0xff].map(|byte| (place, byte))) {
            let mut damaged = CERTIFICATE.to_vec();
            damaged[place] = byte;
            if let Some(key) = PublicKey::of(&damaged) {
                assert!(!ask(&key) || key.key == whole.key, "{place}");
            }
        }
    }

    #[test]
    fn a_key_that_is_cut_off_has_signed_nothing() {
        let PublicKey { algorithm, key } = PublicKey::of(CERTIFICATE).unwrap();
        assert!(ask(&PublicKey { algorithm, key }));
        for end in 0..key.len() {
            let key = &key[..end];
            assert!(!ask(&PublicKey { algorithm, key }), "{end}");
        }
        for end in 0..algorithm.len() {
            ask(&PublicKey {
                algorithm: &algorithm[..end],
                key,
            });
        }
    }
}
