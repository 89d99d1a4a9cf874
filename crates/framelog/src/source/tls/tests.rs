use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{ServerConfig, SignatureAlgorithm};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::url::CameraUrl;
use crate::source::dial::{DialError, Stream};

/// A key that signs whatever there is, and never well.
#[derive(Debug, Clone)]
struct Sham(SignatureScheme);

impl SigningKey for Sham {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_rsa = |scheme: &&SignatureScheme| {
            is_pss(scheme) || scheme.as_str().is_some_and(|name| name.starts_with("RSA"))
        };
        let scheme = offered.iter().find(is_rsa)?;
        Some(Box::new(Self(*scheme)))
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

/// Connects to a camera with this certificate and key, of which rustls thinks nothing.
async fn dial(
    certificate: &'static [u8],
    key: Arc<dyn SigningKey>,
    tls: Tls,
) -> Result<Stream, DialError> {
    let certified = CertifiedKey::new(vec![certificate.into()], key);
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
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

#[tokio::test]
async fn a_certificate_of_version_1_is_pinned_and_accepted() {
    let certificate = include_bytes!("samples/version-1.der");
    let key = || {
        let key = include_bytes!("samples/version-1.key");
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(&key[..]);
        rustls::crypto::ring::sign::any_supported_type(&key.into()).unwrap()
    };
    for tls in [pin(certificate), Tls::Accept] {
        let dialled = dial(certificate, key(), tls).await;
        assert!(dialled.is_ok(), "{dialled:?}");
    }
    let dialled = dial(certificate, key(), Tls::Verify).await;
    assert!(
        matches!(dialled, Err(DialError::Certificate { .. })),
        "{dialled:?}"
    );
}

#[tokio::test]
async fn a_key_that_can_t_be_checked_is_accepted_and_otherwise_named() {
    let certificate = include_bytes!("samples/rsa-1024.der");
    let sham = || Arc::new(Sham(SignatureScheme::RSA_PKCS1_SHA256));
    let dialled = dial(certificate, sham(), Tls::Accept).await;
    assert!(dialled.is_ok(), "{dialled:?}");
    let error = dial(certificate, sham(), pin(certificate))
        .await
        .unwrap_err();
    let line = error.to_string();
    assert!(
        line.contains("its key (RSA, 1024 bits)") && !line.contains("pin it"),
        "{line}"
    );
}

#[tokio::test]
async fn a_pinned_camera_is_asked_for_signatures_that_can_be_checked_of_a_small_key() {
    let schemes = CertificateCheck::new(&Tls::Pin([0; 32]))
        .await
        .supported_verify_schemes();
    let first_pss = schemes.iter().position(is_pss).unwrap();
    assert!(schemes[first_pss..].iter().all(is_pss), "{schemes:?}");
}
