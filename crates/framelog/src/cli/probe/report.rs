//! What a probe found, in words and as JSON. Pure.

use serde_json::{Value, json};

use super::observation::{Observation, StampKind};
use crate::cli::{time, words};
use crate::source::http::HeadFacts;

/// Everything that is known about a camera.
pub(super) struct Report {
    pub asked: String,
    pub head: HeadFacts,
    pub fingerprint: Option<String>,
    pub seen: Observation,
    pub ended: Option<String>,
    pub stanza: String,
}

impl Report {
    /// One thing a line, its name in front.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![("url", self.head.url.clone())];
        if self.head.url != self.asked {
            lines.push(("redirected", format!("from {}", self.asked)));
        }
        lines.extend(self.head_lines());
        lines.extend(self.body_lines());
        lines.extend(self.picture_lines());
        lines.push(("stamps", stamps(self.seen.stamp_kind())));
        lines.extend(self.ended.iter().map(|why| ("ended", why.clone())));
        let told: String = lines
            .iter()
            .map(|(name, words)| format!("{name:>12}  {words}\n"))
            .collect();
        format!(
            "{told}\nTo record this camera, add to the configuration:\n\n{}",
            self.stanza
        )
    }

    fn head_lines(&self) -> Vec<(&'static str, String)> {
        let head = &self.head;
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
            let pinned = self
                .fingerprint
                .as_ref()
                .map(|hex| format!(", certificate sha-256 {hex}"))
                .unwrap_or_default();
            lines.push(("tls", format!("{tls}{pinned}")));
        }
        lines.push(("type", or_none(&head.content_type)));
        lines.push(("boundary", or_none(&head.boundary)));
        lines.push(("body", head.framing.clone()));
        lines
    }

    fn body_lines(&self) -> Vec<(&'static str, String)> {
        let lengths = self.seen.lengths;
        let told = match (lengths.absent, lengths.right, lengths.wrong) {
            _ if self.is_snapshot() => "single pictures: the URL is polled".to_owned(),
            (_, 0, 0) => {
                "no Content-Length in the parts: pictures end at the next boundary".to_owned()
            }
            (0, _, 0) => "Content-Length in every part, and right".to_owned(),
            (absent, right, wrong) => {
                format!(
                    "Content-Length right in {right}, wrong in {wrong}, absent in {absent} (framelog doesn't depend on it)"
                )
            }
        };
        let mut lines = vec![("parts", told)];
        if self.seen.text_parts + self.seen.empty_parts > 0 {
            lines.push((
                "others",
                format!(
                    "{} that are no pictures, {} empty",
                    self.seen.text_parts, self.seen.empty_parts
                ),
            ));
        }
        lines
    }

    fn picture_lines(&self) -> Vec<(&'static str, String)> {
        let seen = &self.seen;
        let sizes: Vec<String> = seen
            .sizes
            .keys()
            .map(|(width, height)| format!("{width}x{height}"))
            .collect();
        let coding = match (seen.progressive, seen.without_tables) {
            (0, 0) => "baseline",
            (0, _) => {
                "baseline without Huffman tables (stored as sent; `framelog frame` adds them)"
            }
            _ => "progressive",
        };
        let torn = if seen.torn > 0 {
            format!(", {} torn", seen.torn)
        } else {
            String::new()
        };
        let pictures = format!(
            "JPEG {}, {coding}, {} on average{torn}",
            sizes.join(" and "),
            words::bytes(seen.picture_bytes())
        );
        let rate = match (seen.rate_milli(), seen.bit_rate()) {
            (Some(milli), Some(bits)) => {
                let per_day = words::bytes(bits.saturating_mul(86_400) / 8);
                format!(
                    "{}.{} fps, {} kbit/s, {per_day} a day",
                    milli / 1_000,
                    milli % 1_000 / 100,
                    bits / 1_000
                )
            }
            _ => "unknown: only one picture came".to_owned(),
        };
        vec![("pictures", pictures), ("rate", rate)]
    }

    /// Whether the camera gives a picture for each request.
    pub(super) fn is_snapshot(&self) -> bool {
        is_snapshot(&self.head)
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let (head, seen) = (&self.head, &self.seen);
        let (stamps, stamp_skew_us) = stamp_name(seen.stamp_kind());
        json!({
            "url": head.url,
            "asked": self.asked,
            "status_line": head.status_line,
            "server": head.server,
            "auth": head.auth,
            "tls": head.tls,
            "fingerprint": self.fingerprint,
            "content_type": head.content_type,
            "boundary": head.boundary,
            "framing": head.framing,
            "snapshot": self.is_snapshot(),
            "pictures": seen.pictures,
            "torn": seen.torn,
            "not_pictures": seen.text_parts,
            "empty_parts": seen.empty_parts,
            "lengths": { "right": seen.lengths.right, "wrong": seen.lengths.wrong, "absent": seen.lengths.absent },
            "sizes": seen.sizes.keys().map(|(width, height)| json!([width, height])).collect::<Vec<_>>(),
            "progressive": seen.progressive > 0,
            "huffman_tables": seen.without_tables == 0,
            "picture_bytes": seen.picture_bytes(),
            "fps": seen.rate_milli().map(|milli| milli as f64 / 1_000.0),
            "bits_per_second": seen.bit_rate(),
            "stamps": stamps,
            "stamp_skew_us": stamp_skew_us,
            "ended": self.ended,
            "stanza": self.stanza,
        })
    }
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

fn stamps(kind: StampKind) -> String {
    match kind {
        StampKind::None => "none: frames get their time of arrival".to_owned(),
        StampKind::Zero => "0 for ever: frames get their time of arrival".to_owned(),
        StampKind::Still { stamp_us } => {
            format!("the same for ever ({stamp_us} µs): frames get their time of arrival")
        }
        StampKind::Wall { skew_us } => format!("time of day, {}: used as they are", ahead(skew_us)),
        StampKind::WrongDate { skew_us } => {
            format!(
                "dates, but {}: set the camera's clock; until then they are mapped to this machine's",
                ahead(skew_us)
            )
        }
        StampKind::Uptime { stamp_us } => {
            format!(
                "no dates (now at {}, as of {}): mapped to this machine's clock",
                words::duration(stamp_us),
                time::format(stamp_us, true)
            )
        }
    }
}

fn ahead(skew_us: i64) -> String {
    match skew_us {
        ..0 => format!(
            "{} behind this machine's clock (delay included)",
            words::duration(skew_us.saturating_neg())
        ),
        _ => format!("{} ahead of this machine's clock", words::duration(skew_us)),
    }
}

fn stamp_name(kind: StampKind) -> (&'static str, Option<i64>) {
    match kind {
        StampKind::None => ("none", None),
        StampKind::Zero => ("zero", None),
        StampKind::Still { .. } => ("still", None),
        StampKind::Wall { skew_us } => ("wall", Some(skew_us)),
        StampKind::WrongDate { skew_us } => ("wrong_date", Some(skew_us)),
        StampKind::Uptime { .. } => ("uptime", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let head = HeadFacts {
            url: "http://cam/stream".into(),
            status_line: "HTTP/1.0 200 OK".into(),
            content_type: Some("multipart/x-mixed-replace;boundary=x".into()),
            boundary: Some("x".into()),
            framing: "until close".into(),
            server: None,
            auth: Some("Basic"),
            tls: None,
        };
        let stanza = "[cameras.cam]\nurl = \"http://cam/stream\"\n".to_owned();
        Report {
            asked: "http://cam/".into(),
            head,
            fingerprint: None,
            seen: Observation::default(),
            ended: None,
            stanza,
        }
    }

    #[test]
    fn the_report_ends_with_what_is_to_be_pasted() {
        let text = report().text();
        assert!(
            text.ends_with("\n\n[cameras.cam]\nurl = \"http://cam/stream\"\n"),
            "{text}"
        );
        assert!(text.contains("  redirected  from http://cam/\n"), "{text}");
        assert!(text.contains("       login  Basic, accepted\n"), "{text}");
    }

    #[test]
    fn json_says_the_same() {
        let json = report().json();
        assert_eq!(
            (&json["auth"], &json["stamps"], &json["fps"]),
            (&json!("Basic"), &json!("none"), &Value::Null)
        );
    }
}
