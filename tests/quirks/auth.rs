//! Section 6: authentication.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};

use super::cases;
use super::plan::{FRAMES, HEAD, Plan, idle, response, send_parts, serve};
use crate::support::camera::{Connection, Request, Shot};
use crate::support::digest::{Challenge, basic};

const USER: &str = "admin";

/// A password that belongs to one case, so that a leak names it.
fn password(case: &str) -> String {
    format!("Secret-{case}-17")
}

/// A 401 with these WWW-Authenticate values.
fn unauthorized(challenges: &[String], lines: &str) -> Vec<u8> {
    let challenges: String = challenges
        .iter()
        .map(|challenge| format!("WWW-Authenticate: {challenge}\r\n"))
        .collect();
    response(
        "401 Unauthorized",
        &format!("{challenges}{lines}Content-Type: text/html\r\n"),
        b"<html>401</html>",
    )
}

/// Asks for credentials with `challenges`, takes what `verify` accepts, and complains about anything else.
fn guarded(
    secret: &str,
    challenges: Vec<String>,
    verify: impl Fn(&Request, &str) -> Result<(), String> + Send + Sync + 'static,
) -> Plan {
    let shared = Arc::new((challenges, verify));
    Plan::new(move |mut camera| {
        let shared = Arc::clone(&shared);
        async move {
            loop {
                let request = camera.request().await?;
                match request
                    .field("authorization")
                    .map(|answer| (shared.1)(&request, answer))
                {
                    Some(Ok(())) => return serve(&mut camera).await,
                    Some(Err(complaint)) => camera.complain(complaint),
                    None => {}
                }
                camera.send(unauthorized(&shared.0, "")).await?;
            }
        }
    })
    .login(USER, secret)
    .frames(FRAMES)
    .requests(2..=2)
}

/// Digest with this challenge, sent as `write` has it.
fn digest(case: &str, challenge: Challenge, write: impl Fn(&Challenge) -> Vec<String>) -> Plan {
    let secret = password(case);
    let challenges = write(&challenge);
    guarded(&secret.clone(), challenges, move |request, answer| {
        challenge.verify(answer, request.target(), USER, &secret)
    })
}

/// Digest with the challenge written as it should be.
fn digest_plainly(case: &str, challenge: Challenge) -> Plan {
    digest(case, challenge, |challenge| vec![challenge.header()])
}

/// Basic with this password, which is given as the URL and keys have it.
fn basic_with(secret: &'static str) -> Plan {
    guarded(
        secret,
        vec!["Basic realm=\"camera\"".to_owned()],
        move |_, answer| match answer == basic(USER, secret) {
            true => Ok(()),
            false => Err(format!("not the right Basic answer: {answer}")),
        },
    )
}

/// Credentials in the URL instead of settings.
fn basic_in_url(secret: &'static str, userinfo: &'static str) -> Plan {
    let mut plan = basic_with(secret)
        .url(move |address| format!("http://{userinfo}@{address}/video?channel=1"));
    plan.keys
        .retain(|key| !key.starts_with("username") && !key.starts_with("password"));
    plan
}

/// Answers with a picture to every request whose answer is right and new; a nonce lives for `uses` requests.
fn short_lived_nonces(case: &str, uses: usize, stale: &'static str) -> Plan {
    let secret = password(case);
    let login = secret.clone();
    let state = Arc::new(Mutex::new((0_usize, 0_usize, HashSet::new())));
    Plan::new(move |mut camera| {
        let (secret, state) = (secret.clone(), Arc::clone(&state));
        async move {
            loop {
                let request = camera.request().await?;
                let accepted = request.field("authorization").is_some_and(|answer| {
                    let mut state = state.lock().expect("no script panics");
                    let (generation, used, seen) = &mut *state;
                    let verdict = Challenge::md5(&format!("nonce{generation}")).verify(
                        answer,
                        request.target(),
                        USER,
                        &secret,
                    );
                    if !seen.insert(answer.to_owned()) {
                        camera.complain(format!("an answer was used twice: {answer}"));
                    }
                    *used += 1;
                    verdict.is_ok() && *used <= uses
                });
                if accepted {
                    let jpeg = camera.jpeg().bytes();
                    camera
                        .deliver(
                            response("200 OK", "Content-Type: image/jpeg\r\n", &jpeg),
                            Shot::new(&jpeg),
                        )
                        .await?;
                    continue;
                }
                let header = {
                    let mut state = state.lock().expect("no script panics");
                    (state.0, state.1) = (state.0 + 1, 0);
                    Challenge::md5(&format!("nonce{}", state.0)).header()
                };
                camera
                    .send(unauthorized(&[format!("{header}{stale}")], ""))
                    .await?;
            }
        }
    })
    .login(USER, &login)
    .key("poll_interval", "\"2 s\"")
    .frames(10)
}

/// Refuses whatever comes, in this way.
fn refuses(case: &str, challenges: Vec<String>) -> Plan {
    Plan::new(move |mut camera| {
        let challenges = challenges.clone();
        async move {
            loop {
                camera.request().await?;
                camera.send(unauthorized(&challenges, "")).await?;
            }
        }
    })
    .login(USER, &password(case))
    .frames(0)
    .must(&["unauthorized"])
}

/// Takes the credentials, sends some frames and closes; then 401 to the same credentials some times; then serves.
fn no_connection_free() -> Plan {
    let secret = password("75");
    let login = secret.clone();
    Plan::new(move |mut camera| {
        let right = basic(USER, &secret);
        async move {
            loop {
                let request = camera.request().await?;
                let known = request.field("authorization") == Some(right.as_str());
                match (known, camera.number) {
                    (true, 0) => {
                        camera.send(HEAD).await?;
                        return send_parts(&mut camera, FRAMES).await;
                    }
                    (true, 3..) => return serve(&mut camera).await,
                    _ => {
                        camera
                            .send(unauthorized(&["Basic realm=\"x\"".to_owned()], ""))
                            .await?
                    }
                }
            }
        }
    })
    .login(USER, &login)
    .frames(2 * FRAMES)
    .may(&["disconnected", "busy", "unauthorized"])
}

/// A new nonce and a close with every answer.
async fn closes_with_every_401(mut camera: Connection, secret: String) -> io::Result<()> {
    let request = camera.request().await?;
    // Any nonce that was ever given is good: they are numbered by connection.
    let answer = request.field("authorization").map(str::to_owned);
    let verdicts = |answer: &str| {
        (0..camera.number)
            .map(|number| {
                Challenge::md5(&format!("n{number}")).verify(
                    answer,
                    request.target(),
                    USER,
                    &secret,
                )
            })
            .collect::<Vec<_>>()
    };
    match answer.map(|answer| verdicts(&answer)) {
        Some(verdicts) if verdicts.iter().any(Result::is_ok) => serve(&mut camera).await,
        Some(verdicts) => {
            camera.complain(format!("no right answer: {verdicts:?}"));
            idle(camera).await
        }
        None => {
            let header = Challenge::md5(&format!("n{}", camera.number)).header();
            camera
                .send(unauthorized(&[header], "Connection: close\r\n"))
                .await
        }
    }
}

cases! {
    row_66_basic => basic_with("Secret-66-basic");
    row_66_basic_in_other_letter_case => guarded("Secret-66-case", vec!["BASIC Realm=camera".to_owned()], |_, answer| {
        (answer == basic(USER, "Secret-66-case")).then_some(()).ok_or_else(|| format!("wrong: {answer}"))
    });
    row_67_digest_md5 => digest_plainly("67", Challenge::md5("dcd98b71"));
    row_67_digest_algorithm_in_small_letters => digest_plainly("67-small", Challenge { algorithm: Some("md5"), ..Challenge::md5("abc") });
    row_67_digest_offers_auth_int_too => digest("67-int", Challenge::md5("abc"), |challenge| vec![challenge.header().replace("\"auth\"", "\"auth,auth-int\"")]);
    row_67_digest_qop_without_quotes => digest("67-bare", Challenge::md5("abc"), |challenge| vec![challenge.header().replace("\"auth\"", "auth")]);
    row_67_digest_without_commas => digest("67-mangled", Challenge::md5("abc"), |challenge| vec![challenge.header().replace("\", ", "\" ")]);
    row_67_digest_with_blanks_and_line_ends => digest("67-folded", Challenge::md5("abc"), |challenge| vec![challenge.header().replace(", ", " ,\r\n\t ")]);
    row_67_digest_of_a_target_with_a_query => digest_plainly("67-query", Challenge::md5("q1"))
        .url(|address| format!("http://{address}/cgi-bin/mjpg/video.cgi?channel=1&subtype=1&x=a%20b/c?d"));
    row_67_digest_without_opaque => digest_plainly("67-opaque", Challenge { opaque: None, ..Challenge::md5("abc") });
    row_67_digest_counts => short_lived_nonces("67-counts", 1000, "");
    row_68_digest_of_rfc_2069 => digest_plainly("68", Challenge::rfc2069("0123456789abcdef"));
    row_68_digest_without_qop_with_algorithm => digest_plainly("68-md5", Challenge { qop: false, ..Challenge::md5("abc") });
    row_69_digest_sha_256 => digest_plainly("69", Challenge::sha256("abc"));
    row_69_digest_stale_in_quotes => digest("69-stale", Challenge::sha256("abc"), |challenge| vec![format!("{}, stale=\"FALSE\"", challenge.header())]);
    row_70_nonce_for_one_use => short_lived_nonces("70-once", 1, ", stale=true");
    row_70_nonce_for_one_use_without_stale => short_lived_nonces("70-new", 1, "");
    row_70_nonce_for_three_uses => short_lived_nonces("70-three", 3, ", stale=\"TRUE\"");
    row_71_digest_and_basic_in_two_headers => digest("71-two", Challenge::md5("abc"), |challenge| vec!["Basic realm=\"x\"".to_owned(), challenge.header()]);
    row_71_digest_and_basic_in_one_header => digest("71-one", Challenge::md5("abc"), |challenge| vec![format!("Basic realm=\"x\", {}", challenge.header())]);
    row_71_md5_and_sha_256 => digest("71-both", Challenge::sha256("for-sha"), |challenge| vec![Challenge::md5("for-md5").header(), challenge.header()]);
    row_71_sha_256_and_md5_in_one_header => digest("71-list", Challenge::sha256("for-sha"), |challenge| vec![format!("{}, {}", challenge.header(), Challenge::md5("for-md5").header())]);
    row_71_unknown_scheme_first => digest("71-unknown", Challenge::md5("abc"), |challenge| vec!["Negotiate".to_owned(), "Bearer realm=\"x\"".to_owned(), challenge.header()]);
    row_71_unknown_algorithm_beside => digest("71-algorithm", Challenge::md5("abc"), |challenge| {
        vec![Challenge { algorithm: Some("SHA-512-256"), ..Challenge::md5("other") }.header(), challenge.header()]
    });
    row_72_wrong_password_digest => refuses("72-digest", vec![Challenge::md5("always").header()]).requests(2..=4);
    row_72_wrong_password_basic => refuses("72-basic", vec!["Basic realm=\"x\"".to_owned()]).requests(2..=4);
    row_72_no_credentials_configured => {
        let mut plan = refuses("72-none", vec!["Basic realm=\"x\"".to_owned()]).requests(1..=2);
        plan.keys.retain(|key| !key.starts_with("username") && !key.starts_with("password"));
        plan
    };
    row_72_no_challenge => refuses("72-no-challenge", Vec::new()).requests(2..=4);
    row_66_basic_that_is_not_asked_for => guarded("Secret-66-silent", Vec::new(), |_, answer| {
        (answer == basic(USER, "Secret-66-silent")).then_some(()).ok_or_else(|| format!("wrong: {answer}"))
    });
    row_72_unknown_challenge => refuses("72-unknown", vec!["Negotiate".to_owned()]).requests(1..=4);
    row_72_forbidden => Plan::new(async |mut camera| {
        camera.request().await?;
        camera.send(response("403 Forbidden", "", b"locked")).await
    }).login(USER, &password("72-forbidden")).frames(0).must(&["unauthorized"]).requests(1..=4);
    row_74_password_of_special_characters => basic_with("p@ss#w%rd^!:/?&=74");
    row_74_password_of_special_characters_in_the_url => basic_in_url("p@ss#w%rd^!74", "admin:p@ss#w%rd^!74");
    row_74_password_percent_coded_in_the_url => basic_in_url("p@ss:w/rd?74", "admin:p%40ss%3Aw%2Frd%3F74");
    row_74_password_not_in_ascii => basic_with("Gr\u{fc}\u{df}e-\u{20ac}-74");
    row_75_no_connection_free => no_connection_free();
    row_75_new_nonce_and_close_each_time => {
        let secret = password("75-close");
        let login = secret.clone();
        Plan::new(move |camera| closes_with_every_401(camera, secret.clone())).login(USER, &login).frames(FRAMES).connections(2..=2)
    };
    row_78_credentials_in_the_query => {
        let mut plan = Plan::new(async |mut camera| {
            let request = camera.request().await?;
            if request.target() != "/videostream.cgi?loginuse=admin&loginpas=Secret-78-a%2Bb~&usr=x&pwd=Secret-78-c" {
                camera.complain(format!("the query was changed: {}", request.target()));
            }
            serve(&mut camera).await
        })
        .url(|address| format!("http://{address}/videostream.cgi?loginuse=admin&loginpas=Secret-78-a%2Bb~&usr=x&pwd=Secret-78-c"))
        .frames(FRAMES);
        plan.secrets = vec!["Secret-78-a".to_owned(), "Secret-78-c".to_owned()];
        plan
    };
    row_78_hash_in_the_query => {
        let mut plan = Plan::new(async |mut camera| {
            let request = camera.request().await?;
            if request.target() != "/video.cgi?usr=x&pwd=Secret-78%23g&channel=1" {
                camera.complain(format!("the password was changed: {}", request.target()));
            }
            serve(&mut camera).await
        })
        .url(|address| format!("http://{address}/video.cgi?usr=x&pwd=Secret-78#g&channel=1"))
        .frames(FRAMES);
        plan.secrets = vec!["Secret-78#g".to_owned(), "Secret-78%23g".to_owned()];
        plan
    };
    row_78_credentials_in_the_query_of_a_camera_that_fails => {
        let mut plan = Plan::new(async |mut camera| {
            camera.request().await?;
            camera.send("HTTP/1.1 302 Found\r\nLocation: /x?pwd=Secret-78-f\r\nContent-Length: 0\r\n\r\n").await
        })
        .url(|address| format!("http://{address}/x?pwd=Secret-78-e"))
        .frames(0)
        .must(&["disconnected"]);
        plan.secrets = vec!["Secret-78-e".to_owned(), "Secret-78-f".to_owned()];
        plan
    };

    password_echoed_in_an_error_page => {
        let plan = Plan::new(async |mut camera| {
            camera.request().await?;
            camera.send(response("200 OK", "Content-Type: text/html\r\n", b"<html>user admin password Secret-echo-1 expired</html>")).await
        });
        plan.login(USER, "Secret-echo-1").frames(0).must(&["not_video"])
    };
    answer_of_401_is_large => {
        let secret = "Secret-large-1";
        Plan::new(move |mut camera| async move {
            let request = camera.request().await?;
            if request.field("authorization") == Some(basic(USER, secret).as_str()) {
                return serve(&mut camera).await;
            }
            let body = vec![b'x'; 300_000];
            camera.send(response("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", &body)).await?;
            if camera.request().await?.field("authorization") == Some(basic(USER, secret).as_str()) {
                return serve(&mut camera).await;
            }
            Ok(())
        }).login(USER, secret).frames(FRAMES)
    };
}
