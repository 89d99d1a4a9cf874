//! The fields of RTSP that a client needs, and the URLs made of them, as cameras write them. Not for SDP.

use std::net::IpAddr;
use std::time::Duration;

/// How long a session lives without a request where the camera doesn't say (RFC 2326 §12.37).
pub const SESSION_LIFETIME: Duration = Duration::from_secs(60);

/// A session, as a camera names it: `Session: 66334873;timeout=60`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// As it came; not empty.
    pub id: Vec<u8>,
    /// After so long without a request the camera ends it; `None` if it doesn't say.
    pub timeout: Option<Duration>,
}

impl Session {
    /// Reads a Session field; what is odd behind the id is passed over. A comma is part of the id, unless a timeout follows.
    pub fn read(value: &[u8]) -> Option<Self> {
        let is_end = |at: &usize| match value[*at] {
            b';' => true,
            b',' => {
                let word = value[at + 1..].trim_ascii_start().get(..7);
                word.is_some_and(|word| word.eq_ignore_ascii_case(b"timeout"))
            }
            _ => false,
        };
        let (id, rest) = value.split_at((0..value.len()).find(is_end).unwrap_or(value.len()));
        let id = Some(id.trim_ascii()).filter(|id| !id.is_empty())?.to_vec();
        let pieces = rest
            .split(|byte| b";,".contains(byte))
            .map(<[u8]>::trim_ascii);
        let timeout = pieces
            .filter_map(|piece| parameter(piece, "timeout"))
            .find_map(|seconds| number::<u32>(seconds).filter(|&seconds| seconds > 0));
        Some(Self {
            id,
            timeout: timeout.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

/// Over what a camera sends, as far as it says: `Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=3D5A6E0B`.
///
/// That it doesn't say TCP alone means nothing: cameras write `RTP/AVP` for a TCP setup too (row 87).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// The channels of RTP and RTCP on the connection.
    pub interleaved: Option<(u8, u8)>,
    /// The camera's ports for RTP and RTCP; neither is 0.
    pub server_port: Option<(u16, u16)>,
    /// Where its packets come from, if not from where it was asked.
    pub source: Option<IpAddr>,
    /// Who its packets say that they are from. Often wrong (row 90).
    pub ssrc: Option<u32>,
    /// It speaks of datagrams alone: of ports or a group, and neither of TCP nor of channels.
    pub is_datagrams: bool,
}

impl Transport {
    /// Reads the first transport of a Transport field; what is odd is passed over.
    pub fn read(value: &[u8]) -> Self {
        let first = value.split(|&byte| byte == b',').next().unwrap_or_default();
        let mut transport = Self::default();
        let is_tcp = first.to_ascii_uppercase().starts_with(b"RTP/AVP/TCP");
        let mut is_group = false;
        for piece in first.split(|&byte| byte == b';').map(<[u8]>::trim_ascii) {
            if let Some(value) = parameter(piece, "interleaved") {
                transport.interleaved = pair(value, |first: u8| first.wrapping_add(1));
            } else if let Some(value) = parameter(piece, "server_port") {
                transport.server_port = pair(value, |first: u16| first.saturating_add(1))
                    .filter(|ports| ports.0 > 0 && ports.1 > 0);
            } else if let Some(value) = parameter(piece, "source") {
                transport.source = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.trim_matches(['[', ']']).parse().ok());
            } else if let Some(value) = parameter(piece, "ssrc") {
                let digits = std::str::from_utf8(value)
                    .ok()
                    .map(|text| text.trim_start_matches("0x"));
                transport.ssrc = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            }
            is_group |= piece.eq_ignore_ascii_case(b"multicast");
        }
        transport.is_datagrams = !is_tcp
            && transport.interleaved.is_none()
            && (is_group || transport.server_port.is_some());
        transport
    }
}

/// Whether a Public or Allow field names this method.
pub fn names_method(field: &[u8], method: &str) -> bool {
    field
        .split(|byte| b", \t;".contains(byte))
        .any(|word| word.eq_ignore_ascii_case(method.as_bytes()))
}

/// Whether a control URL, or a base, stands for itself.
pub fn is_absolute(url: &str) -> bool {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    ["rtsp", "rtsps", "rtspu"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
}

/// What control URLs are relative to: Content-Base, else Content-Location, if they are URLs at all (row 83), else the URL that was
/// described.
pub fn base_url<'a>(fields: impl IntoIterator<Item = Option<&'a [u8]>>, described: &str) -> String {
    let fields = fields
        .into_iter()
        .flatten()
        .filter_map(|field| std::str::from_utf8(field).ok());
    let plain = |url: &&str| is_absolute(url) && url.bytes().all(|byte| byte.is_ascii_graphic());
    fields
        .map(|url| without_doubled_scheme(url.trim()))
        .find(plain)
        .unwrap_or(described)
        .to_owned()
}

/// `rtsp://rtsp://cam/s/` is what some cameras make of it (go2rtc #208).
fn without_doubled_scheme(mut url: &str) -> &str {
    while is_absolute(url)
        && let Some((_, rest)) = url.split_once("://")
        && is_absolute(rest)
    {
        url = rest;
    }
    url
}

/// The URL that a control attribute means. Put together as text, as live555 does, with a slash between where there is none, but before a query of its
/// own (`?ctype=video`): joining as RFC 3986 has it would lose a query (row 84).
///
/// ```
/// use framelog_core::rtsp::headers::control_url;
///
/// assert_eq!(control_url("rtsp://cam/live?ch=1", Some("trackID=1")), "rtsp://cam/live?ch=1/trackID=1");
/// ```
pub fn control_url(base: &str, control: Option<&str>) -> String {
    let control = control.map(str::trim).unwrap_or_default();
    if control.is_empty() || control == "*" {
        return base.to_owned();
    }
    if is_absolute(control) {
        return on_one_line(without_doubled_scheme(control));
    }
    let slash = match base.ends_with('/') || control.starts_with(['/', '?']) {
        true => "",
        false => "/",
    };
    on_one_line(&format!("{base}{slash}{control}"))
}

/// The same of a control that is a query and nothing else: with a slash before it where the base has none, without one where it has.
pub fn other_slash_url(base: &str, control: Option<&str>) -> Option<String> {
    let control = control?.trim();
    let base = match base.strip_suffix('/') {
        Some(base) => base.to_owned(),
        None => format!("{base}/"),
    };
    (control.starts_with('?')).then(|| on_one_line(&format!("{base}{control}")))
}

/// The same where slashes meet in it, which not all cameras know it by: with one of them.
pub fn single_slash_url(base: &str, control: Option<&str>) -> Option<String> {
    let control = control?.trim().strip_prefix('/')?;
    base.ends_with('/')
        .then(|| control_url(base, Some(control)))
}

/// What a control attribute that begins with a slash means by RFC 3986: a path from the root of the base.
pub fn rooted_url(base: &str, control: Option<&str>) -> Option<String> {
    let control = control.map(str::trim)?;
    let (scheme, rest) = base.split_once("://")?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    control
        .starts_with('/')
        .then(|| on_one_line(&format!("{scheme}://{authority}{control}")))
}

/// A URL without what no request line may have in it.
fn on_one_line(url: &str) -> String {
    let encode = |byte: u8| match byte.is_ascii_graphic() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    url.bytes().map(encode).collect()
}

/// The value of `name=value`, blanks and quotes around both passed over.
fn parameter<'a>(piece: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let equals = memchr::memchr(b'=', piece)?;
    let (found, value) = (
        piece[..equals].trim_ascii(),
        piece[equals + 1..].trim_ascii(),
    );
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let value = value.strip_suffix(b"\"").unwrap_or(value);
    found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
}

/// `0-1`, or `0` alone.
fn pair<N: std::str::FromStr + Copy>(value: &[u8], next: impl Fn(N) -> N) -> Option<(N, N)> {
    let mut numbers = value.split(|&byte| byte == b'-');
    let first = number(numbers.next()?)?;
    Some((
        first,
        numbers
            .next()
            .and_then(number)
            .unwrap_or_else(|| next(first)),
    ))
}

/// The digits that a text begins with.
fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    let text = text.trim_ascii();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_read_whatever_stands_behind_their_id() {
        let read = |text: &str| {
            let session = Session::read(text.as_bytes())?;
            Some((
                String::from_utf8(session.id).unwrap(),
                session.timeout.map(|timeout| timeout.as_secs()),
            ))
        };
        for (text, timeout) in [
            ("66334873", None),
            (" 66334873 ; timeout = 60 ", Some(60)),
            ("66334873;timeout=\"30\"", Some(30)),
            ("66334873;Timeout=20s;x", Some(20)),
            ("66334873, timeout=15", Some(15)),
            ("66334873;timeout=", None),
            ("66334873;timeout=0", None),
            ("66334873;;=;timeout", None),
        ] {
            assert_eq!(read(text), Some(("66334873".to_owned(), timeout)), "{text}");
        }
        assert_eq!(
            read("AB,CD, Timeout=9"),
            Some(("AB,CD".to_owned(), Some(9)))
        );
        assert_eq!(read(";timeout=60"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn transports_are_read_as_far_as_they_go() {
        let read = |text: &str| Transport::read(text.as_bytes());
        let full = read("RTP/AVP/TCP;unicast;interleaved=2-3;ssrc=3d5a6e0B;mode=\"play\"");
        assert_eq!(
            (full.interleaved, full.ssrc),
            (Some((2, 3)), Some(0x3d5a_6e0b))
        );
        assert_eq!(read("RTP/AVP;unicast"), Transport::default());
        assert_eq!(read("RTP/AVP/TCP;interleaved=4").interleaved, Some((4, 5)));
        assert_eq!(read("RTP/AVP/TCP;interleaved=400-401").interleaved, None);
        let udp = read(
            "RTP/AVP/UDP;unicast;client_port=5000-5001; server_port = 6970-6971 ;source=10.0.0.2;ssrc=zz",
        );
        assert_eq!(udp.server_port, Some((6970, 6971)));
        assert_eq!(udp.source, Some(IpAddr::from([10, 0, 0, 2])));
        assert_eq!(udp.ssrc, None);
        assert!(udp.is_datagrams && read("RTP/AVP;multicast;port=5000-5001").is_datagrams);
        assert!(!full.is_datagrams && !read("RTP/AVP/TCP;server_port=1-2").is_datagrams);
        assert_eq!(read("RTP/AVP;server_port=0-0").server_port, None);
        assert_eq!(
            read("RTP/AVP;interleaved=0-1,RTP/AVP;interleaved=2-3").interleaved,
            Some((0, 1))
        );
    }

    #[test]
    fn control_urls_are_put_together_as_text() {
        for (base, control, url) in [
            ("rtsp://c/a/", Some("track1"), "rtsp://c/a/track1"),
            ("rtsp://c/a", Some("track1"), "rtsp://c/a/track1"),
            ("rtsp://c/a", Some("/track1"), "rtsp://c/a/track1"),
            ("rtsp://c/s/", Some("/media/1"), "rtsp://c/s//media/1"),
            ("rtsp://c/a", Some("rtsp://rtsp://d/x"), "rtsp://d/x"),
            ("rtsp://c/a?b=c", Some("track1"), "rtsp://c/a?b=c/track1"),
            ("rtsp://c/a", Some("?t=v"), "rtsp://c/a?t=v"),
            ("rtsp://c/a/", Some("?t=v"), "rtsp://c/a/?t=v"),
            ("rtsp://c/a", Some("RTSP://d/x"), "RTSP://d/x"),
            ("rtsp://c/a", Some("rtsps://d/x"), "rtsps://d/x"),
            ("rtsp://c/a", Some("a b\x01é"), "rtsp://c/a/a%20b%01%C3%A9"),
            ("rtsp://c/a", Some("*"), "rtsp://c/a"),
            ("rtsp://c/a", Some(" "), "rtsp://c/a"),
            ("rtsp://c/a", None, "rtsp://c/a"),
        ] {
            assert_eq!(control_url(base, control), url);
        }
    }

    #[test]
    fn where_slashes_meet_one_may_be_meant() {
        let single = |base, control| single_slash_url(base, Some(control));
        let url = Some("rtsp://c/s/track1".to_owned());
        assert_eq!(single("rtsp://c/s/", " /track1"), url);
        assert_eq!(single("rtsp://c/s", "/track1"), None);
        assert_eq!(single("rtsp://c/s/", "track1"), None);
        assert_eq!(single_slash_url("rtsp://c/s/", None), None);
    }

    #[test]
    fn a_control_url_with_a_slash_may_be_meant_from_the_root() {
        let rooted = |base, control| rooted_url(base, Some(control));
        let url = Some("rtsp://c:554/trk".to_owned());
        assert_eq!(rooted("rtsp://c:554/a/b/", "/trk"), url);
        assert_eq!(rooted("rtsp://c:554?b=/", "/trk "), url);
        assert_eq!(rooted("rtsp://c/a", "trk"), None);
        assert_eq!(rooted("rtsp://c/a", "rtsp://d/x"), None);
    }

    #[test]
    fn a_base_that_is_no_url_is_passed_over() {
        let base = |content_base: Option<&str>, location: Option<&str>| {
            base_url(
                [content_base.map(str::as_bytes), location.map(str::as_bytes)],
                "rtsp://c/a",
            )
        };
        assert_eq!(base(Some("rtsp://d/b/ "), None), "rtsp://d/b/");
        assert_eq!(base(Some("192.168.1.10:554/stream0/"), None), "rtsp://c/a");
        assert_eq!(base(None, Some("rtsp://d/b")), "rtsp://d/b");
        assert_eq!(base(Some("rtsp://d/b c"), None), "rtsp://c/a");
        let doubled = "rtsp://rtsp://cam:554/s/";
        assert_eq!(base(Some(doubled), None), "rtsp://cam:554/s/");
        assert_eq!(
            base(Some("rtsp://d/?u=rtsp://e/"), None),
            "rtsp://d/?u=rtsp://e/"
        );
        assert_eq!(base(None, None), "rtsp://c/a");
    }

    #[test]
    fn methods_are_found_in_public() {
        let public = b"OPTIONS, DESCRIBE,SETUP;get_parameter PLAY";
        assert!(names_method(public, "GET_PARAMETER") && names_method(public, "PLAY"));
        assert!(!names_method(public, "SET_PARAMETER") && !names_method(b"", "OPTIONS"));
    }
}
