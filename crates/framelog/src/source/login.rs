//! When credentials are sent, and when they have been refused: the same over HTTP and RTSP. Not for the form that they are sent in, nor
//! for the requests that carry them.

use framelog_core::gap::GapReason;
use hyper::header::HeaderValue;

use crate::config::Camera;
use crate::config::url::CameraUrl;
use crate::source::auth::{Challenge, Credentials};
use crate::source::memory::Memory;

/// The most answers to challenges: a second one, if the nonce was new. More would lock the account (row 72).
const ANSWERS_MAX: usize = 2;

/// How often in a row a refusal of credentials that have worked is taken for a lack of free connections (row 75).
const REFUSALS_EXCUSED: u32 = 2;

/// The credentials that belong to one request, however often it is sent.
#[derive(Debug, Default)]
pub struct Login {
    /// How many times it carried credentials.
    answers: usize,
    /// Whether it did the last time.
    answered: bool,
    /// Those were for a challenge to this request.
    challenged: bool,
    /// By a weaker Digest than one that was refused.
    weaker: bool,
}

/// Why there is no use in sending it again.
#[derive(Debug)]
pub struct Refusal {
    /// `Unauthorized`, or `Busy` where it may be something else.
    pub reason: GapReason,
    /// In words.
    pub detail: &'static str,
}

impl Refusal {
    fn new(detail: &'static str) -> Self {
        let reason = GapReason::Unauthorized;
        Self { reason, detail }
    }
}

/// Whether there are credentials that may go, as Basic, to a camera that refuses without saying what it wants. Where it was a Digest, that would
/// give the password away.
pub fn may_send_unasked(camera: &Camera, memory: &Memory, url: &CameraUrl) -> bool {
    credentials(camera).is_some() && !memory.asked_for_digest && url.is_trusted_by(&camera.url)
}

impl Login {
    /// The value of an Authorization field for a request to `url`, if there are credentials, if they may go there, and if it is known in
    /// what form.
    ///
    /// # Errors
    ///
    /// [`Refusal`], if no field can carry them.
    pub fn authorize(
        &mut self,
        camera: &Camera,
        memory: &mut Memory,
        url: &CameraUrl,
        [method, target]: [&str; 2],
    ) -> Result<Option<HeaderValue>, Refusal> {
        self.answered = false;
        let (Some(credentials), Some(challenge)) = (credentials(camera), &mut memory.challenge)
        else {
            return Ok(None);
        };
        if !url.is_trusted_by(&camera.url) {
            return Ok(None);
        }
        self.answered = true;
        self.answers += 1;
        let mut value = HeaderValue::from_bytes(&challenge.answer(credentials, method, target))
            .map_err(|_| {
                Refusal::new("username has a character that no header may have; check it")
            })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Whether credentials were sent the last time.
    pub fn answered(&self) -> bool {
        self.answered
    }

    /// The last one never reached the camera.
    pub fn take_back(&mut self) {
        self.answers -= usize::from(self.answered);
    }

    /// The camera did what it was asked.
    pub fn accepted(&self, memory: &mut Memory) {
        if self.answered {
            memory.unasked = false;
            memory.worked = true;
            memory.refusals = 0;
            if self.weaker {
                memory.digest = memory.challenge.as_ref().map(Challenge::name);
            }
        }
    }

    /// The camera wants credentials (401, as a rule), in the form that these WWW-Authenticate fields say, Basic if there are none: the request is
    /// to be sent again.
    ///
    /// # Errors
    ///
    /// [`Refusal`], if that is of no use.
    pub fn challenged<'f>(
        &mut self,
        camera: &Camera,
        memory: &mut Memory,
        url: &CameraUrl,
        fields: impl IntoIterator<Item = &'f [u8]>,
    ) -> Result<(), Refusal> {
        if !url.is_trusted_by(&camera.url) {
            return Err(Refusal::new(
                "it was redirected to, and credentials go to the configured host only; set url to it",
            ));
        }
        if credentials(camera).is_none() {
            return Err(Refusal::new(
                "it wants credentials; set username and password",
            ));
        }
        let mut fields = fields.into_iter().peekable();
        let is_silent = fields.peek().is_none();
        let mut offered = Challenge::offered(fields);
        let is_unasked = is_silent && !self.answered && may_send_unasked(camera, memory, url);
        if is_unasked {
            // It may have forgotten to say what it wants: the simplest, once.
            offered.push(Challenge::Basic);
        }
        let has_worked = |found: &&Challenge| Some(found.name()) == memory.digest;
        let best = match offered.iter().find(has_worked).or(offered.first()) {
            Some(best) => best,
            None if is_silent => return Err(refused(memory)),
            None => {
                return Err(Refusal::new(
                    "it asks for neither Basic nor a Digest that is known here",
                ));
            }
        };
        let fresh = memory.challenge.as_ref() != Some(best);
        // Some cameras offer a hash that they get wrong. Basic is no way out: that would give the password away.
        let refused_hash = memory.challenge.as_ref();
        let refused_hash = refused_hash.filter(|_| self.answered && self.challenged);
        let weaker = refused_hash.and_then(|refused| {
            offered
                .iter()
                .find(|found| found.is_weaker_digest_than(refused))
        });
        if self.answered && (weaker.is_none() && !fresh || self.answers >= ANSWERS_MAX) {
            return Err(refused(memory));
        }
        self.challenged = true;
        self.weaker = weaker.is_some();
        let mut taken = weaker.unwrap_or(best).clone();
        if let Some(before) = &memory.challenge {
            taken.replace(before);
        }
        memory.asked_for_digest |= taken != Challenge::Basic;
        memory.challenge = Some(taken);
        memory.unasked = is_unasked;
        Ok(())
    }
}

fn refused(memory: &mut Memory) -> Refusal {
    // The next try begins without credentials: one wrong answer less for a camera that counts them.
    memory.challenge = None;
    memory.digest = None;
    memory.refusals = memory.refusals.saturating_add(1);
    if memory.worked && memory.refusals <= REFUSALS_EXCUSED {
        return Refusal {
            reason: GapReason::Busy,
            detail: "it refused username and password, which have worked before; it may have no connection free",
        };
    }
    Refusal::new("it refused username and password; check them")
}

fn credentials(camera: &Camera) -> Option<Credentials<'_>> {
    let password = camera
        .password
        .as_ref()
        .map_or("", |password| password.expose());
    let username = camera.username.as_deref();
    (username.is_some() || !password.is_empty()).then(|| Credentials {
        username: username.unwrap_or_default(),
        password,
    })
}
