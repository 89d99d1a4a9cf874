use super::*;
use proptest::prelude::*;

fn url(text: &str) -> CameraUrl {
    CameraUrl::parse(text).unwrap().0
}

fn user(text: &str) -> Option<(String, String)> {
    CameraUrl::parse(text).unwrap().1
}

fn pair(name: &str, password: &str) -> Option<(String, String)> {
    Some((name.to_owned(), password.to_owned()))
}

#[test]
fn passwords_with_marks_in_them_are_read_to_the_last_at() {
    assert_eq!(
        user("http://admin:p@ss#w%rd!@host/path"),
        pair("admin", "p@ss#w%rd!")
    );
    assert_eq!(url("http://admin:p@ss#w%rd!@host/path").target, "/path");
    assert_eq!(user("http://a:b?c:d^@host:81/x@y"), pair("a", "b?c:d^"));
    assert_eq!(user("http://a:p%40s@host"), pair("a", "p@s"));
    assert_eq!(user("http://a:%zz@host"), pair("a", "%zz"));
    assert_eq!(user("http://a:100%é@host"), pair("a", "100%é"));
    assert_eq!(user("http://admin@host"), pair("admin", ""));
    assert_eq!(user("http://host/a:b@c"), None);
}

#[test]
fn an_at_in_a_query_is_no_password() {
    let (found, user) = CameraUrl::parse("http://host:81?mail=me@example.org").unwrap();
    assert_eq!(
        (found.host.as_str(), found.port, found.target.as_str()),
        ("host", 81, "/?mail=me@example.org")
    );
    assert_eq!(user, None);
    assert_eq!(url("http://host?mail=me@example.org").host, "host");
}

#[test]
fn ports_paths_and_schemes_have_defaults() {
    assert_eq!(url("HTTP://Host").port, 80);
    assert_eq!(url("https://host?x#frag").target, "/?x");
    assert_eq!(url("https://host").port, 443);
    assert_eq!(
        (url("rtsp://host").port, url("rtsps://host").port),
        (554, 322)
    );
    assert_eq!(url("http://host:/a").port, 80);
    assert_eq!(
        url("http://host/a%20b?c=d|e&f=%zz").target,
        "/a%20b?c=d|e&f=%zz"
    );
}

#[test]
fn a_hash_in_a_value_of_the_query_is_a_part_of_it() {
    for (text, target) in [
        ("http://h/v?usr=a&pwd=b#c#d", "/v?usr=a&pwd=b%23c%23d"),
        ("http://h/v?pwd=#c&x=y", "/v?pwd=%23c&x=y"),
        ("http://h?pwd=a#b", "/?pwd=a%23b"),
        ("http://u:p?a=b#c@h/v?pwd=a#b", "/v?pwd=a%23b"),
        ("http://h/v?x#c=d", "/v?x"),
        ("http://h/v?pwd=a&x#c", "/v?pwd=a&x"),
        ("http://h/v#c?pwd=a", "/v"),
    ] {
        assert_eq!(url(text).target, target, "{text}");
    }
    let base = url("http://h/a");
    for location in ["http://h/v?pwd=b#c", "/v?pwd=b#c", "//h/v?pwd=b#c"] {
        assert_eq!(base.join(location).unwrap().target, "/v?pwd=b");
    }
    assert_eq!(url("http://h/v?pwd=b#c").secrets(), ["b%23c", "b#c"]);
}

#[test]
fn ipv6_keeps_its_zone_but_not_in_the_host_field() {
    for text in [
        "http://[fe80::1%25eth0]:8080/",
        "http://[FE80::1%eth0]:8080",
    ] {
        let found = url(text);
        assert_eq!(found.host, "fe80::1%eth0");
        assert_eq!(found.authority(), "[fe80::1]:8080");
        assert_eq!(found.to_string(), "http://[fe80::1%eth0]:8080/");
    }
    assert_eq!(url("http://[::1]").authority(), "[::1]");
}

#[test]
fn what_is_no_url_is_refused_with_a_remedy() {
    let error = |text: &str| CameraUrl::parse(text).unwrap_err();
    assert_eq!(error("192.168.0.5/stream"), UrlError::MissingScheme);
    assert_eq!(error("rtspu://admin:secret@host/"), UrlError::UnknownScheme);
    assert_eq!(error("ftp://host"), UrlError::UnknownScheme);
    assert_eq!(error("http:///path"), UrlError::MissingHost);
    assert_eq!(error("http://host:99999/"), UrlError::BadPort);
    assert_eq!(error("http://host:0/"), UrlError::BadPort);
    assert_eq!(error("http://admin:a/b@host/"), UrlError::BadPort);
    assert_eq!(error("http://::1/"), UrlError::BadIpv6);
    assert_eq!(error("http://[::1/"), UrlError::BadIpv6);
    assert_eq!(error("http://[::1%]/"), UrlError::BadIpv6);
    assert_eq!(error("http://ho st/"), UrlError::BadHost);
    assert_eq!(error("http://host/a\r\nb"), UrlError::ControlCharacter);
}

#[test]
fn locations_are_resolved_as_cameras_write_them() {
    let base = url("http://cam:81/a/b?c=d");
    let joined = |location: &str| base.join(location).unwrap();
    assert_eq!(joined("https://cam/x"), url("https://cam/x"));
    assert_eq!(joined("http://u:p@cam:81/x"), url("http://cam:81/x"));
    assert_eq!(joined("//other/x"), url("http://other/x"));
    assert_eq!(joined("http://cam:8081:/x"), url("http://cam:8081/x"));
    assert_eq!(joined("/x y"), url("http://cam:81/x y"));
    assert_eq!(joined("x"), url("http://cam:81/a/x"));
    assert_eq!(joined("../x/./y?z=.."), url("http://cam:81/x/y?z=.."));
    assert_eq!(joined("?e=f"), url("http://cam:81/a/b?e=f"));
    assert_eq!(joined("http:/x"), url("http://cam:81/x"));
    assert_eq!(joined("http:///x"), url("http://cam:81/x"));
    assert_eq!(joined("x?t=12:30"), url("http://cam:81/a/x?t=12:30"));
    for quoted in ["\"/x\"", "'/x'", "</x>", " \"/x\" "] {
        assert_eq!(joined(quoted), url("http://cam:81/x"), "{quoted}");
    }
    assert_eq!(joined("\\x\\y?z=\\"), url("http://cam:81/x/y?z=\\"));
    assert_eq!(joined("http:\\\\cam\\x"), url("http://cam/x"));
    assert_eq!(joined("192.168.1.5/x"), url("http://192.168.1.5/x"));
    assert_eq!(joined("192.168.1.5"), url("http://192.168.1.5/"));
    assert_eq!(joined("192.168.1.5:82/x"), url("http://192.168.1.5:82/x"));
    assert_eq!(joined("other:82?x"), url("http://other:82/?x"));
    assert_eq!(joined("[fe80::1]:82/x"), url("http://[fe80::1]:82/x"));
    assert_eq!(joined("http://0.0.0.0:82/x"), url("http://cam:82/x"));
    assert_eq!(joined("[::]:82/x"), url("http://cam:82/x"));
    assert_eq!(joined("HTTP://Cam:81/x#y"), url("http://cam:81/x"));
    assert_eq!(joined("./x"), url("http://cam:81/a/x"));
    assert_eq!(joined("http://cam:81?x=/y"), url("http://cam:81/?x=/y"));
    assert_eq!(joined("video.cgi"), url("http://cam:81/a/video.cgi"));
    assert_eq!(joined("v.2/x"), url("http://cam:81/a/v.2/x"));
    assert_eq!(joined("x:y/z"), url("http://cam:81/a/x:y/z"));
    assert_eq!(base.join("rtsp://cam/x"), Err(UrlError::OtherProtocol));
    assert_eq!(base.join("rtsp:/x"), Err(UrlError::OtherProtocol));
    let base = url("rtsp://cam/a");
    assert_eq!(base.join("rtsps://cam/x").unwrap(), url("rtsps://cam/x"));
    assert_eq!(base.join("http://cam/x"), Err(UrlError::OtherProtocol));
}

#[test]
fn a_location_never_leads_from_a_camera_to_this_machine() {
    let base = url("http://192.168.1.5/a");
    for host in [
        "127.0.0.1",
        "127.8.8.8",
        "localhost",
        "localhost.",
        "cam.localhost",
        "127.1",
        "127.0.0.01",
        "2130706433",
        "017700000001",
        "0X7F000001",
        "0x7f.0.1",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::1%25lo]",
        "[::ffff:127.0.0.1]",
    ] {
        let joined = base.join(format!("http://{host}:8081/x"));
        assert_eq!(joined.unwrap(), url("http://192.168.1.5:8081/x"), "{host}");
    }
    for host in [
        "192.168.001.6",
        "128.1",
        "127.1.cam",
        "127.0.0.0.1",
        "127.0.65536",
        "127.256.0.1",
        "4294967296",
        "127..1",
        "0x",
        "09",
    ] {
        let location = format!("http://{host}:8081/x");
        assert_eq!(base.join(&location).unwrap(), url(&location), "{host}");
    }
    for home in ["127.0.0.1", "localhost", "[::1]"] {
        let base = url(&format!("http://{home}:81/a"));
        let joined = base.join("http://127.0.0.2:8081/x");
        assert_eq!(joined.unwrap(), url("http://127.0.0.2:8081/x"), "{home}");
        let joined = base.join("http://0.0.0.0:81/x");
        assert!(joined.unwrap().has_same_origin(&base), "{home}");
    }
}

#[test]
fn a_location_has_the_zone_of_where_it_came_from() {
    let base = url("http://[fe80::1%eth0]/a");
    for (location, expected) in [
        ("http://[fe80::1]/x", "http://[fe80::1%eth0]/x"),
        ("http://[fe80:0::1]:81/x", "http://[fe80::1%eth0]:81/x"),
        ("http://[fe80::2]/x", "http://[fe80::2%eth0]/x"),
        ("http://[fe80::2%25eth1]/x", "http://[fe80::2%eth1]/x"),
        ("http://[2001:db8::1]/x", "http://[2001:db8::1]/x"),
        ("http://192.168.1.5/x", "http://192.168.1.5/x"),
    ] {
        assert_eq!(base.join(location).unwrap(), url(expected), "{location}");
    }
    let base = url("http://[fd00::1%eth0]/a");
    let joined = base.join("http://[fd00::1]/x").unwrap();
    assert!(joined.is_trusted_by(&base));
}

#[test]
fn a_location_keeps_its_bytes() {
    let base = url("http://cam/a");
    assert_eq!(base.join(b"/s\xfcd?\xff").unwrap().target, "/s%FCd?%FF");
    assert_eq!(base.join("/s\u{fc}d").unwrap().target, "/s\u{fc}d");
    let base = url("rtsp://cam/a");
    assert_eq!(base.join(b"rtsp://cam/\xfc").unwrap().target, "/%FC");
}

#[test]
fn secrets_in_query_and_path_are_masked() {
    let shown = |text: &str| url(text).to_string();
    assert_eq!(
        shown("http://u:p@h/?action=stream"),
        "http://h/?action=stream"
    );
    assert_eq!(
        shown("http://h/v.cgi?usr=me&pwd=s3cret&channel=1"),
        "http://h/v.cgi?usr=***&pwd=***&channel=1"
    );
    assert_eq!(shown("http://h/?s3cret"), "http://h/?***");
    assert_eq!(
        shown("http://h/?foo=1&overlay=off&p=1&pin=12&loginuse=1&foo=1234&passwd="),
        "http://h/?foo=1&overlay=off&p=***&pin=***&loginuse=***&foo=***&passwd="
    );
    assert_eq!(
        shown("http://h/?action=stream;pwd=x"),
        "http://h/?action=***"
    );
    assert_eq!(
        shown("http://h/user=admin_password=s3_cret_channel=1"),
        "http://h/user=***"
    );
    assert_eq!(
        url("http://h/v.cgi?usr=me&pwd=s3cret&channel=1").secrets(),
        ["me", "s3cret"]
    );
}

proptest! {
    #[test]
    fn parse_never_panics(text in "\\PC{0,60}", prefix in "(http://|HTTPS://|)") {
        if let Ok((found, _)) = CameraUrl::parse(&format!("{prefix}{text}")) {
            let _ = found.to_string();
            let _ = found.join(&text);
        }
    }

    #[test]
    fn a_planted_password_is_never_shown(password in "[A-Z@#?%^!:&=]{6,20}", place in 0usize..4) {
        let password = format!("Q{password}Q");
        let text = match place {
            0 => format!("http://admin:{password}@host/video?channel=1"),
            1 => format!("http://host/video?user=admin&pwd={password}"),
            2 => format!("http://host/user=admin_password={password}_channel=1"),
            _ => format!("http://host?loginuse={password}"),
        };
        match CameraUrl::parse(&text) {
            Ok((found, _)) => prop_assert!(!found.to_string().contains(&password), "{found}"),
            Err(error) => prop_assert!(!error.to_string().contains(&password)),
        }
    }

    #[test]
    fn any_password_without_a_slash_survives_percent_encoding(password in "\\PC{0,20}") {
        let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (_, found) = CameraUrl::parse(&format!("http://u:{encoded}@h/")).unwrap();
        prop_assert_eq!(found, Some(("u".to_owned(), password)));
    }
}
