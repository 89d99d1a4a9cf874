//! By what name the recorder is asked where no token is: a web page whose name was made to lead to this machine (DNS rebinding) sends that name, and
//! must not read footage. Not for who may ask by an address.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::Response;

use super::answer::text;

/// Lets a request through that is for an address or for `localhost`; else 403.
pub async fn check(State(has_token): State<bool>, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST);
    if has_token || host.is_none_or(|host| is_own(host.as_bytes())) {
        return next.run(request).await;
    }
    text(
        StatusCode::FORBIDDEN,
        "ask by an IP address or localhost: by another name footage is shown only with a token ([http] token)\n",
    )
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
    use super::*;

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
