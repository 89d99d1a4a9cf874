//! One response's body on its way through the parser: what it turns out to be, and why it ended. Not for connections, nor for
//! when to ask again.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use framelog_core::boundary::ContentType;
use framelog_core::frame::Codec;
use framelog_core::gap::GapReason;
use framelog_core::header::Headers;
use framelog_core::jpeg;
use framelog_core::multipart::{Event, Limits, Parser, Part, SkipReason, Skipped};
use framelog_core::timestamp::Stamp;

use tokio::time::timeout;

use crate::source::body::{Body, BodyEnd};
use crate::source::exchange::Answer;
use crate::source::quote::Quoter;
use crate::source::{Delivery, Picture};
use crate::wall;

/// After so many bytes without anything that looks like pictures, none are expected any more.
const EVIDENCE_BYTES_MAX: u64 = 64 << 10;

/// After so long without bytes a picture that is whole is handed out, though what would confirm its length has not come.
const SETTLE: Duration = Duration::from_millis(200);

/// After so long without bytes behind the first picture of an image's response, or where the length was that the head announced, nothing more
/// is expected: it was a snapshot whose server goes on with the connection, or forgot to close it.
pub(super) const SNAPSHOT_SILENCE: Duration = Duration::from_secs(1);

/// A snapshot may be several pictures, one after the other (CIPA DC-007: the same in another size, or what brightens it).
const SNAPSHOT_PICTURES_MAX: u64 = 4;

/// How many bytes of what is neither a picture nor text nor of a type are told.
const BYTES_TOLD_MAX: usize = 8;

/// A scan that begins later than this is not looked for: a comment is no longer, and what stands before it is mostly less.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// How much of a body's beginning is kept for saying what it was.
const BEGINNING_BYTES: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct Reading {
    /// `None` once it ended.
    body: Option<Body>,
    parser: Parser,
    /// What arrived and is not parsed yet; in the end, what came after a snapshot.
    surplus: Vec<Bytes>,
    kind: Kind,
    length: Length,
    /// The response's type, in lower case and without parameters; empty if it has none.
    content_type: String,
    /// The stamp in the response's own head, for a snapshot.
    stamp: Stamp,
    received: u64,
    pictures: u64,
    skipped: u64,
    /// One of them was a picture that was cut off.
    torn: bool,
    /// Nothing has come since the parser was told to settle.
    settled: bool,
    beginning: Vec<u8>,
    /// The first part that was text.
    text: Option<Bytes>,
    /// The type of the first part that was neither text nor a picture, and said so.
    other_type: Option<String>,
}

/// What a body is taken for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Not of a multipart type; the first bytes will tell.
    Unknown,
    /// Parts, or pictures one after the other, until the connection ends.
    Stream,
    /// Began with SOI, not under a multipart type: one picture, as far as is known.
    Picture,
}

/// What the length that the head announced is worth, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Length {
    /// There is none.
    None,
    /// Nothing, but that a silence there may be the end.
    Told(u64),
    /// What goes beyond it is not parsed.
    Believed(u64),
    /// It was reached before a picture's end, or before any sign of pictures: it is too small, or nothing more will come.
    Overdue(u64),
}

impl Length {
    fn bytes(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Told(bytes) | Self::Believed(bytes) | Self::Overdue(bytes) => Some(bytes),
        }
    }
}

/// What a round of reading came to.
#[derive(Debug, PartialEq)]
pub enum Progress {
    /// There is more to come.
    More,
    /// A snapshot is complete.
    Snapshot,
}

/// Why a body is read no further.
#[derive(Debug)]
pub enum Fault {
    /// It ended.
    End(BodyEnd),
    /// It has no pictures.
    NotVideo,
}

impl Reading {
    /// Of an answer whose body has not been touched.
    pub fn new(answer: Answer) -> Self {
        let content_type = answer.content_type();
        let stamp = Stamp::read(&Headers::new(answer.mended.fields.clone()));
        let has_no_body = answer.has_no_body();
        let body = Body::new(answer);
        let announced = body.content_length();
        let (kind, worth): (_, fn(u64) -> Length) = match is_multipart(&content_type.essence) {
            // Row 7: the length is mostly a fantasy.
            true if !has_no_body => (Kind::Stream, Length::Told),
            true => (Kind::Stream, Length::Believed),
            false => (Kind::Unknown, Length::Believed),
        };
        let parser = Parser::new(content_type.boundary.as_deref(), Limits::default());
        Self {
            kind,
            length: announced.map_or(Length::None, worth),
            content_type: content_type.essence,
            stamp,
            ..Self::with(body, parser)
        }
    }

    /// Of what follows a picture that turned out not to be the only one (row 16).
    pub fn sequence(body: Body, beginning: Vec<Bytes>) -> Self {
        Self {
            surplus: beginning,
            pictures: 1,
            ..Self::with(body, Parser::new(None, Limits::default()))
        }
    }

    fn with(body: Body, parser: Parser) -> Self {
        Self {
            body: Some(body),
            parser,
            surplus: Vec::new(),
            kind: Kind::Stream,
            length: Length::None,
            content_type: String::new(),
            stamp: Stamp::default(),
            received: 0,
            pictures: 0,
            skipped: 0,
            torn: false,
            settled: false,
            beginning: Vec::new(),
            text: None,
            other_type: None,
        }
    }

    /// How many pictures there were.
    pub fn pictures(&self) -> u64 {
        self.pictures
    }

    /// How many bytes have come.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// How much memory the system has at present for what comes and is not read, bytes, as far as that is known.
    pub fn receive_buffer(&self) -> Option<u64> {
        self.body.as_ref()?.receive_buffer()
    }

    /// Whether a picture has begun whose end only what follows will tell.
    pub fn seeks_end(&self) -> bool {
        self.parser.seeks_end()
    }

    /// The connection, if it is still open, and what came after the answer that was read.
    pub fn into_rest(self) -> (Option<Body>, Vec<Bytes>) {
        (self.body, self.surplus)
    }

    /// Waits for bytes and parses all that are there. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// [`Fault`]; what was whole before it is in `out`.
    pub async fn advance(&mut self, out: &mut Vec<Delivery>) -> Result<Progress, Fault> {
        if self.is_length_reached() {
            return Ok(self.meet_length());
        }
        if self.surplus.is_empty() {
            let patience = self.patience();
            let Some(body) = &mut self.body else {
                return Err(Fault::End(BodyEnd::Closed));
            };
            let read = body.read(&mut self.surplus);
            let read = match patience {
                Some(patience) => timeout(patience, read).await.ok(),
                None => Some(read.await),
            };
            self.settled = read.is_none();
            match read {
                Some(Ok(())) => {}
                Some(Err(end)) => return self.meet_end(end, out),
                None => return self.meet_silence(out),
            }
        }
        self.parse(out);
        if self.is_length_reached() {
            return Ok(self.meet_length());
        }
        if self.is_overdue() && self.pictures > 0 {
            return Ok(Progress::Snapshot);
        }
        if self.pictures == 0 && self.received > EVIDENCE_BYTES_MAX && !self.parser.has_evidence() {
            // How much more of it comes is anyone's guess.
            self.body = None;
            return Err(Fault::NotVideo);
        }
        Ok(Progress::More)
    }

    /// How long to wait for bytes before silence means something.
    fn patience(&self) -> Option<Duration> {
        let holds = self.parser.holds_picture();
        // Who announced nothing may still have to take the picture.
        let is_awaited = self.is_overdue() && self.received == 0;
        if self.is_overdue() && !is_awaited || holds && !self.settled {
            Some(SETTLE)
        } else {
            let may_be_all = is_awaited || self.is_single() || self.is_as_announced();
            // Of that silence some has passed where the picture itself has waited for it.
            let silence = match self.settled {
                true => SNAPSHOT_SILENCE - SETTLE,
                false => SNAPSHOT_SILENCE,
            };
            (may_be_all && !holds).then_some(silence)
        }
    }

    /// Whether a single picture has come where a single one may have been meant.
    fn is_single(&self) -> bool {
        self.kind == Kind::Picture && may_be_picture(&self.content_type) && self.pictures == 1
    }

    /// Whether pictures have come, and as many bytes as the head announced.
    fn is_as_announced(&self) -> bool {
        self.pictures > 0 && self.length.bytes() == Some(self.received)
    }

    fn is_length_reached(&self) -> bool {
        self.length == Length::Believed(self.received)
    }

    fn is_overdue(&self) -> bool {
        matches!(self.length, Length::Overdue(_))
    }

    /// Nothing came for as long as [`Reading::patience`] says.
    fn meet_silence(&mut self, out: &mut Vec<Delivery>) -> Result<Progress, Fault> {
        if self.is_overdue() {
            self.finish(out);
            return match self.kind {
                Kind::Picture => Ok(Progress::Snapshot),
                Kind::Stream | Kind::Unknown => Err(Fault::NotVideo),
            };
        }
        if self.parser.holds_picture() {
            self.parser.settle();
            self.deliver(out);
            return Ok(Progress::More);
        }
        if !self.is_as_announced() {
            // Where its length lies, what follows on the connection would be anyone's guess.
            self.body = None;
        }
        Ok(Progress::Snapshot)
    }

    /// No more will be read: what is whole is handed out.
    pub fn finish(&mut self, out: &mut Vec<Delivery>) {
        if let Some(body) = &mut self.body {
            body.end_doubt(&mut self.surplus);
            self.parse(out);
        }
        self.parser.finish();
        self.deliver(out);
    }

    /// Nothing more is waited for: hands out a picture that is whole. One that is not is not counted as torn.
    pub fn settle(&mut self, out: &mut Vec<Delivery>) {
        self.parser.settle();
        self.deliver(out);
    }

    /// Parses what arrived, up to the announced length.
    fn parse(&mut self, out: &mut Vec<Delivery>) {
        let now_us = wall::now_us();
        let mut beyond = Vec::new();
        for mut piece in std::mem::take(&mut self.surplus) {
            if let Length::Believed(length) = self.length {
                let left = usize::try_from(length - self.received).unwrap_or(usize::MAX);
                let rest = piece.split_off(left.min(piece.len()));
                if !rest.is_empty() {
                    beyond.push(rest);
                }
            }
            self.push(piece, now_us);
        }
        self.surplus = beyond;
        self.deliver(out);
    }

    fn push(&mut self, piece: Bytes, now_us: i64) {
        // More than was announced shows that the length is wrong.
        match (self.length, self.kind) {
            (Length::Overdue(_), Kind::Unknown) => self.length = Length::None,
            (Length::Overdue(bytes), Kind::Stream) => self.length = Length::Told(bytes),
            _ => {}
        }
        self.received += piece.len() as u64;
        let missing = BEGINNING_BYTES - self.beginning.len();
        self.beginning
            .extend_from_slice(&piece[..missing.min(piece.len())]);
        if self.kind == Kind::Unknown {
            self.kind = match begins_jpeg(&self.beginning) {
                None => Kind::Unknown,
                Some(true) => {
                    self.parser.expect_picture(self.length.bytes());
                    Kind::Picture
                }
                Some(false) => Kind::Stream,
            };
        }
        if !piece.is_empty() {
            self.parser.push(piece, now_us);
        }
    }

    fn deliver(&mut self, out: &mut Vec<Delivery>) {
        while let Some(event) = self.parser.poll() {
            out.push(match event {
                Event::Part(part) => self.take_part(part),
                Event::Skipped(skipped) => self.take_skipped(skipped),
            });
        }
    }

    fn take_part(&mut self, part: Part) -> Delivery {
        let mut stamp = Stamp::read(&part.headers);
        if !is_multipart(&self.content_type) && self.pictures == 0 && stamp == Stamp::default() {
            stamp = self.stamp;
        }
        if stamp == Stamp::default() {
            stamp = stamp_in_comment(&part);
        }
        self.pictures += 1;
        Delivery::Picture(Picture {
            payload: part.payload,
            codec: Codec::Mjpeg,
            keyframe: true,
            parameters: None,
            headers: part.headers,
            stamp,
            received_us: part.received_us,
            complete: part.complete,
        })
    }

    fn take_skipped(&mut self, skipped: Skipped) -> Delivery {
        self.skipped += 1;
        self.torn |= skipped.reason == SkipReason::Torn;
        if skipped.reason == SkipReason::NotPicture {
            let field = skipped.headers.get("content-type").unwrap_or_default();
            let part_type = ContentType::read(field).essence;
            if part_type.starts_with("text/") || is_text(&skipped.beginning) {
                self.text.get_or_insert_with(|| skipped.beginning.clone());
            } else if !may_be_picture(&part_type) || is_other_picture(&part_type) {
                self.other_type.get_or_insert(part_type);
            }
        }
        Delivery::Skipped(skipped)
    }

    /// The announced length is here. It is believed if a picture ends there, and otherwise if nothing more comes.
    fn meet_length(&mut self) -> Progress {
        self.length = Length::Told(self.received);
        if self.kind == Kind::Picture && self.pictures > 0 {
            return Progress::Snapshot;
        }
        // Some announce nothing, and send pictures all the same.
        if self.kind == Kind::Picture || !self.parser.has_evidence() {
            self.length = Length::Overdue(self.received);
        }
        Progress::More
    }

    fn meet_end(&mut self, end: BodyEnd, out: &mut Vec<Delivery>) -> Result<Progress, Fault> {
        if matches!(end, BodyEnd::Complete) {
            self.parser.finish_properly();
        } else {
            self.body = None;
        }
        self.finish(out);
        match self.was_snapshot(&end) {
            true => Ok(Progress::Snapshot),
            false => Err(Fault::End(end)),
        }
    }

    /// Whether what has ended was all that was asked for. A connection that small servers reset once they have sent it did no harm.
    fn was_snapshot(&self, end: &BodyEnd) -> bool {
        let most = match (end, self.kind) {
            (BodyEnd::Chunks(_), _) => 0,
            (BodyEnd::Complete | BodyEnd::Closed, Kind::Picture) => SNAPSHOT_PICTURES_MAX,
            (BodyEnd::Closed | BodyEnd::Broken(_), _) if is_multipart(&self.content_type) => 0,
            _ => 1,
        };
        (1..=most).contains(&self.pictures)
    }

    /// Whether it was parts and ended well behind the first picture: a snapshot in all but name if each answer is, a stream that broke off if not.
    pub fn was_of_one_part(&self, fault: &Fault) -> bool {
        let closed = matches!(fault, Fault::End(BodyEnd::Closed));
        closed && self.pictures == 1 && !self.torn && is_multipart(&self.content_type)
    }

    /// Whether it is parts, and of more than one picture.
    pub fn is_stream(&self) -> bool {
        self.pictures > 1 && is_multipart(&self.content_type)
    }

    /// What a camera says in words where pictures are expected (row 39).
    pub fn text(&self) -> Option<&[u8]> {
        self.text.as_deref()
    }

    /// Reason and words for a connection that gave no picture for `silence`.
    pub fn describe_stall(&self, quoter: &Quoter, silence: Duration) -> (GapReason, String) {
        let detail = format!("no complete picture within {silence:?}");
        let other = self.skipped > 0 || self.received > 0 && !self.parser.has_evidence();
        if self.pictures == 0 && other {
            (
                GapReason::NotVideo,
                format!("{detail}, but {}", self.words(quoter)),
            )
        } else {
            (
                GapReason::Stalled,
                format!(
                    "{detail}; {} pictures and {} bytes before",
                    self.pictures, self.received
                ),
            )
        }
    }

    /// Reason and words for a fault.
    pub fn describe(&self, fault: Fault, quoter: &Quoter) -> (GapReason, String) {
        match fault {
            Fault::End(end @ BodyEnd::Chunks(_)) => (GapReason::BadResponse, end.to_string()),
            Fault::End(end @ BodyEnd::Broken(_)) => (GapReason::Disconnected, end.to_string()),
            Fault::End(end) if self.pictures > 0 => (
                GapReason::Disconnected,
                format!("{end} after {} pictures", self.pictures),
            ),
            Fault::End(end) if self.kind == Kind::Picture => {
                (GapReason::Disconnected, format!("{end} within a picture"))
            }
            Fault::End(_) | Fault::NotVideo => (
                GapReason::NotVideo,
                format!(
                    "the response has no pictures, but {}; check url",
                    self.words(quoter)
                ),
            ),
        }
    }

    /// What came instead of pictures.
    fn words(&self, quoter: &Quoter) -> String {
        if let Some(part_type) = &self.other_type {
            let part_type = quoter.quote(part_type.as_bytes());
            return format!("its parts are \"{part_type}\", not JPEG");
        }
        let is_of_another_type = |begins_with: &str| match is_other_picture(&self.content_type) {
            true => !is_text(&self.beginning),
            false => {
                begins_with.is_empty()
                    && !is_multipart(&self.content_type)
                    && !may_be_picture(&self.content_type)
            }
        };
        match (&self.text, text_of(&self.beginning)) {
            (Some(text), _) => format!("says \"{}\"", quoter.quote(text)),
            (None, _) if self.received == 0 => "is empty".to_owned(),
            (None, text) if is_of_another_type(text) => {
                let content_type = quoter.quote(self.content_type.as_bytes());
                format!("is \"{content_type}\", not JPEG")
            }
            (None, "") => {
                let bytes = &self.beginning[..self.beginning.len().min(BYTES_TOLD_MAX)];
                format!("begins with the bytes {bytes:02x?}")
            }
            (None, text) => format!("begins with \"{}\"", quoter.quote(text.as_bytes())),
        }
    }
}

fn is_multipart(content_type: &str) -> bool {
    content_type.starts_with("multipart/")
}

/// Whether it is a type that a picture may have, or none.
fn may_be_picture(content_type: &str) -> bool {
    matches!(content_type, "" | "application/octet-stream") || content_type.starts_with("image/")
}

/// Whether it is the type of a picture that is no JPEG, if that is true.
fn is_other_picture(content_type: &str) -> bool {
    let is_jpeg = ["jpeg", "jpg"]
        .iter()
        .any(|name| content_type.contains(name));
    content_type.starts_with("image/") && !is_jpeg
}

/// The text that these bytes begin with: UTF-8 without control characters.
fn text_of(bytes: &[u8]) -> &str {
    let is_binary = |char: char| char.is_control() && !"\t\r\n".contains(char);
    let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    text.split(is_binary).next().unwrap_or_default()
}

/// Whether they are text, as far as they go: the last character may be cut off.
fn is_text(bytes: &[u8]) -> bool {
    let text = text_of(bytes);
    !text.is_empty() && text.len() + 3 >= bytes.len()
}

/// Row 79: the time in a JPEG comment, where no header has it.
fn stamp_in_comment(part: &Part) -> Stamp {
    jpeg::comments(&header_of(part.payload.slices()))
        .map(Stamp::from_jpeg_comment)
        .find(|stamp| *stamp != Stamp::default())
        .unwrap_or_default()
}

/// The slices with a JPEG's header segments in one piece: mostly the first, as it arrived.
fn header_of(slices: &[Bytes]) -> Cow<'_, [u8]> {
    let mut walker = jpeg::Walker::default();
    let is_before_scan = |slice: &&Bytes| {
        walker.take_headers(slice) == jpeg::Walk::More
            && !walker.has_scan()
            && walker.taken() < HEADER_BYTES_MAX
    };
    let before = slices.iter().take_while(is_before_scan).count();
    match slices.get(..=before).unwrap_or(slices) {
        [slice] => Cow::Borrowed(slice),
        slices => Cow::Owned(slices.concat()),
    }
}

/// Whether these bytes, after line ends, begin with SOI; `None` while there are too few.
pub fn begins_jpeg(bytes: &[u8]) -> Option<bool> {
    let ends = bytes
        .iter()
        .take_while(|byte| b"\r\n".contains(byte))
        .count();
    match &bytes[ends..] {
        [] | [0xff] => None,
        rest => Some(rest.starts_with(b"\xff\xd8")),
    }
}

#[cfg(test)]
mod tests;
