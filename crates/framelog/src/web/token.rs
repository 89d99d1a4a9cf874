//! Who may ask: whoever sends the token that `[http]` names (RFC 6750, section 2.1). Not for where it comes from: that is `config`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq as _;

use super::answer::text;
use crate::config::secret::Password;

const SCHEME: &[u8] = b"bearer";

/// Lets a request through if it may ask, or if no token is configured; else 401.
pub async fn check(
    State(token): State<Option<Arc<Password>>>,
    request: Request,
    next: Next,
) -> Response {
    let is_allowed = token.is_none_or(|token| is_sent(request.headers(), &token));
    if is_allowed {
        return next.run(request).await;
    }
    let mut response = text(
        StatusCode::UNAUTHORIZED,
        "a token is needed: send the one that [http] token names, as Authorization: Bearer TOKEN\n",
    );
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Takes as long whatever is sent, but for its length: nobody learns the token by its first letters.
fn is_sent(headers: &HeaderMap, token: &Password) -> bool {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return false;
    };
    let Some((scheme, sent)) = field.as_bytes().split_at_checked(SCHEME.len()) else {
        return false;
    };
    let Some(sent) = sent.strip_prefix(b" ") else {
        return false;
    };
    scheme.eq_ignore_ascii_case(SCHEME)
        && bool::from(sent.trim_ascii().ct_eq(token.expose().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(fields: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_str(field).unwrap());
        }
        is_sent(&headers, &Password::new("0123456789abcdef".to_owned()))
    }

    #[test]
    fn only_the_whole_token_lets_in() {
        assert!(is_allowed(&["Bearer 0123456789abcdef"]));
        assert!(is_allowed(&["bearer  0123456789abcdef"]));
        for fields in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearer 0123456789abcde"],
            &["Bearer 0123456789abcdef0"],
            &["Bearer 0123456789abcdeF"],
            &["Bearer0123456789abcdef"],
            &["Basic 0123456789abcdef"],
            &["0123456789abcdef"],
            &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
        ] {
            assert!(!is_allowed(fields), "{fields:?}");
        }
    }
}
