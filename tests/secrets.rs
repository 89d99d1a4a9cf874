//! Passwords are nowhere but in the configuration: not in logs, index, footage, what commands print, or what a webhook is told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Output;
use std::time::Duration;

use crate::support::camera::{Camera, HEAD, Listen, Script, script};
use crate::support::daemon::{Place, program};
use crate::support::digest::basic;
use crate::support::{free_port, hook};

/// A camera that answers only to these credentials.
fn locked(username: &'static str, password: &'static str) -> Script {
    script(move |mut camera| async move {
        while camera.request().await?.field("authorization")
            != Some(basic(username, password).as_str())
        {
            camera.send("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n").await?;
        }
        camera.send(HEAD).await?;
        camera.send_live(50, usize::MAX).await
    })
}

const PLAIN: &str = "planted-plain-Sesam-1";
const IN_FILE: &str = "planted-file-Sesam-2";
const IN_ENV: &str = "planted-env-Sesam-3";
const IN_URL: &str = "planted-url-Sesam-4";
const WRONG: &str = "planted-wrong-Sesam-5";
const IN_QUERY: &str = "planted-query-Sesam-6";
const TOKEN: &str = "planted-token-Sesam-7";
const HOOK_TOKEN: &str = "planted-hook-Sesam-8";
const HOOK_PATH: &str = "/planted-hook-path-Sesam-9";

/// Six cameras, each with its credentials in another place, a web server with a token, and a webhook.
fn place(port: u16, hook: &str) -> (Place, Vec<Camera>) {
    let open = [PLAIN, IN_FILE, IN_ENV, IN_URL, "never", "never"]
        .into_iter()
        .zip(1..);
    let cameras: Vec<_> = open
        .map(|(password, seed)| Camera::start(Listen::plainly(seed), locked("admin", password)))
        .collect();
    let place = Place::new("");
    let file = place.path("password");
    std::fs::write(&file, format!("{IN_FILE}\n")).expect("a writable temporary directory");
    let user = "username = \"admin\"\npassword =";
    let storage = place.storage();
    place.write_config(&format!(
        "[storage]\npath = {storage:?}\n[http]\nlisten = \"127.0.0.1:{port}\"\ntoken = {TOKEN:?}\n[webhook]\nurl = {hook:?}\ntoken = {HOOK_TOKEN:?}\n{}{user} {PLAIN:?}\n{}{user} {{ file = {file:?} }}\n{}{user} {{ env = \"FRAMELOG_TEST_PASSWORD\" }}\n\
         [cameras.url]\nurl = \"http://admin:{IN_URL}@{}/\"\n{}{user} {WRONG:?}\nstall_timeout = \"1 s\"\n{}",
        cameras[0].section("plain", "/"),
        cameras[1].section("file", "/"),
        cameras[2].section("env", "/"),
        cameras[3].address,
        cameras[4].section("wrong", "/"),
        cameras[5].section("query", &format!("/?user=admin&pwd={IN_QUERY}")),
    ));
    (place, cameras)
}

fn assert_clean(what: &str, text: &[u8]) {
    for secret in [
        PLAIN, IN_FILE, IN_ENV, IN_URL, WRONG, IN_QUERY, TOKEN, HOOK_TOKEN, HOOK_PATH,
    ] {
        let coded = basic("admin", secret);
        for secret in [secret, &coded["Basic ".len()..]] {
            let shown = text
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(
                !shown,
                "{secret} is in {what}:\n{}",
                String::from_utf8_lossy(text)
            );
        }
    }
}

fn assert_output_clean(what: &str, output: &Output) {
    assert_clean(what, &output.stdout);
    assert_clean(what, &output.stderr);
}

#[test]
fn no_password_is_shown_or_stored() {
    let port = free_port();
    let (hook, told) = hook::start(HOOK_PATH, "403 Forbidden");
    let (place, _cameras) = place(port, &hook);
    let daemon = place.run_with("FRAMELOG_TEST_PASSWORD", IN_ENV);
    place.wait_for(
        "frames of the four that open",
        Duration::from_secs(30),
        |index| {
            ["plain", "file", "env", "url"]
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
    assert_eq!(lost["camera"], "wrong", "{lost}");
    assert_clean("what the webhook is told", lost.to_string().as_bytes());
    place.wait_for("its refusal in the log", Duration::from_secs(10), |_| {
        place.log().contains("webhook was not told").then_some(())
    });
    for arguments in [
        &["check"][..],
        &["check", "--connect"],
        &["find"],
        &["find", "--json"],
        &["find", "--gaps"],
        &["status"],
        &["status", "--json"],
        &["reload"],
        &["doctor"],
        &["doctor", "--json"],
    ] {
        let output = program()
            .arg("--config")
            .arg(place.config())
            .args(arguments)
            .env("FRAMELOG_TEST_PASSWORD", IN_ENV)
            .output()
            .expect("the program starts");
        assert_output_clean(&arguments.join(" "), &output);
    }
    for path in ["/healthz", "/api/status", "/metrics"] {
        for token in [TOKEN, "another"] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            write!(
                stream,
                "GET {path} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n"
            )
            .expect("it reads");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("it answers");
            assert!(answer.len() > 100, "{path}");
            assert_clean(path, &answer);
        }
    }
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success(),
        "{}",
        place.log()
    );
    assert_clean("the log", place.log().as_bytes());
    for file in place.files() {
        assert_clean(
            &file.display().to_string(),
            &std::fs::read(&file).expect("a file of the recorder"),
        );
    }
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
        let output = place.command(&["check"]);
        assert_eq!(output.status.code(), Some(2), "{broken}");
        assert_output_clean(&broken.replace("planted", "PLANTED"), &output);
    }
}
