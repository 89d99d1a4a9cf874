//! What a probe says of a stream over RTSP. Pure.

use serde_json::{Value, json};

use crate::cli::probe::observation::Observation;
use crate::source::rtsp::Facts;

/// One thing a line: what was agreed on, then how keyframes come.
pub(super) fn lines(
    facts: &Facts,
    fingerprint: Option<&str>,
    seen: &Observation,
) -> Vec<(&'static str, String)> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let login = match facts.auth {
        Some(scheme) => format!("{scheme}, accepted"),
        None => "none asked for".to_owned(),
    };
    let mut lines = vec![("server", or_none(&facts.server)), ("login", login)];
    if let Some(tls) = facts.tls {
        let pinned = fingerprint.map(|hex| format!(", certificate sha-256 {hex}"));
        lines.push(("tls", format!("{tls}{}", pinned.unwrap_or_default())));
    }
    let transport = match facts.transport {
        "udp" => "udp: the camera refuses tcp",
        transport => transport,
    };
    lines.push(("transport", transport.to_owned()));
    lines.push(("methods", or_none(&facts.public)));
    lines.push((
        "session",
        format!("kept alive within {} s", facts.session_timeout.as_secs()),
    ));
    if !facts.others.is_empty() {
        lines.push((
            "others",
            format!("{}: not recorded", facts.others.join(", ")),
        ));
    }
    lines.extend(keyframes(seen).map(|words| ("keyframes", words)));
    lines
}

/// `None` where every picture is one.
fn keyframes(seen: &Observation) -> Option<String> {
    seen.coding?;
    Some(match (seen.gops.shortest, seen.gops.longest) {
        (Some(least), Some(most)) if least == most => format!("every {most} pictures"),
        (Some(least), Some(most)) => format!("every {least} to {most} pictures"),
        _ => "only one came: try a longer --seconds".to_owned(),
    })
}

/// The same for programs.
pub(super) fn json(facts: &Facts, seen: &Observation) -> Value {
    json!({
        "server": facts.server,
        "auth": facts.auth,
        "tls": facts.tls,
        "transport": facts.transport,
        "methods": facts.public,
        "session_timeout_s": facts.session_timeout.as_secs(),
        "others": facts.others,
        "codec": facts.codec.name(),
        "coding": seen.coding.map(|coding| coding.to_string()),
        "keyframes": seen.gops.keyframes,
        "gop_shortest": seen.gops.shortest,
        "gop_longest": seen.gops.longest,
    })
}
