//! What a person asked to probe: a URL, or an address whose paths have to be tried.

use std::path::Path;

use super::paths::{OTHER_PORTS, PATHS, RTSP_PATHS};
use crate::config::url::{CameraUrl, Scheme, UrlError};

/// What to probe, and the credentials that were written into it.
pub(super) struct Target {
    /// URLs to try, in order, until one gives pictures.
    pub candidates: Vec<CameraUrl>,
    /// The same if the port, which was named without a protocol, turns out to be one of RTSP; else empty.
    pub over_rtsp: Vec<CameraUrl>,
    pub login: Option<(String, String)>,
}

impl Target {
    /// Reads `http://host/path`, `host/path`, `host` and `host:port`. Without a path the well-known ones are tried, after the root;
    /// where neither protocol nor port was named, those of RTSP after those of HTTP.
    pub(super) fn read(text: &str) -> Result<Self, UrlError> {
        let scheme_was_named = text.contains("://");
        let written = match scheme_was_named {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let (url, login) = CameraUrl::parse(&written)?;
        let port_was_named = has_port(&written);
        let rtsp = |port| CameraUrl {
            scheme: Scheme::Rtsp,
            port,
            ..url.clone()
        };
        let mut candidates = candidates(&url, port_was_named);
        let mut over_rtsp = Vec::new();
        if !scheme_was_named && port_was_named {
            over_rtsp = self::candidates(&rtsp(url.port), true);
        } else if !scheme_was_named && url.target == "/" {
            candidates.extend(self::candidates(&rtsp(Scheme::Rtsp.default_port()), false));
        }
        Ok(Self {
            candidates,
            over_rtsp,
            login,
        })
    }
}

/// The URL itself; without a path, the well-known ones of its protocol.
fn candidates(url: &CameraUrl, port_was_named: bool) -> Vec<CameraUrl> {
    let at = |port: u16, path: &str| CameraUrl {
        port,
        target: path.to_owned(),
        ..url.clone()
    };
    let here = |path: &&str| at(url.port, path);
    if url.target != "/" {
        vec![url.clone()]
    } else if url.scheme.is_rtsp() {
        let root = std::iter::once(url.clone());
        root.chain(RTSP_PATHS.iter().map(here)).collect()
    } else if port_was_named {
        ["/"].iter().chain(&PATHS).map(here).collect()
    } else {
        let elsewhere = OTHER_PORTS.iter().map(|(port, path)| at(*port, path));
        PATHS.iter().map(here).chain(elsewhere).collect()
    }
}

/// Whether the URL's authority ends with a port.
fn has_port(url: &str) -> bool {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split('/').next().unwrap_or_default();
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let host = host.split(['?', '#']).next().unwrap_or_default();
    host.rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A password file's contents without the line end.
pub(super) fn read_password(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("{}: cannot read the password: {error}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(urls: &[CameraUrl]) -> Vec<String> {
        urls.iter()
            .map(|url| format!("{}:{}{}", url.host, url.port, url.target))
            .collect()
    }

    fn shown(text: &str) -> Vec<String> {
        listed(&Target::read(text).unwrap().candidates)
    }

    #[test]
    fn an_address_is_tried_at_the_well_known_paths_and_a_url_is_not() {
        assert_eq!(shown("http://cam/video.cgi?a=b"), ["cam:80/video.cgi?a=b"]);
        assert_eq!(shown("cam/x"), ["cam:80/x"]);
        let bare = shown("cam");
        assert!(
            bare.contains(&"cam:80/?action=stream".to_owned())
                && bare.contains(&"cam:81/stream".to_owned())
        );
        assert_eq!(bare.last().unwrap(), "cam:554/h264");
        let rtsp = shown("rtsp://cam:8554");
        assert_eq!(rtsp[0], "cam:8554/");
        assert!(rtsp.contains(&"cam:8554/stream1".to_owned()));
        assert_eq!(shown("rtsp://cam/stream1"), ["cam:554/stream1"]);
        let with_port = shown("cam:8101");
        assert_eq!(with_port[0], "cam:8101/");
        assert!(with_port.iter().all(|url| url.starts_with("cam:8101/")));
        assert!(shown("[fe80::1]:81")[0].ends_with(":81/"));
        assert!(Target::read("cam:99999").is_err());
    }

    #[test]
    fn a_port_without_a_protocol_may_be_one_of_rtsp() {
        let over_rtsp = |text| {
            let urls = Target::read(text).unwrap().over_rtsp;
            assert!(urls.iter().all(|url| url.scheme == Scheme::Rtsp));
            listed(&urls)
        };
        for text in ["cam:8554/stream1", "me:p#?:1@cam:8554/stream1"] {
            assert_eq!(over_rtsp(text), ["cam:8554/stream1"]);
        }
        let paths = over_rtsp("cam:8554");
        assert_eq!(paths[0], "cam:8554/");
        assert!(paths.contains(&"cam:8554/stream1".to_owned()));
        for text in [
            "cam",
            "cam/x:1",
            "[fe80::1]",
            "http://cam:8554",
            "rtsp://cam:8554",
        ] {
            assert!(over_rtsp(text).is_empty(), "{text}");
        }
    }
}
