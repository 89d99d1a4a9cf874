//! What one connection to a camera leaves for the next. Not for what a connection does with it.

use crate::source::auth::Challenge;

/// What is worth keeping from one connection to the next: authentication state. The supervisor holds it for as long as the camera's
/// configuration stays the same.
#[derive(Debug, Default)]
pub struct Memory {
    /// The last challenge that was to be answered; answered in advance from then on.
    pub(super) challenge: Option<Challenge>,
    /// Whether the credentials were ever accepted.
    pub(super) worked: bool,
    /// How often in a row they have been refused since.
    pub(super) refusals: u32,
    /// SHA-256 of the certificate that was refused last.
    pub(crate) refused_certificate: Option<[u8; 32]>,
    /// What the log last said about TLS.
    pub(super) logged_tls: Option<Option<&'static str>>,
}
