//! What a person asked to probe: a URL, or an address whose paths have to be tried.

use std::path::Path;

use super::paths::{OTHER_PORTS, PATHS, RTSP_PATHS};
use crate::config::url::{CameraUrl, Scheme, UrlError};

/// What to probe, and the credentials that were written into it.
pub(super) struct Target {
    /// URLs to try, in order, until one gives pictures.
    pub candidates: Vec<CameraUrl>,
    pub login: Option<(String, String)>,
}

impl Target {
    /// Reads `http://host/path`, `host/path`, `host` and `host:port`. Without a path the well-known ones are tried, after the root;
    /// where not even a protocol was named, those of RTSP after those of HTTP.
    pub(super) fn read(text: &str) -> Result<Self, UrlError> {
        let written = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let (url, login) = CameraUrl::parse(&written)?;
        let candidates = if url.target == "/" {
            candidates(&url, has_port(&written), text.contains("://"))
        } else {
            vec![url]
        };
        Ok(Self { candidates, login })
    }
}

fn candidates(root: &CameraUrl, port_was_named: bool, scheme_was_named: bool) -> Vec<CameraUrl> {
    let at = |port: u16, path: &str| CameraUrl {
        port,
        target: path.to_owned(),
        ..root.clone()
    };
    if root.scheme.is_rtsp() {
        let paths = RTSP_PATHS.iter().map(|path| at(root.port, path));
        return std::iter::once(root.clone()).chain(paths).collect();
    }
    let over_rtsp = CameraUrl {
        scheme: Scheme::Rtsp,
        port: Scheme::Rtsp.default_port(),
        ..root.clone()
    };
    let is_bare = !port_was_named && !scheme_was_named;
    let over_rtsp = is_bare.then(|| candidates(&over_rtsp, false, true));
    let here = std::iter::once("/")
        .filter(|_| port_was_named)
        .chain(PATHS)
        .map(|path| at(root.port, path));
    let elsewhere = OTHER_PORTS
        .iter()
        .filter(|_| !port_was_named)
        .map(|(port, path)| at(*port, path));
    here.chain(elsewhere)
        .chain(over_rtsp.into_iter().flatten())
        .collect()
}

/// Whether the URL's authority ends with a port.
fn has_port(url: &str) -> bool {
    let authority = url
        .split_once("://")
        .map_or(url, |(_, rest)| rest)
        .trim_end_matches('/');
    let digits = authority
        .bytes()
        .rev()
        .take_while(u8::is_ascii_digit)
        .count();
    let before = &authority[..authority.len() - digits];
    // An IPv6 address without brackets has no port.
    digits > 0
        && before.ends_with(':')
        && (before.ends_with("]:")
            || before
                .rsplit('@')
                .next()
                .is_some_and(|host| host.matches(':').count() == 1))
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

    fn shown(text: &str) -> Vec<String> {
        Target::read(text)
            .unwrap()
            .candidates
            .iter()
            .map(|url| format!("{}:{}{}", url.host, url.port, url.target))
            .collect()
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
}
