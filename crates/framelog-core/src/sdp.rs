//! What an RTSP camera says that it offers (SDP, RFC 4566), as far as a recorder needs it. Not for requests, nor for what a parameter
//! set means.
//!
//! Cameras break every rule of SDP (camera-quirks row 94), so that nothing is refused: the lines that are needed are read where they can
//! be, and all others are passed over.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use crate::frame::Codec;
use crate::nal;

/// How much of a description is read, in bytes. Real ones have 1 to 4 KiB.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// How many media are read.
const MEDIA_MAX: usize = 32;
/// How many payload types are read of each medium. Real ones have one to five.
const PAYLOAD_TYPES_MAX: usize = 32;
/// How many parameter sets are taken of each medium.
const SETS_MAX: usize = 32;
/// The clock rate of all video payload formats that we read (RFC 2435 §3, RFC 6184 §8.2.1, RFC 7798 §7.1).
const VIDEO_CLOCK_HZ: u32 = 90_000;

/// From here on the meaning of a payload type is the camera's to say (RFC 3551 §6).
const DYNAMIC_MIN: u8 = 96;

/// Base64 as cameras write it: padding or none, and bits left over; the letters of URLs are replaced before.
const TOLERANT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What a camera offers.
///
/// ```
/// use framelog_core::frame::Codec;
/// use framelog_core::sdp::Description;
///
/// let text = b"v=0\no=- -1 0.5 IN\nm=audio 0 RTP/AVP 0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:trackID=1\n";
/// let description = Description::read(text);
/// let video = description.video().unwrap();
/// assert_eq!((video.codec, video.payload_type), (Codec::H264, 96));
/// assert_eq!(video.control.as_deref(), Some("trackID=1"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The control URL of the whole presentation, as it is written: absolute, relative or `*`.
    pub control: Option<String>,
    /// The video that can be recorded, in the camera's order.
    pub videos: Vec<Video>,
    /// What else is offered, in words such as `video MPV4-ES`, for people.
    pub others: Vec<String>,
}

/// A medium that can be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// How the pictures are coded.
    pub codec: Codec,
    /// The RTP payload type of its packets, 0 to 127.
    pub payload_type: u8,
    /// The same medium with other payload types, of which the camera may use one instead.
    pub alternatives: Vec<Video>,
    /// Ticks of RTP time in a second; above 0.
    pub clock_hz: u32,
    /// The medium's control URL, as it is written: absolute or relative.
    pub control: Option<String>,
    /// What it says are parameter sets, in its order. Not looked into: there may be anything in them.
    pub parameter_sets: Vec<Bytes>,
    /// H.264: `packetization-mode` (RFC 6184 §6.2).
    pub packetization_mode: Option<u8>,
    /// H.265: packets carry decoding order numbers (`sprop-max-don-diff` above 0, RFC 7798 §4.4).
    pub has_don: bool,
    /// Width and height in pixels, neither 0.
    pub size: Option<(u16, u16)>,
    /// It is switched off.
    pub inactive: bool,
}

impl Description {
    /// Reads a description; of more than 64 KiB only the beginning.
    pub fn read(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&text[..text.len().min(TEXT_BYTES_MAX)]);
        let text = unfolded(&text);
        let (session, media) = sections(&text);
        let mut description = Self {
            control: session.value("control"),
            ..Self::default()
        };
        for section in &media {
            let medium = Medium {
                section,
                session: &session,
                media: &media,
            };
            match medium.video() {
                Ok(video) => description.videos.push(video),
                Err(other) => description.others.push(other),
            }
        }
        description
    }

    /// The video to record: the first that is not switched off, else the first.
    pub fn video(&self) -> Option<&Video> {
        self.by_choice().next()
    }

    /// All videos, those that are switched off last.
    pub fn by_choice(&self) -> impl Iterator<Item = &Video> {
        let inactive = |wanted| move |video: &&Video| video.inactive == wanted;
        let active = self.videos.iter().filter(inactive(false));
        active.chain(self.videos.iter().filter(inactive(true)))
    }
}

/// The lines from one `m=` to the next, or those before the first.
#[derive(Debug, Default)]
struct Section<'a> {
    /// What stands behind `m=`.
    media: &'a str,
    /// Name and value of each `a=`, blanks trimmed.
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Section<'a> {
    /// Kind, profile and payload types. Some cameras leave the port out, or have commas between the types.
    fn media(&self) -> (&'a str, &'a str, Vec<u8>) {
        let mut words = self.media.split_ascii_whitespace();
        let kind = words.next().unwrap_or_default();
        let is_port =
            |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) || !word.contains('/');
        let second = words.next().unwrap_or_default();
        let profile = match is_port(second) {
            true => words.next().unwrap_or_default(),
            false => second,
        };
        let payload_types = words
            .flat_map(|word| word.split(','))
            .filter_map(|word| word.parse().ok())
            .filter(|payload_type| *payload_type < 128)
            .take(PAYLOAD_TYPES_MAX)
            .collect();
        (kind, profile, payload_types)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> + Clone {
        self.attributes
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|&(_, value)| value)
    }

    /// The first value with this name that is not empty.
    fn value(&self, name: &str) -> Option<String> {
        let value = self.values(name).find(|value| !value.is_empty());
        value.map(str::to_owned)
    }
}

/// The lines, each as one: some cameras go on in the next, behind a blank.
fn unfolded(text: &str) -> String {
    let is_whole =
        |line: &str| matches!(line.split_once('='), Some((kind, _)) if kind.trim().len() == 1);
    let mut out = String::with_capacity(text.len());
    for line in text.split(['\r', '\n', '\0']) {
        let goes_on = line.starts_with([' ', '\t']) && !is_whole(line);
        if !line.is_empty() {
            out.push(if goes_on { ' ' } else { '\n' });
        }
        out.push_str(line.trim());
    }
    out
}

fn sections(text: &str) -> (Section<'_>, Vec<Section<'_>>) {
    let mut session = Section::default();
    let mut media: Vec<Section> = Vec::new();
    for line in text.lines() {
        let Some((kind, value)) = line.split_once('=') else {
            continue;
        };
        match kind.trim_end() {
            "m" | "M" if media.len() == MEDIA_MAX => break,
            "m" | "M" => media.push(Section {
                media: value.trim(),
                attributes: Vec::new(),
            }),
            "a" | "A" => {
                let section = media.last_mut().unwrap_or(&mut session);
                section.attributes.extend(attributes(value));
            }
            _ => {}
        }
    }
    (session, media)
}

/// The attributes of a line, of which some cameras write two into one: `a=control:track1 a=rtpmap:96 H264/90000` (mediamtx #2555).
fn attributes(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let border = line.match_indices("a=").map(|(at, _)| at).find(|&at| {
            line[..at].ends_with([' ', '\t', ';'])
                && ["rtpmap:", "fmtp:", "control:"]
                    .iter()
                    .any(|name| line[at + 2..].starts_with(name))
        });
        let (attribute, after) = match border {
            Some(at) => (&line[..at], Some(&line[at + 2..])),
            None => (line, None),
        };
        rest = after;
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        Some((name.trim(), value.trim()))
    })
}

/// A medium; what it does not say itself, the session's part may say for it.
struct Medium<'a> {
    section: &'a Section<'a>,
    session: &'a Section<'a>,
    /// All there are.
    media: &'a [Section<'a>],
}

/// How a payload type is coded.
struct Encoding<'a> {
    name: Cow<'a, str>,
    clock_hz: u32,
}

impl<'a> Medium<'a> {
    fn values(&self, name: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.section.values(name).chain(self.session.values(name))
    }

    /// The video, or what it is instead.
    fn video(&self) -> Result<Video, String> {
        let (kind, profile, mut payload_types) = self.section.media();
        let mapped = self.section.values("rtpmap").filter_map(read_mapping);
        let mapped = mapped.map(|(mapped, _)| mapped).filter(|it| *it < 128);
        if payload_types.is_empty() {
            payload_types.extend(mapped.clone().take(PAYLOAD_TYPES_MAX));
        }
        let sole = payload_types.len() == 1;
        if let [named] = payload_types[..] {
            // Where m= and the mapping differ, either may be right.
            let others = mapped.filter(|it| *it != named);
            payload_types.extend(others.take(PAYLOAD_TYPES_MAX));
        }
        let encodings: Vec<Encoding> = payload_types
            .iter()
            .map(|payload_type| self.encoding(*payload_type, sole))
            .collect();
        let encrypted = profile.to_ascii_uppercase().contains("SAVP");
        let mut videos = encodings
            .iter()
            .zip(&payload_types)
            .filter(|_| kind.eq_ignore_ascii_case("video") && !encrypted)
            .filter_map(|(encoding, payload_type)| self.coded(encoding, *payload_type, sole));
        let Some(mut video) = videos.next() else {
            return Err(described(kind, encrypted, &encodings));
        };
        let is_another = |other: &Video| other.payload_type != video.payload_type;
        video.alternatives = videos.filter(is_another).collect();
        Ok(video)
    }

    /// The video that is sent with a payload type, if that can be recorded.
    fn coded(&self, encoding: &Encoding, payload_type: u8, sole: bool) -> Option<Video> {
        let parameter_sets = self.parameter_sets(payload_type, sole);
        let told = parameter_sets.iter().find_map(|set| nal::told_by(set));
        let codec = match codec(&encoding.name)? {
            Codec::Mjpeg => Codec::Mjpeg,
            // What its sets are, whatever it is called.
            named => told.unwrap_or(named),
        };
        Some(Video {
            codec,
            payload_type,
            clock_hz: encoding.clock_hz,
            alternatives: Vec::new(),
            control: self.section.value("control"),
            parameter_sets,
            packetization_mode: self
                .parameter(payload_type, sole, "packetization-mode")
                .and_then(|mode| mode.parse().ok()),
            has_don: self
                .parameter(payload_type, sole, "sprop-max-don-diff")
                .is_some_and(|most| most.parse().is_ok_and(|most: u32| most > 0)),
            size: self.size(),
            inactive: self.is_inactive(),
        })
    }

    fn encoding(&self, payload_type: u8, sole: bool) -> Encoding<'a> {
        if let Some(encoding) = self.mapped(payload_type, sole) {
            let mut words = encoding
                .split(['/', ' ', '\t'])
                .filter(|word| !word.is_empty());
            let name = words.next().unwrap_or_default();
            let clock_hz = words.next().and_then(|rate| rate.parse().ok());
            return Encoding {
                name: name.into(),
                clock_hz: clock_hz.filter(|rate| *rate > 0).unwrap_or(VIDEO_CLOCK_HZ),
            };
        }
        let says = |name| self.parameter(payload_type, sole, name).is_some();
        let name = if payload_type == 26 {
            "JPEG".into()
        } else if says("sprop-vps") || says("sprop-sps") {
            "H265".into()
        } else if says("sprop-parameter-sets") || says("packetization-mode") {
            "H264".into()
        } else {
            format!("payload type {payload_type}").into()
        };
        Encoding {
            name,
            clock_hz: VIDEO_CLOCK_HZ,
        }
    }

    /// What is said of a payload type in attributes of this name: here and for the session, else under media that haven't this type
    /// themselves (go2rtc's `findFmtpLine`).
    fn said_of(&self, payload_type: u8, name: &'static str) -> impl Iterator<Item = &'a str> {
        let right = move |value| {
            read_mapping(value)
                .filter(|(number, _)| *number == payload_type)
                .map(|(_, said)| said)
        };
        let mut here = self.values(name).filter_map(right).peekable();
        let is_astray = here.peek().is_none();
        let others = self
            .media
            .iter()
            .filter(move |section| is_astray && !section.media().2.contains(&payload_type));
        here.chain(others.flat_map(move |section| section.values(name).filter_map(right)))
    }

    /// What a payload type is said to be (`rtpmap`); where only one is there whose meaning is free, else what another is.
    fn mapped(&self, payload_type: u8, sole: bool) -> Option<&'a str> {
        self.said_of(payload_type, "rtpmap").next().or_else(|| {
            let mut wrong = self
                .section
                .values("rtpmap")
                .filter(|_| sole && payload_type >= DYNAMIC_MIN);
            wrong.find_map(read_mapping).map(|(_, encoding)| encoding)
        })
    }

    /// The parameters of a payload type (`fmtp`), each as name and value. Where only one payload type is there, those of a wrong one are
    /// its own.
    fn parameters(&self, payload_type: u8, sole: bool) -> impl Iterator<Item = (&'a str, &'a str)> {
        let wrong = self.values("fmtp").filter(move |_| sole);
        let wrong = wrong.filter_map(move |value| match read_mapping(value) {
            Some((number, _)) if number == payload_type => None,
            Some((_, parameters)) => Some(parameters),
            None => Some(value),
        });
        self.said_of(payload_type, "fmtp")
            .chain(wrong)
            .flat_map(|line| line.split(';'))
            .flat_map(by_blanks)
            .filter_map(|parameter| {
                let (name, value) = parameter.split_once('=')?;
                Some((name.trim(), value.trim().trim_matches('"')))
            })
    }

    fn parameter(&self, payload_type: u8, sole: bool, name: &str) -> Option<&'a str> {
        self.parameters(payload_type, sole)
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn parameter_sets(&self, payload_type: u8, sole: bool) -> Vec<Bytes> {
        const NAMES: [&str; 4] = [
            "sprop-vps",
            "sprop-sps",
            "sprop-pps",
            "sprop-parameter-sets",
        ];
        self.parameters(payload_type, sole)
            .filter(|(name, _)| NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)))
            .flat_map(|(_, value)| value.split(','))
            .filter_map(|text| {
                let plain = |letter| match letter {
                    '-' => '+',
                    '_' => '/',
                    other => other,
                };
                let text: String = text.split_ascii_whitespace().collect();
                let text: String = text.chars().map(plain).collect();
                TOLERANT_BASE64.decode(text).ok()
            })
            .filter(|set| !set.is_empty())
            .take(SETS_MAX)
            .map(Bytes::from)
            .collect()
    }

    /// `a=x-dimensions:W,H` (Real), `a=framesize:PT W-H` (3GPP TS 26.234), `a=cliprect:Y,X,H,W` (3GPP, Apple).
    fn size(&self) -> Option<(u16, u16)> {
        let found = |name, width_at: usize, height_at: usize| {
            self.values(name).find_map(|value| {
                let numbers: Vec<u16> = value
                    .split(|letter: char| !letter.is_ascii_digit())
                    .filter(|digits| !digits.is_empty())
                    .map(|digits| digits.parse().unwrap_or(0))
                    .collect();
                let (width, height) = (*numbers.get(width_at)?, *numbers.get(height_at)?);
                (width > 0 && height > 0).then_some((width, height))
            })
        };
        found("x-dimensions", 0, 1)
            .or_else(|| found("framesize", 1, 2))
            .or_else(|| found("cliprect", 3, 2))
    }

    fn is_inactive(&self) -> bool {
        const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];
        let attributes = self
            .section
            .attributes
            .iter()
            .chain(&self.session.attributes);
        attributes
            .filter_map(|(name, _)| {
                DIRECTIONS
                    .iter()
                    .find(|known| name.eq_ignore_ascii_case(known))
            })
            .next()
            .is_some_and(|direction| *direction == "inactive")
    }
}

/// Payload type and encoding.
fn read_mapping(value: &str) -> Option<(u8, &str)> {
    let (number, encoding) = value.split_once([' ', '\t'])?;
    Some((number.parse().ok()?, encoding.trim()))
}

/// Parameters that only blanks separate, each with what stands up to the next. The `=` at the end of base64 begins none.
fn by_blanks(parameters: &str) -> impl Iterator<Item = &str> {
    let begins = |word: &str| {
        word.split_once('=').is_some_and(|(name, value)| {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
            !name.is_empty()
                && name.chars().all(is_name)
                && !value.is_empty()
                && !value.starts_with(['=', ','])
        })
    };
    let mut rest = Some(parameters.trim());
    std::iter::from_fn(move || {
        let text = rest?;
        let mut blanks = text.match_indices([' ', '\t']).map(|(at, _)| at);
        let border = blanks.find(|&at| {
            let next = text[at + 1..].split_ascii_whitespace().next();
            !text[at + 1..].starts_with([' ', '\t']) && next.is_some_and(begins)
        });
        rest = border.map(|at| &text[at + 1..]);
        Some(border.map_or(text, |at| &text[..at]))
    })
}

fn codec(encoding: &str) -> Option<Codec> {
    match encoding.to_ascii_uppercase().as_str() {
        "H264" | "H.264" | "AVC" => Some(Codec::H264),
        "H265" | "H.265" | "HEVC" => Some(Codec::H265),
        "JPEG" | "MJPEG" | "MJPG" => Some(Codec::Mjpeg),
        _ => None,
    }
}

fn described(kind: &str, encrypted: bool, encodings: &[Encoding]) -> String {
    let mut words = kind.to_owned();
    if encrypted {
        words.push_str(" encrypted");
    }
    for encoding in encodings {
        words.push(' ');
        words.push_str(&encoding.name);
    }
    words
        .chars()
        .filter(|letter| !letter.is_control())
        .take(100)
        .collect()
}

#[cfg(test)]
mod tests;
