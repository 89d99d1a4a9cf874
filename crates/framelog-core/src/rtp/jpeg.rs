//! RTP/JPEG packets to pictures (RFC 2435). Not for their order, nor for their times.
//!
//! The packets carry entropy-coded data and a short description of what stood before it. That is written anew in front, with the RFC's tables
//! where the camera sends none; the data itself is handed out as slices of what was received. A picture from which a packet is missing is
//! never handed out: the pieces say where in the picture they belong.

mod head;

use bytes::Bytes;

use super::budget::Budget;
use super::markers::Markers;
use super::packet::{take, take_u16};
use super::reorder::InOrder;
use super::{Made, Picture, SkipReason};
use crate::frame::Payload;
use crate::jpeg::{EOI, SOI, Walk, Walker};
use head::{Head, Tables};

/// The main header (§3.1), bytes.
const MAIN_HEADER_BYTES: usize = 8;
/// From this Q on the tables are in the packets (§3.1.8).
const Q_IN_BAND: u8 = 128;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    /// Width and height by the description.
    described_size: Option<(u16, u16)>,
    open: Option<Open>,
    markers: Markers,
    /// Tables that were sent, for pictures that don't send them again; by their Q.
    tables: Vec<(u8, Tables)>,
    /// The last head, written.
    written: Option<(Head, Bytes)>,
}

/// A picture that has begun.
#[derive(Debug)]
struct Open {
    head: Option<Head>,
    /// As the first packet says it.
    size: (u8, u8),
    rtp_time: u32,
    received_us: i64,
    data: Payload,
    budget: Budget,
    marked: bool,
    broken: Option<SkipReason>,
}

/// What a picture is, as its first packet says.
#[derive(Clone, Copy, Debug)]
struct Description {
    kind: u8,
    q: u8,
    /// In blocks of 8 pixels, as far as 8 bits hold them.
    width: u8,
    height: u8,
}

impl Description {
    fn size(self) -> (u8, u8) {
        (self.width, self.height)
    }
}

/// A packet's fields.
#[derive(Debug)]
struct Piece {
    description: Description,
    offset: usize,
    restart_interval: u16,
    data: Bytes,
}

impl Piece {
    fn read(mut payload: Bytes) -> Option<Self> {
        let header: [u8; MAIN_HEADER_BYTES] =
            *take(&mut payload, MAIN_HEADER_BYTES)?.first_chunk()?;
        let [_, o2, o1, o0, kind, q, width, height] = header;
        let mut restart_interval = 0;
        if kind & 0x40 != 0 {
            restart_interval = take_u16(&mut payload)?;
            let _count = take_u16(&mut payload)?;
        }
        Some(Self {
            description: Description {
                kind,
                q,
                width,
                height,
            },
            offset: u32::from_be_bytes([0, o2, o1, o0]) as usize,
            restart_interval,
            data: payload,
        })
    }
}

impl Pictures {
    pub(super) fn new(described_size: Option<(u16, u16)>) -> Self {
        Self {
            described_size,
            ..Self::default()
        }
    }

    pub(super) fn take(&mut self, arrived: InOrder, made: &mut Vec<Made>) {
        let InOrder {
            packet,
            received_us,
            after_loss,
        } = arrived;
        if after_loss {
            self.lose(made);
        }
        let rtp_time = packet.rtp_time;
        let marker = packet.marker;
        let extension = packet.extension.clone();
        let is_empty = packet.payload.is_empty();
        match Piece::read(packet.payload) {
            // It is no piece, but it may have the marker.
            None if is_empty => {
                let is_behind = |open: &Open| open.rtp_time == rtp_time;
                if !self.open.as_ref().is_some_and(is_behind) {
                    return;
                }
            }
            None if marker || self.open.is_some() => self.spoil(rtp_time, received_us),
            None => return,
            Some(piece) if piece.offset == 0 => {
                self.end_before_next(made);
                self.begin(piece, &extension, rtp_time, received_us);
            }
            Some(piece) => self.go_on(piece, rtp_time, received_us, made),
        }
        if marker && let Some(open) = &mut self.open {
            open.marked = true;
            self.markers.note();
            if self.markers.are_trusted() || (open.broken.is_some() && self.markers.may_be_right())
            {
                self.end(made);
            }
        }
    }

    /// Whether the end of a picture may be here already.
    pub(super) fn holds_picture(&self, long: bool) -> bool {
        let believes = self.markers.have_been_right() || long && self.markers.may_be_right();
        let has_ended = |open: &Open| {
            open.marked && believes || !self.markers.are_expected() && open.data_ends()
        };
        self.open
            .as_ref()
            .is_some_and(|open| open.broken.is_none() && has_ended(open))
    }

    /// Nothing has come for a while.
    pub(super) fn settle(&mut self, long: bool, made: &mut Vec<Made>) {
        if self.holds_picture(long) {
            self.end(made);
        }
    }

    /// Nothing more of this stream comes.
    pub(super) fn finish(&mut self, made: &mut Vec<Made>) {
        if !self.holds_picture(true)
            && let Some(open) = &mut self.open
        {
            open.broken.get_or_insert(SkipReason::Torn);
        }
        self.end(made);
    }

    fn lose(&mut self, made: &mut Vec<Made>) {
        let Some(open) = &mut self.open else { return };
        if open.marked && self.markers.may_be_right() {
            self.end(made);
        } else {
            open.broken.get_or_insert(SkipReason::Torn);
        }
    }

    fn begin(&mut self, piece: Piece, extension: &[u8], rtp_time: u32, received_us: i64) {
        let mut data = piece.data;
        let size = piece.description.size();
        let head = self.head(
            piece.description,
            piece.restart_interval,
            extension,
            &mut data,
        );
        let mut open = Open {
            broken: head.as_ref().err().copied(),
            head: head.ok().flatten(),
            size,
            rtp_time,
            received_us,
            data: Payload::default(),
            budget: Budget::default(),
            marked: false,
        };
        open.push(data);
        self.open = Some(open);
    }

    fn go_on(&mut self, piece: Piece, rtp_time: u32, received_us: i64, made: &mut Vec<Made>) {
        let is_other = self
            .open
            .as_ref()
            .is_some_and(|open| open.rtp_time != rtp_time && piece.offset != open.data.len());
        if is_other {
            // Its packets are missing up to here, and the last picture's end may be.
            self.end_before_next(made);
        }
        let Some(open) = &mut self.open else {
            self.spoil(rtp_time, received_us);
            return;
        };
        open.received_us = received_us;
        if open.marked {
            self.markers.was_wrong();
            open.marked = false;
        }
        // Some cameras fill in the rest of the header in the first packet only. What is of another size is of another picture.
        let size = piece.description.size();
        let is_of_another = size != (0, 0) && size != open.size;
        if piece.offset != open.data.len() || is_of_another {
            open.broken.get_or_insert(SkipReason::Torn);
        }
        open.push(piece.data);
    }

    /// A piece without the ones before it, or one that can't be read.
    fn spoil(&mut self, rtp_time: u32, received_us: i64) {
        let open = self.open.get_or_insert_with(|| Open {
            head: None,
            size: (0, 0),
            rtp_time,
            received_us,
            data: Payload::default(),
            budget: Budget::default(),
            marked: false,
            broken: None,
        });
        open.broken.get_or_insert(SkipReason::Torn);
    }

    fn end_before_next(&mut self, made: &mut Vec<Made>) {
        if self.open.as_ref().is_some_and(|open| open.marked) {
            self.markers.was_right();
        }
        self.end(made);
    }

    fn end(&mut self, made: &mut Vec<Made>) {
        let Some(open) = self.open.take() else { return };
        let (rtp_time, received_us) = (open.rtp_time, open.received_us);
        made.push(match self.whole(open) {
            Ok(payload) => Made::Picture(Picture {
                payload,
                keyframe: true,
                parameters: None,
                rtp_time,
                received_us,
            }),
            Err(reason) => Made::Skipped(reason),
        });
    }

    /// What stood before the data; nothing if the data is a whole JPEG. Takes the tables from the front of the data.
    fn head(
        &mut self,
        description: Description,
        restart_interval: u16,
        extension: &[u8],
        data: &mut Bytes,
    ) -> Result<Option<Head>, SkipReason> {
        let Description {
            kind,
            q,
            width,
            height,
        } = description;
        let tables = match q {
            Q_IN_BAND.. => {
                let sent = Tables::read(data).ok_or(SkipReason::Torn)?;
                let known = self.tables.iter().position(|(known, _)| *known == q);
                match (sent, known) {
                    (Some(tables), Some(at)) => {
                        self.tables[at].1 = tables.clone();
                        Some(tables)
                    }
                    (Some(tables), None) => {
                        self.tables.push((q, tables.clone()));
                        Some(tables)
                    }
                    (None, known) => known.map(|at| self.tables[at].1.clone()),
                }
            }
            _ => Some(Tables::standard(q)),
        };
        if data.starts_with(&SOI) {
            return Ok(None);
        }
        let subsampling = kind & 0x3F;
        if subsampling > 1 || kind >= 128 {
            return Err(SkipReason::NotPicture);
        }
        let (width, height) = head::size(width, height, self.described_size, extension)
            .ok_or(SkipReason::NotPicture)?;
        let tables = tables.ok_or(SkipReason::Early)?;
        Ok(Some(Head {
            width,
            height,
            has_half_height_chroma: subsampling == 1,
            restart_interval,
            tables,
        }))
    }

    /// The picture, if its structure holds from SOI to EOI.
    fn whole(&mut self, open: Open) -> Result<Payload, SkipReason> {
        if let Some(reason) = open.broken {
            return Err(reason);
        }
        let mut picture = Payload::default();
        if let Some(head) = open.head {
            let written = match self.written.take() {
                Some((known, written)) if known == head => written,
                _ => head.write(),
            };
            picture.push(written.clone());
            self.written = Some((head, written));
        }
        for slice in open.data.slices() {
            picture.push(slice.clone());
        }
        // The last packet of a camera that marks it was never sent, unless the data shows its end.
        let has_ended = open.marked || !self.markers.are_trusted();
        ended(picture, has_ended).ok_or(SkipReason::Torn)
    }
}

impl Open {
    fn push(&mut self, data: Bytes) {
        if !self.budget.allows(data.len()) {
            self.broken.get_or_insert(SkipReason::TooLarge);
            self.data = Payload::default();
        } else if self.broken.is_none() {
            self.data.push(data);
        }
    }

    fn data_ends(&self) -> bool {
        let last = self
            .data
            .slices()
            .iter()
            .rev()
            .flat_map(|slice| slice.iter().rev());
        last.take(2).eq(EOI.iter().rev())
    }
}

/// The picture up to its EOI, which is put there if it is missing (§3.1) and the picture `has_ended`; `None` if its structure is broken.
fn ended(mut picture: Payload, has_ended: bool) -> Option<Payload> {
    let mut walker = Walker::default();
    let mut walk = Walk::More;
    for slice in picture.slices() {
        walk = walker.take(slice);
        if walk != Walk::More {
            break;
        }
    }
    match walk {
        Walk::Broken => None,
        // Behind it is padding, or what a buffer had held before.
        Walk::End => Some(beginning(&picture, walker.taken())),
        Walk::More if !has_ended => None,
        Walk::More => {
            picture.push(Bytes::from_static(&EOI));
            (walker.has_scan() && walker.take(&EOI) == Walk::End).then_some(picture)
        }
    }
}

fn beginning(picture: &Payload, len: usize) -> Payload {
    let mut left = len;
    let mut out = Payload::default();
    for slice in picture.slices() {
        let used = left.min(slice.len());
        out.push(slice.slice(..used));
        left -= used;
    }
    out
}

#[cfg(test)]
mod tests;
