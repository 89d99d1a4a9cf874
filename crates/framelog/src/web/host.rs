//! By what name the recorder is asked where no token is: a web page whose name was made to lead to this machine (DNS rebinding) sends that name, and
//! must not read what it is told. Not for who may ask by an address.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::answer::text;

/// Lets a request through that is for an address or for `localhost`, and not made by a page of another site; else 403.
pub async fn check(State(has_token): State<bool>, request: Request, next: Next) -> Response {
    if has_token || (is_for_us(request.headers()) && !is_of_another_site(request.headers())) {
        return next.run(request).await;
    }
    text(
        StatusCode::FORBIDDEN,
        "ask by an IP address or localhost, and from no other site: all else needs a token ([http] token)\n",
    )
}

fn is_for_us(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST);
    host.is_none_or(|host| is_own(host.as_bytes()))
}

/// Whether a page of another site has it shown in itself (Fetch Metadata): it can't read that, but it can take all streams. A link is followed.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let says = |name: &str, word: &str| headers.get(name).is_some_and(|value| value == word);
    let is_followed = says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document");
    says("sec-fetch-site", "cross-site") && !is_followed
}

fn is_own(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => address,
        None => host.split_once(':').map_or(host, |(name, _port)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn other_sites_may_lead_here_and_show_nothing_of_it() {
        let is_refused = |fields: &[(&'static str, &'static str)]| {
            let value = HeaderValue::from_static;
            let fields = fields
                .iter()
                .map(|&(name, word)| (name.parse().unwrap(), value(word)));
            is_of_another_site(&fields.collect())
        };
        assert!(is_refused(&[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors")
        ]));
        let navigates = |to| {
            is_refused(&[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", to),
            ])
        };
        assert!(!navigates("document"));
        assert!(navigates("iframe"));
        assert!(!is_refused(&[
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "cors")
        ]));
        assert!(!is_refused(&[]));
    }

    #[test]
    fn only_addresses_and_localhost_are_own_names() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "localhost:80",
            "LOCALHOST.",
        ] {
            assert!(is_own(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example:8080",
            "localhost.evil.example",
            "::1.evil",
        ] {
            assert!(!is_own(host.as_bytes()), "{host}");
        }
    }
}
