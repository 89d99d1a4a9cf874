//! A camera's self-signed certificate.

use std::sync::{Arc, LazyLock};

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;

/// The certificate that every camera with TLS shows.
pub struct Identity {
    /// Takes connections with it.
    pub acceptor: TlsAcceptor,
    /// Its SHA-256, as `AB:CD:…`.
    pub fingerprint: String,
}

/// Made once for each test process.
pub static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let made =
        rcgen::generate_simple_self_signed(["camera.invalid".to_owned()]).expect("a certificate");
    let fingerprint = Sha256::digest(made.cert.der())
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect::<Vec<_>>()
        .join(":");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("the key belongs to the certificate");
    Identity {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        fingerprint,
    }
});
