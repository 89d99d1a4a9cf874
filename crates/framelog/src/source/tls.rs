//! How a camera's certificate is checked: verified, pinned or accepted (rows 76 of the camera quirks). Not for opening connections.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};

use crate::config::Tls;

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint(pub(super) [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Checks a camera's certificate by its configuration, and remembers which one it saw.
pub struct CertificateCheck {
    rule: Rule,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Fingerprint>>,
}

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

    /// The certificate that the camera showed, if it came so far.
    pub fn seen(&self) -> Option<Fingerprint> {
        *self
            .seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
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
        *self
            .seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(fingerprint);
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
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
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
