//! The web page: its files as they are in `page/`, compiled in. Knows nothing of cameras or footage: the page asks for those as any other
//! program does.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

/// The page runs what comes from here and nothing else, whatever a camera or a configuration is made to say.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, media type, contents.
const FILES: [(&str, &str, &str); 19] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/page/page.css", CSS, include_str!("page/page.css")),
    ("/page/icon.svg", SVG, include_str!("page/icon.svg")),
    ("/page/main.js", SCRIPT, include_str!("page/main.js")),
    ("/page/address.js", SCRIPT, include_str!("page/address.js")),
    ("/page/api.js", SCRIPT, include_str!("page/api.js")),
    ("/page/camera.js", SCRIPT, include_str!("page/camera.js")),
    ("/page/film.js", SCRIPT, include_str!("page/film.js")),
    ("/page/footage.js", SCRIPT, include_str!("page/footage.js")),
    ("/page/jpegs.js", SCRIPT, include_str!("page/jpegs.js")),
    ("/page/mp4.js", SCRIPT, include_str!("page/mp4.js")),
    (
        "/page/multipart.js",
        SCRIPT,
        include_str!("page/multipart.js"),
    ),
    (
        "/page/overview.js",
        SCRIPT,
        include_str!("page/overview.js"),
    ),
    ("/page/picture.js", SCRIPT, include_str!("page/picture.js")),
    ("/page/player.js", SCRIPT, include_str!("page/player.js")),
    (
        "/page/problems.js",
        SCRIPT,
        include_str!("page/problems.js"),
    ),
    (
        "/page/timeline.js",
        SCRIPT,
        include_str!("page/timeline.js"),
    ),
    ("/page/token.js", SCRIPT, include_str!("page/token.js")),
    ("/page/words.js", SCRIPT, include_str!("page/words.js")),
];

/// A route for each file. They need no token: what they show does.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES
        .into_iter()
        .fold(Router::new(), |router, (path, kind, contents)| {
            router.route(path, get(async move || file(kind, contents)))
        })
}

/// Nobody keeps a copy: after an upgrade all of the page is the new one.
fn file(kind: &'static str, contents: &'static str) -> Response {
    let head = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    let head = head.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (head, contents).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names between this and the next quote.
    fn named<'a>(contents: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        let parts = contents.split(before).skip(1);
        parts.filter_map(|rest| rest.split(['\'', '"']).next())
    }

    #[test]
    fn all_that_the_page_asks_for_is_here_and_nothing_else() {
        let mut asked = vec!["/".to_owned()];
        for (_, _, contents) in FILES {
            asked.extend(named(contents, "=\"/page/").map(|name| format!("/page/{name}")));
            asked.extend(named(contents, "from './").map(|name| format!("/page/{name}")));
        }
        asked.sort();
        asked.dedup();
        let mut served = FILES.map(|(path, ..)| path);
        served.sort_unstable();
        assert_eq!(asked, served);
    }

    #[test]
    fn nothing_is_inline_and_nothing_is_made_of_text() {
        for (path, _, contents) in FILES {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                " style=",
                "onclick=",
            ] {
                assert!(!contents.contains(forbidden), "{forbidden} in {path}");
            }
        }
    }

    #[test]
    fn every_file_has_its_kind_and_the_policy() {
        for (path, kind, contents) in FILES {
            let response = file(kind, contents);
            let head = response.headers();
            assert_eq!(head[CONTENT_TYPE], kind, "{path}");
            assert_eq!(head[CONTENT_SECURITY_POLICY], POLICY, "{path}");
            assert_eq!(head[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        }
    }
}
