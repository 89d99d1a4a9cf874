//! What one connection to a camera leaves for the next. Not for what a connection does with it.

pub mod experience;

use std::time::Duration;

use framelog_core::gap::GapReason;
use framelog_core::sdp::Video;

use crate::config::url::CameraUrl;
use crate::source::Ended;
use crate::source::auth::Challenge;
use crate::source::dial::{DialError, Stream};
use experience::Experience;

/// What is worth keeping from one connection to the next: authentication state, and what a camera took amiss. The supervisor holds it for as long as the camera's
/// configuration stays the same.
#[derive(Debug, Default)]
pub struct Memory {
    /// The last challenge that was to be answered; answered in advance from then on.
    pub(super) challenge: Option<Challenge>,
    /// Whether the camera has ever asked for a Digest.
    pub(super) asked_for_digest: bool,
    /// The Digest that was accepted where a stronger one was refused.
    pub(super) digest: Option<&'static str>,
    /// Whether the credentials were ever accepted.
    pub(super) worked: bool,
    /// How often in a row they have been refused since.
    pub(super) refusals: u32,
    /// Over HTTP: heads are waited for as long as a frame may take. Changes with each that was waited for in vain.
    pub(super) answers_late: bool,
    /// Over HTTP: `challenge` is Basic that nobody asked for, and that has not worked.
    pub(super) unasked: bool,
    /// Over HTTP: the last multipart with pictures had one, and was closed behind it. The next such is a snapshot.
    pub(super) single_parts: bool,
    /// Over RTSP: OPTIONS has been answered well, so that a silence is not its fault.
    pub(super) options_answered: bool,
    /// Over RTSP: OPTIONS is not asked, because the connection was of no more use after it, and it never was answered.
    pub(super) without_options: bool,
    /// Over RTSP: the next connection asks for datagrams first, because the last was refused for packets, or was the second that had no answer
    /// when it was asked for them, or because of `sends_datagrams`.
    pub(super) datagrams_first: bool,
    /// Over RTSP: asked for packets over the connection, the camera spoke of datagrams, and none came there (libstreaming).
    pub(super) sends_datagrams: bool,
    /// Over RTSP: no answer to the next connection that is asked for packets is the second: the last had none either, or brought datagrams.
    pub(super) setup_unanswered: bool,
    /// Over RTSP: where the camera sent the last connection, for the next.
    pub(super) moved: Option<CameraUrl>,
    /// Over RTSP: why the camera ended the last connections, one after the other, in its own words. What it says each time changes nothing.
    pub(super) said: Vec<Said>,
    /// Over RTSP: what became of requests that keep a session alive.
    pub(super) keep_alives: Experience,
    /// SHA-256 of the certificate that was refused last.
    pub(crate) refused_certificate: Option<[u8; 32]>,
    /// What the log last said about TLS.
    pub(super) logged_tls: Option<Option<&'static str>>,
}

/// What a camera says in mid-stream to have its clients begin anew.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The stream is another than was described (ANNOUNCE).
    Other(Box<Video>),
    /// It is there from now on, if that is a URL (REDIRECT).
    Elsewhere(Option<CameraUrl>),
}

/// So many different things in a row are believed.
const SAID_MAX: usize = 8;

/// What is said after so long without a word has a cause of its own: the stream changes at dusk and dawn.
const QUIET_TIME: Duration = Duration::from_secs(600);

impl Memory {
    /// Of one for whom there is no second try.
    pub fn patient() -> Self {
        Self {
            answers_late: true,
            ..Self::default()
        }
    }

    /// The camera refused for another reason than a lack of credentials, as far as is known: what it never asked for is not sent at once again.
    pub(super) fn forget_unasked(&mut self) {
        if std::mem::take(&mut self.unasked) {
            self.challenge = None;
        }
    }

    /// Whether that is news, after so long without a word over a running connection. It is not if the camera has said it over one of the last
    /// connections, all of which it ended so, soon.
    pub(super) fn is_news(&mut self, said: Said, quiet: Duration) -> bool {
        if quiet >= QUIET_TIME {
            self.said.clear();
        }
        let is_news = !self.said.contains(&said) && self.said.len() < SAID_MAX;
        if is_news {
            self.said.push(said);
        }
        is_news
    }

    /// Notes what a connection, or a failure to make one, says of TLS, and logs it once.
    ///
    /// # Errors
    ///
    /// The failure, as the end that it is.
    pub(super) fn dialled(
        &mut self,
        url: &CameraUrl,
        dialled: Result<Stream, DialError>,
    ) -> Result<Stream, Ended> {
        let stream = dialled.map_err(|error| {
            if let DialError::Certificate { seen, .. } = &error {
                self.refused_certificate = Some(seen.0);
            }
            Ended::new(GapReason::Unreachable, error.to_string())
        })?;
        let tls = stream.tls();
        if self.logged_tls != Some(tls) {
            self.logged_tls = Some(tls);
            tracing::info!(%url, tls = tls.unwrap_or("none"), "connected");
        }
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_camera_says_again_is_news_only_after_it_was_quiet_for_long() {
        let mut memory = Memory::default();
        let mut is_news = |path: &str, quiet_s| {
            let (url, _) = CameraUrl::parse(&format!("rtsp://camera/{path}")).unwrap();
            memory.is_news(Said::Elsewhere(Some(url)), Duration::from_secs(quiet_s))
        };
        assert!(is_news("day", 1) && is_news("night", 1));
        assert!(!is_news("day", 1) && !is_news("night", 60));
        assert!(is_news("day", 40_000) && is_news("night", 40_000));
        assert!(is_news("day", 40_000) && !is_news("day", 1));
    }
}
