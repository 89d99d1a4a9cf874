use num_bigint::BigUint;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SignatureAlgorithm, SupportedProtocolVersion};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::url::CameraUrl;
use crate::source::dial::{DialError, Stream};

const VERSION_1: &[u8] = include_bytes!("samples/version-1.der");
const RSA_1024: &[u8] = include_bytes!("samples/rsa-1024.der");
const RSA_2048: &[u8] = include_bytes!("samples/rsa-2048.der");

/// A key that signs by this scheme, whatever was offered, and never well.
#[derive(Debug, Clone)]
struct Sham(SignatureScheme);

impl SigningKey for Sham {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(self.clone()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for Sham {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(vec![1; 128])
    }

    fn scheme(&self) -> SignatureScheme {
        self.0
    }
}

/// The key of [`RSA_1024`]. It signs by PKCS #1 and SHA-256, whatever was offered.
#[derive(Debug)]
struct SmallKey;

impl SigningKey for SmallKey {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Self))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for SmallKey {
    /// RFC 8017 §8.2.1.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let key = include_bytes!("samples/rsa-1024.key");
        // In an RSAPrivateKey (RFC 8017 §A.1.2) of 1024 bits.
        let [modulus, exponent] = [&key[11..139], &key[147..275]].map(BigUint::from_bytes_be);
        let kind = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
        let info = [&kind[..], &Sha256::digest(message)].concat();
        let padding = [0xff; 128 - 3 - 51];
        let padded = [&b"\0\x01"[..], &padding, b"\0", &info].concat();
        let signature = BigUint::from_bytes_be(&padded).modpow(&exponent, &modulus);
        let signature = signature.to_bytes_be();
        Ok([vec![0; 128 - signature.len()], signature].concat())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PKCS1_SHA256
    }
}

/// Connects, over this version of TLS, to a camera with this certificate and key, of which rustls thinks nothing.
async fn dial(
    version: &'static SupportedProtocolVersion,
    certificate: &'static [u8],
    key: Arc<dyn SigningKey>,
    tls: Tls,
) -> Result<Stream, DialError> {
    let certified = CertifiedKey::new(vec![certificate.into()], key);
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let url = CameraUrl::parse(&url).unwrap().0;
    let accepting = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let _ = acceptor.accept(tcp).await;
    };
    tokio::join!(Stream::dial(&url, &tls), accepting).0
}

fn pin(certificate: &[u8]) -> Tls {
    Tls::Pin(Sha256::digest(certificate).into())
}

/// What is said of a camera with this certificate, which is pinned, and this key.
async fn refusal(
    version: &'static SupportedProtocolVersion,
    certificate: &'static [u8],
    key: Arc<dyn SigningKey>,
) -> String {
    let dialled = dial(version, certificate, key, pin(certificate)).await;
    dialled.unwrap_err().to_string()
}

#[tokio::test]
async fn a_certificate_of_version_1_is_pinned_and_accepted() {
    let key = || {
        let key = include_bytes!("samples/version-1.key");
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(&key[..]);
        rustls::crypto::ring::sign::any_supported_type(&key.into()).unwrap()
    };
    for tls in [pin(VERSION_1), Tls::Accept] {
        let dialled = dial(&TLS13, VERSION_1, key(), tls).await;
        assert!(dialled.is_ok(), "{dialled:?}");
    }
    let dialled = dial(&TLS13, VERSION_1, key(), Tls::Verify).await;
    assert!(
        matches!(dialled, Err(DialError::Certificate { .. })),
        "{dialled:?}"
    );
}

#[tokio::test]
async fn a_small_key_is_checked_over_tls_1_2() {
    let dialled = dial(&TLS12, RSA_1024, Arc::new(SmallKey), pin(RSA_1024)).await;
    assert!(dialled.is_ok(), "{dialled:?}");
}

#[tokio::test]
async fn a_key_that_can_t_be_checked_is_accepted_and_otherwise_named() {
    let sham = || Arc::new(Sham(SignatureScheme::RSA_PSS_SHA256));
    let dialled = dial(&TLS13, RSA_1024, sham(), Tls::Accept).await;
    assert!(dialled.is_ok(), "{dialled:?}");
    let line = refusal(&TLS13, RSA_1024, sham()).await;
    assert!(
        line.contains("its key (RSA, 1024 bits)") && !line.contains("pin it"),
        "{line}"
    );
}

#[tokio::test]
async fn who_shows_the_pinned_certificate_without_its_key_is_told_as_that() {
    for (version, certificate, scheme) in [
        (&TLS13, RSA_2048, SignatureScheme::RSA_PSS_SHA256),
        (&TLS13, RSA_2048, SignatureScheme::ECDSA_NISTP256_SHA256),
        (&TLS13, VERSION_1, SignatureScheme::ECDSA_NISTP256_SHA256),
        (&TLS13, VERSION_1, SignatureScheme::RSA_PSS_SHA256),
        (&TLS12, RSA_2048, SignatureScheme::RSA_PKCS1_SHA256),
        (&TLS12, RSA_1024, SignatureScheme::RSA_PKCS1_SHA256),
    ] {
        let line = refusal(version, certificate, Arc::new(Sham(scheme))).await;
        assert!(
            line.contains("does not have its key") && !line.contains("accept"),
            "{scheme:?}: {line}"
        );
    }
}

#[tokio::test]
async fn what_is_signed_by_pkcs_1_counts_for_nothing_over_tls_1_3() {
    let line = refusal(&TLS13, RSA_1024, Arc::new(SmallKey)).await;
    assert!(line.contains("SignedHandshake"), "{line}");
}

#[tokio::test]
async fn a_pinned_camera_is_asked_for_signatures_that_can_be_checked_of_a_small_key() {
    let schemes = CertificateCheck::new(&Tls::Pin([0; 32]))
        .await
        .supported_verify_schemes();
    let is_last = |scheme: &SignatureScheme| {
        let name = scheme.as_str().unwrap();
        name.contains("PSS") || name == "RSA_PKCS1_SHA384"
    };
    let first = schemes.iter().position(is_last).unwrap();
    assert_eq!(schemes[first..].len(), 4, "{schemes:?}");
    assert!(schemes[first..].iter().all(is_last), "{schemes:?}");
}
