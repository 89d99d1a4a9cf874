//! Passwords are nowhere but in the configuration: not in logs, index, footage, what commands print, or what a webhook is told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use crate::support::camera::{Camera, HEAD, Listen, Request, Script, script};
use crate::support::daemon::{Place, program};
use crate::support::digest::{Challenge, basic};
use crate::support::rtsp::{Stage, answer};
use crate::support::tls::IDENTITY;
use crate::support::{free_port, hook};

const PLAIN: &str = "planted-plain-Sesam-1";
const IN_FILE: &str = "planted-file-Sesam-2";
const IN_ENV: &str = "planted-env-Sesam-3";
const IN_URL: &str = "planted-url-Sesam-4";
const WRONG: &str = "planted-wrong-Sesam-5";
const IN_QUERY: &str = "planted-query-Sesam-6";
const TOKEN: &str = "planted-token-Sesam-7";
const HOOK_TOKEN: &str = "planted-hook-Sesam-8";
const HOOK_PATH: &str = "/planted-hook-path-Sesam-9";
const DIGEST: &str = "planted-digest-Sesam-10";
const RTSP: &str = "planted-rtsp-Sesam-11";

const USER: &str = "admin";
const VARIABLE: &str = "FRAMELOG_TEST_PASSWORD";
const ENVIRONMENT: &[(&str, &str)] = &[(VARIABLE, IN_ENV), ("FRAMELOG_LOG", "trace")];

/// A camera that answers only to requests that are right, and says with this what it wants.
fn locked(
    wanted: String,
    is_right: impl Fn(&Request) -> bool + Copy + Send + Sync + 'static,
) -> Script {
    script(move |mut camera| {
        let refusal = format!(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {wanted}\r\nContent-Length: 0\r\n\r\n"
        );
        async move {
            while !is_right(&camera.request().await?) {
                camera.send(&refusal).await?;
            }
            camera.send(HEAD).await?;
            camera.send_live(50, usize::MAX).await
        }
    })
}

fn locked_with_basic(password: &'static str) -> Script {
    locked("Basic realm=\"x\"".to_owned(), move |request| {
        request.field("authorization") == Some(&basic(USER, password))
    })
}

fn challenge() -> Challenge {
    Challenge::md5("n1")
}

/// Whether this is the answer to the challenge.
fn is_answered(request: &Request, password: &str) -> bool {
    let authorization = request.field("authorization").unwrap_or_default();
    let (method, target) = (request.method(), request.target());
    challenge()
        .verify_for(method, authorization, target, USER, password)
        .is_ok()
}

fn locked_with_digest(password: &'static str) -> Script {
    locked(challenge().header(), move |request| {
        is_answered(request, password)
    })
}

fn locked_over_rtsp(password: &'static str) -> Script {
    script(move |camera| async move {
        let mut stage = Stage::new(camera);
        loop {
            let request = stage.request().await?;
            if !is_answered(&request, password) {
                let wanted = format!("WWW-Authenticate: {}\r\n", challenge().header());
                let refusal = answer(&request, "401 Unauthorized", &wanted, "");
                stage.camera.send(refusal).await?;
                continue;
            }
            stage.accept(&request).await?;
            if request.method() == "PLAY" {
                stage.pictures(usize::MAX).await?;
            }
        }
    })
}

/// Cameras by name, each with its credentials in another place or sent in another way.
fn cameras() -> Vec<(&'static str, Camera)> {
    [
        ("plain", locked_with_basic(PLAIN)),
        ("file", locked_with_basic(IN_FILE)),
        ("env", locked_with_basic(IN_ENV)),
        ("url", locked_with_basic(IN_URL)),
        ("wrong", locked_with_basic("never")),
        ("query", locked_with_basic("never")),
        ("digest", locked_with_digest(DIGEST)),
        ("rtsp", locked_over_rtsp(RTSP)),
    ]
    .into_iter()
    .zip(1..)
    .map(|((name, script), seed)| {
        let plainly = Listen::plainly(seed);
        // Of TLS more is logged than of anything else.
        let tls = name == "file";
        (name, Camera::start(Listen { tls, ..plainly }, script))
    })
    .collect()
}

/// Those cameras, a web server with a token, and a webhook.
fn place(cameras: &[(&'static str, Camera)], port: u16, hook: &str) -> Place {
    let place = Place::new("");
    place.plant(IN_QUERY);
    place.plant(HOOK_PATH);
    std::fs::write(place.path("password"), format!("{IN_FILE}\n"))
        .expect("a writable temporary directory");
    let storage = place.storage();
    let mut config = format!(
        "[storage]\npath = {storage:?}\n[http]\nlisten = \"127.0.0.1:{port}\"\ntoken = {TOKEN:?}\n[webhook]\nurl = {hook:?}\ntoken = {HOOK_TOKEN:?}\n"
    );
    for (name, camera) in cameras {
        let url = match *name {
            "url" => camera
                .url("/")
                .replace("//", &format!("//{USER}:{IN_URL}@")),
            "rtsp" => format!("rtsp://{USER}:{RTSP}@{}/live", camera.address),
            "file" => format!("https://{}/", camera.address),
            "query" => camera.url(&format!("/?user={USER}&pwd={IN_QUERY}")),
            _ => camera.url("/"),
        };
        config += &format!("[cameras.{name}]\nurl = {url:?}\nstall_timeout = \"1 s\"\n");
        let password = match *name {
            "plain" => format!("{PLAIN:?}"),
            "file" => "{ file = \"password\" }\ntls = \"accept\"".to_owned(),
            "env" => format!("{{ env = {VARIABLE:?} }}"),
            "wrong" => format!("{WRONG:?}"),
            "digest" => format!("{DIGEST:?}"),
            _ => continue,
        };
        config += &format!("username = {USER:?}\npassword = {password}\n");
    }
    place.write_config(&config);
    place
}

/// Every command that prints or writes something, but for `tail`; each is looked through by the place.
fn run_commands(place: &Place, cameras: &[(&'static str, Camera)]) {
    let address = |name: &str| {
        let found = cameras.iter().find(|(found, _)| *found == name);
        found.expect("a camera of this test").1.address
    };
    let with = |login: &str, name: &str| format!("{login}@{}/", address(name));
    let in_url = with(&format!("http://{USER}:{IN_URL}"), "url");
    let wrong = with(&format!("http://{USER}:{WRONG}"), "wrong");
    let rtsp = with(&format!("rtsp://{USER}:{RTSP}"), "rtsp");
    let rtsp_wrong = with(&format!("rtsp://{USER}:{WRONG}"), "rtsp");
    let query = format!("http://{}/?pwd={IN_QUERY}", address("query"));
    let (file, env) = (
        format!("https://{}/", address("file")),
        address("env").to_string(),
    );
    let fingerprint = &IDENTITY.fingerprint;
    for arguments in [
        &["check"][..],
        &["check", "--connect"],
        &["find"],
        &["find", "--json"],
        &["find", "--gaps"],
        &["find", "digest", "--frames"],
        &["status"],
        &["status", "--json"],
        &["reload"],
        &["doctor"],
        &["doctor", "--json"],
        &["verify"],
        &["verify", "--deep", "--json"],
        &["frame", "plain", "now", "-o", "frame.jpg"],
        &["frame", "rtsp", "now", "-o", "frame.mp4"],
        &[
            "export",
            "file",
            "--from",
            "-1min",
            "--to",
            "now",
            "-o",
            "export.mjpeg",
        ],
        &[
            "export",
            "digest",
            "--from",
            "-1min",
            "--to",
            "now",
            "-o",
            "export.zip",
        ],
        &[
            "export",
            "rtsp",
            "--from",
            "-1min",
            "--to",
            "now",
            "-o",
            "export.mp4",
        ],
        &[
            "protect", "rtsp", "--from", "-1min", "--to", "now", "--note", "the van",
        ],
        &["protect"],
        &["unprotect", "1"],
        &["probe", "--seconds", "1", &in_url],
        &["probe", "--seconds", "1", "--json", &in_url],
        &[
            "probe",
            "--seconds",
            "1",
            "--username",
            USER,
            "--password-file",
            "password",
            "--fingerprint",
            fingerprint,
            &file,
        ],
        &[
            "probe",
            "--seconds",
            "1",
            "--username",
            USER,
            "--password-env",
            VARIABLE,
            &env,
        ],
        &["probe", "--seconds", "1", &rtsp],
        &["probe", "--seconds", "1", "--json", &rtsp],
        &["probe", &rtsp_wrong],
        &["probe", &wrong],
        &["probe", &query],
    ] {
        let output = place.command_in(ENVIRONMENT, arguments);
        let said = [&*output.stdout, &output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let ends_well = match arguments[0] {
            "probe" => ![&*rtsp_wrong, &wrong, &query].contains(arguments.last().expect("a URL")),
            // Two cameras refuse, and what the machine is like is not for this test to say.
            "check" => arguments.len() == 1,
            "status" | "doctor" => false,
            _ => true,
        };
        assert!(
            output.status.success() || !ends_well && output.status.code() == Some(1),
            "{arguments:?}: {}\n{said}",
            output.status
        );
        if let Some(written) = arguments.iter().position(|argument| *argument == "-o") {
            let written = place.path(arguments[written + 1]);
            let bytes = std::fs::read(&written).expect("what was written");
            place.assert_clean(&written.display().to_string(), &bytes);
        }
    }
}

fn run_tail(place: &Place) {
    let mut tail = program()
        .arg("--config")
        .arg(place.config())
        .args(["tail", "digest", "--from", "-1min"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut heard = vec![0; 10_000];
    let mut out = tail.stdout.take().expect("a pipe");
    out.read_exact(&mut heard).expect("frames");
    drop(out);
    let output = tail.wait_with_output().expect("an end");
    assert!(output.status.success(), "{output:?}");
    place.assert_clean("tail", &heard);
    place.assert_clean("what tail says", &output.stderr);
}

/// With the right token, and with a wrong one.
fn ask_server(place: &Place, port: u16) {
    for path in ["/", "/healthz", "/api/status", "/metrics"] {
        for token in [TOKEN, "another"] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            write!(
                stream,
                "GET {path} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n"
            )
            .expect("it reads");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("it answers");
            assert!(answer.starts_with(b"HTTP/1.0 "), "{path}");
            place.assert_clean(path, &answer);
        }
    }
}

#[test]
fn no_password_is_shown_or_stored() {
    let port = free_port();
    let (hook, told) = hook::start(HOOK_PATH, "403 Forbidden");
    let cameras = cameras();
    let place = place(&cameras, port, &hook);
    let daemon = place.run_in(ENVIRONMENT);
    place.wait_for(
        "frames of those that open",
        Duration::from_secs(30),
        |index| {
            ["plain", "file", "env", "url", "digest", "rtsp"]
                .iter()
                .all(|name| index.rows_of(name).len() > 5)
                .then_some(())
        },
    );
    let (head, lost) = told
        .recv_timeout(Duration::from_secs(30))
        .unwrap_or_else(|_| panic!("not told:\n{}", place.log()));
    assert!(
        head.contains(HOOK_PATH) && head.contains(HOOK_TOKEN),
        "{head}"
    );
    assert_eq!(lost["event"], "camera_lost", "{lost}");
    place.assert_clean("what the webhook is told", lost.to_string().as_bytes());
    place.wait_for("its refusal in the log", Duration::from_secs(10), |_| {
        place.log().contains("webhook was not told").then_some(())
    });
    run_commands(&place, &cameras);
    run_tail(&place);
    ask_server(&place, port);
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success(),
        "{}",
        place.log()
    );
    assert!(place.log().contains(" DEBUG "), "more than usual is logged");
    // What it has logged and stored, the place looks through now.
}

#[test]
fn no_password_is_in_the_error_about_its_own_line() {
    for broken in [
        format!("url = \"http://admin:{IN_URL}@192.168.0.1/\nusername = \"x\""),
        format!("url = \"http://a/\"\npassword = \"{PLAIN}\" \"oops\""),
        format!("url = \"http://a/\"\npassword = [\"{PLAIN}\"]"),
        format!("url = \"rtp://admin:{IN_URL}@192.168.0.1/\""),
        format!("url = \"http://admin:{IN_URL}@192.168.0.1:port/\""),
        format!("url = \"http://a/?user=b&pwd={IN_QUERY}\"\nurl = \"http://c/?pwd={IN_QUERY}\""),
        format!("url = \"http://a/\"\npasword = \"{PLAIN}\""),
    ] {
        let place = Place::new(&format!("[cameras.gate]\n{broken}\n"));
        for secret in [IN_URL, PLAIN, IN_QUERY] {
            place.plant(secret);
        }
        let output = place.command(&["check"]);
        assert_eq!(output.status.code(), Some(2), "{broken}");
    }
}
