//! What a probe says of a stream over HTTP. Pure.

use serde_json::{Value, json};

use crate::cli::probe::observation::Observation;
use crate::source::http::HeadFacts;

/// One thing a line: the response's head, then what the parts have in common.
pub(super) fn lines(
    head: &HeadFacts,
    fingerprint: Option<&str>,
    seen: &Observation,
) -> Vec<(&'static str, String)> {
    let mut lines = head_lines(head, fingerprint);
    lines.extend(body_lines(head, seen));
    lines
}

fn head_lines(head: &HeadFacts, fingerprint: Option<&str>) -> Vec<(&'static str, String)> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let status = if head.status_line.is_empty() {
        "no head at all (as HTTP/0.9)".to_owned()
    } else {
        head.status_line.clone()
    };
    let mut lines = vec![("status", status), ("server", or_none(&head.server))];
    lines.push((
        "login",
        head.auth.map_or("none asked for".to_owned(), |scheme| {
            format!("{scheme}, accepted")
        }),
    ));
    if let Some(tls) = head.tls {
        let pinned = fingerprint
            .map(|hex| format!(", certificate sha-256 {hex}"))
            .unwrap_or_default();
        lines.push(("tls", format!("{tls}{pinned}")));
    }
    lines.push(("type", or_none(&head.content_type)));
    lines.push(("boundary", or_none(&head.boundary)));
    lines.push(("body", head.framing.clone()));
    lines
}

fn body_lines(head: &HeadFacts, seen: &Observation) -> Vec<(&'static str, String)> {
    let lengths = seen.lengths;
    let told = match (lengths.absent, lengths.right, lengths.wrong) {
        _ if is_snapshot(head) => "single pictures: the URL is polled".to_owned(),
        (_, 0, 0) => "no Content-Length in the parts: pictures end at the next boundary".to_owned(),
        (0, _, 0) => "Content-Length in every part, and right".to_owned(),
        (absent, right, wrong) => {
            format!(
                "Content-Length right in {right}, wrong in {wrong}, absent in {absent} (framelog doesn't depend on it)"
            )
        }
    };
    let mut lines = vec![("parts", told)];
    if seen.text_parts + seen.empty_parts > 0 {
        lines.push((
            "others",
            format!(
                "{} that are no pictures, {} empty",
                seen.text_parts, seen.empty_parts
            ),
        ));
    }
    lines
}

/// The same for programs.
pub(super) fn json(head: &HeadFacts, seen: &Observation) -> Value {
    let lengths = seen.lengths;
    json!({
        "status_line": head.status_line,
        "server": head.server,
        "auth": head.auth,
        "tls": head.tls,
        "content_type": head.content_type,
        "boundary": head.boundary,
        "framing": head.framing,
        "empty_parts": seen.empty_parts,
        "lengths": { "right": lengths.right, "wrong": lengths.wrong, "absent": lengths.absent },
        "progressive": seen.progressive > 0,
        "huffman_tables": seen.without_tables == 0,
    })
}

/// Whether a response with this head is a single picture, to be polled.
pub(super) fn is_snapshot(head: &HeadFacts) -> bool {
    let essence = head
        .content_type
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    essence.starts_with("image/") && head.framing.starts_with("length")
}
