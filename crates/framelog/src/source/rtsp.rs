//! A camera over RTSP (RFC 2326): its connection, from the first request to TEARDOWN. Not for when to try again, nor for what is in the
//! packets (RTP: the core's).
//!
//! An own client and not a crate, because what cameras make of RTSP, with bounded memory, is what this program is about.

use std::time::Duration;

use framelog_core::frame::Codec;
use framelog_core::gap::GapReason;
use tokio::time::timeout;

mod dialogue;
mod elsewhere;
mod handshake;
mod keep_alive;
mod media;
mod playing;
mod udp;
mod wire;

use crate::config::url::CameraUrl;
use crate::config::{Camera, Tls};
use crate::source::dial::{DialError, Stream};
use crate::source::memory::Memory;
use crate::source::quote::Quoter;
use crate::source::{Delivery, Ended};
use dialogue::{Ask, Dialogue, Fault, Party, Talk};
use playing::Playing;
use wire::Wire;

/// The most redirects that are followed.
const REDIRECTS_MAX: usize = 5;

/// How long the camera may take to end a session. One that has gone away never does.
const TEARDOWN_TIME: Duration = Duration::from_millis(1500);

/// A server that says nothing for so long speaks something else.
const SPOKEN_TIME: Duration = Duration::from_secs(2);

/// Whether there is a server of RTSP: asked for its methods, which none wants a login for (RFC 2326 §10.1), it answers, and not in HTTP. The
/// connection is closed again.
pub async fn is_spoken(url: &CameraUrl, tls: &Tls) -> bool {
    let Ok(stream) = Stream::dial(url, tls).await else {
        return false;
    };
    let mut dialogue = Dialogue::new(Wire::new(stream));
    let ask = Ask {
        method: "OPTIONS",
        target: &format!("rtsp://{}/", url.authority()),
        fields: &[],
    };
    let cseq = dialogue.send(ask, None);
    let answer = timeout(SPOKEN_TIME, dialogue.answer(cseq)).await;
    dialogue.wire.into_stream().close().await;
    matches!(answer, Ok(Ok(response)) if !dialogue::is_http(&response))
}

/// What was agreed on before the first packet, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The URL that was described, after redirects, as it may be shown.
    pub url: String,
    /// Who it says it is.
    pub server: Option<String>,
    /// The methods that it names.
    pub public: Option<String>,
    /// `Basic`, `Digest MD5`, …, if credentials were asked for.
    pub auth: Option<&'static str>,
    /// `verified`, `pinned` or `unverified`; `None` without TLS.
    pub tls: Option<&'static str>,
    /// `tcp` or `udp`.
    pub transport: &'static str,
    /// How its pictures are coded.
    pub codec: Codec,
    /// What else it offers: `audio PCMU`.
    pub others: Vec<String>,
    /// How long a session lives without a request.
    pub session_timeout: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct RtspSource {
    camera: Camera,
    quoter: Quoter,
    /// Where the stream is, after redirects.
    url: CameraUrl,
    dialogue: Option<Dialogue>,
    session: Session,
    /// Once packets are to come.
    playing: Option<Box<Playing>>,
    facts: Option<Facts>,
}

/// What TEARDOWN ends.
#[derive(Debug, Default)]
struct Session {
    /// As the camera named it.
    id: Option<Vec<u8>>,
    /// The URL of all that is set up.
    target: String,
    /// The number of a SETUP that may have made one, not answered yet.
    set_up: Option<u32>,
    /// There is one, whether it has a name or not.
    is_open: bool,
}

impl RtspSource {
    /// Of a camera to which nothing has been said yet.
    pub fn new(camera: &Camera) -> Self {
        Self {
            camera: camera.clone(),
            quoter: Quoter::new(camera),
            url: camera.url.clone(),
            dialogue: None,
            session: Session::default(),
            playing: None,
            facts: None,
        }
    }

    /// Connects, authenticates, follows redirects, and has the camera begin. Whatever comes of it, and if the future is dropped, there
    /// may be a session at the camera until [`close`](Self::close) has ended.
    ///
    /// # Errors
    ///
    /// Why there is no stream, within 10 s for each request that takes part.
    pub async fn connect(&mut self, memory: &mut Memory) -> Result<(), Ended> {
        let mut renewed = false;
        let mut redirects = Vec::new();
        if let Some(moved) = memory.moved.take() {
            self.url = moved;
        }
        loop {
            match self.begin(memory).await {
                Ok(()) => return Ok(()),
                Err(Fault::Ended(ended)) => return Err(ended),
                Err(Fault::Again(ended)) if renewed => return Err(ended),
                Err(Fault::Again(_)) => renewed = true,
                Err(Fault::Redirect(next)) => {
                    // To the same URL once: some cameras have to be asked twice.
                    if redirects.len() >= REDIRECTS_MAX || redirects.contains(&next) {
                        return Err(self.redirected_in_vain(&next));
                    }
                    redirects.push(std::mem::replace(&mut self.url, next));
                }
            }
            self.close(memory).await;
        }
    }

    fn redirected_in_vain(&self, next: &CameraUrl) -> Ended {
        let url = &self.url;
        Ended {
            reason: GapReason::BadResponse,
            detail: format!(
                "{url} redirects in a loop or more than {REDIRECTS_MAX} times, last to {next}; set url to the stream itself"
            ),
            retry_after: None,
        }
    }

    /// What was agreed on; `None` before it was.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// Whether pictures come, and none yet that can be shown.
    pub fn awaits_keyframe(&self) -> bool {
        (self.playing.as_ref()).is_some_and(|playing| playing.awaits_keyframe())
    }

    /// Waits for the next deliveries and appends them, in order. On `Err`, deliveries made before the end are in `out` too.
    /// Returns with nothing appended now and then. No picture is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Why the connection ended or is to be ended: `Stalled` after `stall_timeout` without a picture, whatever else came.
    pub async fn next(
        &mut self,
        memory: &mut Memory,
        out: &mut Vec<Delivery>,
    ) -> Result<(), Ended> {
        let Self {
            camera,
            quoter,
            url,
            dialogue: Some(dialogue),
            session,
            playing: Some(playing),
            ..
        } = self
        else {
            return Err(Ended {
                reason: GapReason::BadResponse,
                detail: format!("{} was not connected to", self.url),
                retry_after: None,
            });
        };
        let party = Party {
            camera,
            quoter,
            url,
        };
        let talk = &mut Talk {
            dialogue,
            party,
            memory,
        };
        playing.advance(talk, session, out).await
    }

    /// Appends a picture that is whole, though what would show that it is has not come.
    pub fn settle(&mut self, out: &mut Vec<Delivery>) {
        if let (Some(playing), Some(dialogue)) = (&mut self.playing, &mut self.dialogue) {
            dialogue.wire.settle();
            playing.take_the_rest(dialogue);
            playing.finish(out);
        }
    }

    /// Ends the session at the camera, if there is one, and closes the connection: cameras that are left without a word stream on, and
    /// serve nobody else (rows 81, 88, 89). Within 2 s.
    pub async fn close(&mut self, memory: &mut Memory) {
        let playing = self.playing.take();
        let has_hung_up = playing.is_some_and(|playing| playing.has_hung_up());
        let session = std::mem::take(&mut self.session);
        let Some(mut dialogue) = self.dialogue.take() else {
            return;
        };
        let party = Party {
            camera: &self.camera,
            quoter: &self.quoter,
            url: &self.url,
        };
        let talk = &mut Talk {
            dialogue: &mut dialogue,
            party,
            memory,
        };
        let farewell = async {
            if has_hung_up && session.is_open {
                talk.call_again().await?;
            }
            session.tear_down(talk).await;
            Ok::<_, DialError>(())
        };
        // Whatever went wrong, nothing more can be done.
        let _ = timeout(TEARDOWN_TIME, farewell).await;
        dialogue.wire.into_stream().close().await;
    }
}

impl Session {
    /// The Session field of a request.
    fn field(&self) -> Option<(&'static str, &[u8])> {
        self.id.as_deref().map(|id| ("Session", id))
    }

    async fn tear_down(mut self, talk: &mut Talk<'_>) {
        if let Some(cseq) = self.set_up
            && let Ok(response) = talk.dialogue.answer(cseq).await
        {
            self.opened(&response);
        }
        if !self.is_open {
            return;
        }
        let fields: Vec<_> = self.field().into_iter().collect();
        let ask = Ask {
            method: "TEARDOWN",
            target: &self.target,
            fields: &fields,
        };
        // As for any other request, the camera may want an answer to a new challenge.
        let _ = talk.ask(ask).await;
    }
}

#[cfg(test)]
mod tests;
