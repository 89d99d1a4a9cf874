//! What a probe found, in words and as JSON. Pure.

use serde_json::{Value, json};

use super::observation::{Observation, StampKind};
use crate::cli::{time, words};
use crate::source::Facts;
use crate::source::http::HeadFacts;
use crate::source::rtsp;

mod over_http;
mod over_rtsp;

/// Everything that is known about a camera.
pub(super) struct Report {
    pub asked: String,
    pub said: Said,
    pub fingerprint: Option<String>,
    pub seen: Observation,
    pub ended: Option<String>,
    pub stanza: String,
}

/// What a camera said of its stream.
pub(super) enum Said {
    Http(HeadFacts),
    Rtsp(rtsp::Facts),
}

impl From<Facts<'_>> for Said {
    fn from(facts: Facts<'_>) -> Self {
        match facts {
            Facts::Http(head) => Self::Http(head.clone()),
            Facts::Rtsp(facts) => Self::Rtsp(facts.clone()),
        }
    }
}

impl Said {
    fn url(&self) -> &str {
        match self {
            Self::Http(head) => &head.url,
            Self::Rtsp(facts) => &facts.url,
        }
    }

    /// Whether the camera gives a picture for each request.
    pub(super) fn is_snapshot(&self) -> bool {
        matches!(self, Self::Http(head) if over_http::is_snapshot(head))
    }
}

impl Report {
    /// One thing a line, its name in front.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![("url", self.said.url().to_owned())];
        if self.said.url() != self.asked {
            lines.push(("redirected", format!("from {}", self.asked)));
        }
        lines.extend(match &self.said {
            Said::Http(head) => over_http::lines(head, self.fingerprint.as_deref(), &self.seen),
            Said::Rtsp(facts) => over_rtsp::lines(facts, self.fingerprint.as_deref(), &self.seen),
        });
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

    fn picture_lines(&self) -> Vec<(&'static str, String)> {
        let seen = &self.seen;
        let sizes: Vec<String> = seen
            .sizes
            .keys()
            .map(|(width, height)| format!("{width}x{height}"))
            .collect();
        let sizes = sizes.join(" and ");
        let coding = match (seen.coding, seen.progressive, seen.without_tables) {
            (Some(coding), _, _) => format!("{coding}, {sizes}"),
            (None, 0, 0) => format!("JPEG {sizes}, baseline"),
            (None, 0, _) => format!(
                "JPEG {sizes}, baseline without Huffman tables (stored as sent; `framelog frame` adds them)"
            ),
            (None, _, _) => format!("JPEG {sizes}, progressive"),
        };
        let torn = if seen.torn > 0 {
            format!(", {} torn", seen.torn)
        } else {
            String::new()
        };
        let pictures = format!(
            "{coding}, {} on average{torn}",
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

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let seen = &self.seen;
        let (stamps, stamp_skew_us) = stamp_name(seen.stamp_kind());
        let mut json = json!({
            "url": self.said.url(),
            "asked": self.asked,
            "fingerprint": self.fingerprint,
            "snapshot": self.said.is_snapshot(),
            "pictures": seen.pictures,
            "torn": seen.torn,
            "not_pictures": seen.text_parts,
            "sizes": seen.sizes.keys().map(|(width, height)| json!([width, height])).collect::<Vec<_>>(),
            "picture_bytes": seen.picture_bytes(),
            "fps": seen.rate_milli().map(|milli| milli as f64 / 1_000.0),
            "bits_per_second": seen.bit_rate(),
            "stamps": stamps,
            "stamp_skew_us": stamp_skew_us,
            "ended": self.ended,
            "stanza": self.stanza,
        });
        let more = match &self.said {
            Said::Http(head) => over_http::json(head, seen),
            Said::Rtsp(facts) => over_rtsp::json(facts, seen),
        };
        if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
            json.extend(more);
        }
        json
    }
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
        StampKind::Media => {
            "RTP time without sender reports: mapped to this machine's clock".to_owned()
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
        StampKind::Media => ("media", None),
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
            said: Said::Http(head),
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
