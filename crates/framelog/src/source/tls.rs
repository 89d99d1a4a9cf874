//! How a camera's certificate is checked: verified, pinned or accepted (rows 76 of the camera quirks). Not for opening connections.

mod key;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerMisbehaved, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};

use crate::config::Tls;
use key::PublicKey;

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint(pub(super) [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a camera showed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its certificate.
    pub certificate: Fingerprint,
    /// Why it is not known to have the key of a pinned certificate.
    pub doubt: Option<KeyDoubt>,
}

/// Why a camera that showed the pinned certificate is not known to have its key.
#[derive(Clone, Debug)]
pub enum KeyDoubt {
    /// Nothing that we have checks what was signed with this key, here as it is for people.
    Unchecked(String),
    /// What was signed was not signed with it: a certificate can be copied, its key can't.
    Foreign,
}

/// Checks a camera's certificate by its configuration, and remembers which one it saw.
pub struct CertificateCheck {
    rule: Rule,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Seen>>,
}

type VerifySignature = fn(
    &[u8],
    &CertificateDer<'_>,
    &DigitallySignedStruct,
    &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error>;

enum Rule {
    /// `None`: this machine has no trusted authorities.
    Verify(Option<Arc<WebPkiServerVerifier>>),
    Pin(Fingerprint),
    Accept,
}

impl CertificateCheck {
    /// For one connection. Reads this machine's trusted authorities the first time that they are needed.
    pub async fn new(tls: &Tls) -> Arc<Self> {
        let provider = provider();
        let rule = match tls {
            Tls::Verify => Rule::Verify(
                WebPkiServerVerifier::builder_with_provider(roots().await, provider.clone())
                    .build()
                    .ok(),
            ),
            Tls::Pin(fingerprint) => Rule::Pin(Fingerprint(*fingerprint)),
            Tls::Accept => Rule::Accept,
        };
        Arc::new(Self {
            rule,
            provider,
            seen: Mutex::new(None),
        })
    }

    /// A TLS configuration that asks this check. Good for one connection: nothing is kept for resumption.
    pub fn config(self: &Arc<Self>) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    /// What the camera showed, if it came so far.
    pub fn seen(&self) -> Option<Seen> {
        self.lock_seen().clone()
    }

    fn lock_seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the camera has the key of its certificate; `usual` is how rustls finds out.
    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        usual: VerifySignature,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let doubt = match &self.rule {
            Rule::Verify(_) => return usual(message, certificate, signed, algorithms),
            // An old camera that signs by what was not offered (SHA-1) is no impostor.
            Rule::Pin(_) if !self.supported_verify_schemes().contains(&signed.scheme) => {
                return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
            }
            Rule::Pin(_) => doubt(message, certificate, signed, algorithms),
            // Who is in between may as well show a certificate of their own.
            Rule::Accept => None,
        };
        if doubt.is_none() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        if let Some(seen) = &mut *self.lock_seen() {
            seen.doubt = doubt;
        }
        Err(CertificateError::BadSignature.into())
    }

    /// How connections that pass are described in the log.
    pub fn name(&self) -> &'static str {
        match self.rule {
            Rule::Verify(_) => "verified",
            Rule::Pin(_) => "pinned",
            Rule::Accept => "unverified",
        }
    }
}

impl fmt::Debug for CertificateCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ServerCertVerifier for CertificateCheck {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let fingerprint = Fingerprint(Sha256::digest(certificate).into());
        *self.lock_seen() = Some(Seen {
            certificate: fingerprint,
            doubt: None,
        });
        match &self.rule {
            Rule::Verify(Some(authorities)) => {
                authorities.verify_server_cert(certificate, intermediates, name, ocsp, now)
            }
            Rule::Verify(None) => Err(CertificateError::UnknownIssuer.into()),
            Rule::Pin(pinned) if *pinned == fingerprint => Ok(ServerCertVerified::assertion()),
            Rule::Pin(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Rule::Accept => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signature, verify_tls12_signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // RFC 8446 §4.4.3: what a key signed elsewhere counts for nothing here.
        if matches!(self.rule, Rule::Pin(_)) && is_pkcs1(signature.scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        self.check_signature(message, certificate, signature, verify_tls13_signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let mut schemes = algorithms.supported_schemes();
        if let Rule::Pin(_) = self.rule {
            // What a small RSA key has signed can be checked if it was not by PSS or with SHA-384. TLS 1.3 has nothing but PSS.
            schemes.sort_by_key(is_for_large_rsa);
        }
        schemes
    }
}

/// Why it is not known that a message was signed with the key of this certificate.
fn doubt(
    message: &[u8],
    certificate: &[u8],
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<KeyDoubt> {
    let Some(key) = PublicKey::of(certificate) else {
        return Some(KeyDoubt::Unchecked("unknown".to_owned()));
    };
    if key.has_signed(message, signed.scheme, signed.signature(), algorithms) {
        None
    } else if key.can_be_checked(signed.scheme, algorithms) {
        Some(KeyDoubt::Foreign)
    } else {
        Some(KeyDoubt::Unchecked(key.to_string()))
    }
}

/// Whether it is one of RSA by which nothing is checked of keys of fewer than 2048 bits.
fn is_for_large_rsa(scheme: &SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::RSA_PSS_SHA256
            | SignatureScheme::RSA_PSS_SHA384
            | SignatureScheme::RSA_PSS_SHA512
            | SignatureScheme::RSA_PKCS1_SHA384
    )
}

fn is_pkcs1(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
    )
}

/// The one provider of this process: named, because a second one in the dependency tree would make a default ambiguous.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(rustls::crypto::ring::default_provider()))
        .clone()
}

async fn roots() -> Arc<RootCertStore> {
    static ROOTS: tokio::sync::OnceCell<Arc<RootCertStore>> = tokio::sync::OnceCell::const_new();
    let load = || async {
        let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
            .await
            .unwrap_or_default();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            tracing::warn!(
                errors = found.errors.len(),
                "no trusted authorities on this machine"
            );
        }
        Arc::new(roots)
    };
    ROOTS.get_or_init(load).await.clone()
}

#[cfg(test)]
mod tests;
