//! Section 6 over RTSP: credentials for each request, nonces that end at any of them.

use std::io;
use std::sync::Arc;

use super::cases;
use super::plan::{FRAMES, Plan};
use super::rtsp::{always, every_session_is_ended, once};
use crate::support::camera::Request;
use crate::support::digest::{Challenge, basic};
use crate::support::rtsp::{Stage, answer};

const USER: &str = "admin";
/// Before the only challenge.
const ALONE: &str = "WWW-Authenticate: ";

/// What a camera takes for credentials.
#[derive(Clone)]
enum Guard {
    Basic,
    Digest(Challenge),
    /// A nonce of its own for each method.
    Renewed,
    /// Digest; what is offered before it, up to where its challenge begins.
    Beside(&'static str, Challenge),
}

impl Guard {
    /// The field lines that ask for credentials, unless they are there and right.
    fn check(&self, request: &Request, secret: &str) -> Result<(), String> {
        let (before, challenge) = match self {
            Self::Basic => {
                let is_right = request.field("authorization") == Some(&basic(USER, secret));
                let wanted = "WWW-Authenticate: Basic realm=\"camera\"\r\n".to_owned();
                return if is_right { Ok(()) } else { Err(wanted) };
            }
            Self::Digest(challenge) => (ALONE, challenge.clone()),
            Self::Beside(before, challenge) => (*before, challenge.clone()),
            Self::Renewed => (
                ALONE,
                Challenge::md5(&format!("nonce-{}", request.method())),
            ),
        };
        let field = request.field("authorization").unwrap_or_default();
        challenge
            .verify_for(request.method(), field, request.target(), USER, secret)
            .map_err(|_| format!("{before}{}\r\n", challenge.header()))
    }
}

/// Answers requests until the end, those with the right credentials alone; sends pictures once it is asked to. `close`: a challenge ends
/// the connection.
async fn serve(stage: &mut Stage, guard: &Guard, secret: &str, close: bool) -> io::Result<()> {
    let mut has_played = false;
    loop {
        let request = stage.request().await?;
        if let Err(wanted) = guard.check(&request, secret) {
            let lines = if close {
                format!("{wanted}Connection: close\r\n")
            } else {
                wanted
            };
            let bytes = answer(&request, "401 Unauthorized", &lines, "");
            stage.camera.send(bytes).await?;
            if close {
                return Ok(());
            }
            continue;
        }
        stage.accept(&request).await?;
        if request.method() == "PLAY" && !std::mem::replace(&mut has_played, true) {
            stage.pictures(FRAMES).await?;
        }
    }
}

/// A camera that wants credentials for each request.
fn guarded(case: &str, guard: Guard) -> Plan {
    let secret = format!("Secret-{case}-19");
    let shared = Arc::new((guard, secret.clone()));
    once(move |mut stage| {
        let shared = Arc::clone(&shared);
        async move { serve(&mut stage, &shared.0, &shared.1, false).await }
    })
    .login(USER, &secret)
    .check(every_session_is_ended)
    .connections(1..=1)
}

cases! {
    rtsp_basic => guarded("rtsp-basic", Guard::Basic);
    rtsp_digest_md5 => guarded("rtsp-md5", Guard::Digest(Challenge::md5("n1")));
    rtsp_digest_sha_256 => guarded("rtsp-sha", Guard::Digest(Challenge::sha256("n1")));
    rtsp_digest_rfc_2069 => guarded("rtsp-2069", Guard::Digest(Challenge::rfc2069("n1")));
    rtsp_several_challenges => guarded("rtsp-several", Guard::Beside(
        "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: Basic realm=\"a, b\"\r\nWWW-Authenticate: ",
        Challenge::sha256("n1"),
    ));
    rtsp_several_challenges_in_a_line => guarded("rtsp-line", Guard::Beside(
        "WWW-Authenticate: Bearer realm=\"x\", Basic realm=\"Digest nonce=1, y\", ",
        Challenge::md5("n1"),
    ));
    rtsp_nonce_renewed_at_each_request => guarded("rtsp-renewed", Guard::Renewed);
    rtsp_nonce_renewed_at_keep_alive => {
        let secret = "Secret-rtsp-kept-19";
        once(move |stage| async move {
            let mut stage = stage.say("SETUP", "Session: 4711;timeout=2\r\n");
            let mut nonce = 0;
            let mut plays = false;
            loop {
                let request = stage.request().await?;
                let challenge = Challenge::md5(&format!("n{nonce}"));
                if let Err(wanted) = Guard::Digest(challenge).check(&request, secret) {
                    let bytes = answer(&request, "401 Unauthorized", &wanted, "");
                    stage.camera.send(bytes).await?;
                    continue;
                }
                stage.accept(&request).await?;
                plays |= request.method() == "PLAY";
                if plays && request.method() != "TEARDOWN" {
                    nonce += 1;
                    stage.pictures(4).await?;
                }
            }
        })
        .login(USER, secret)
        .frames(12)
        .check(every_session_is_ended)
        .connections(1..=1)
    };
    rtsp_challenge_closes_the_connection => {
        let secret = "Secret-rtsp-close-19";
        always(move |mut stage| async move {
            let close = stage.camera.number == 0;
            serve(&mut stage, &Guard::Digest(Challenge::md5("n1")), secret, close).await
        })
        .login(USER, secret)
        .frames(FRAMES)
        .connections(2..=2)
    };
    rtsp_wrong_password => always(|mut stage| async move {
        serve(&mut stage, &Guard::Digest(Challenge::md5("n1")), "another", false).await
    })
    .login(USER, "Secret-rtsp-wrong-19")
    .frames(0)
    .must(&["unauthorized"])
    .connections(1..=2);
    rtsp_no_credentials => always(|mut stage| async move {
        serve(&mut stage, &Guard::Basic, "x", false).await
    })
    .frames(0)
    .must(&["unauthorized"])
    .connections(1..=2);
}
