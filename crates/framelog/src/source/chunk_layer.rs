//! A chunk layer that a body may have: the one that its head declares, or another that nobody speaks of. Not for how chunks are written, which is
//! `framelog_core::chunked`.

use bytes::Bytes;
use framelog_core::chunked::{self, Decoder, Error};

/// A body shows within so many bytes whether it is chunked as declared.
const BEGINNING_BYTES: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct ChunkLayer(State);

#[derive(Debug)]
enum State {
    Absent,
    /// It isn't known yet whether it is there. What has come till then is kept: the size of a chunk may come in pieces.
    Undecided {
        came: Vec<Bytes>,
        declared: bool,
    },
    Present(Decoder),
}

impl ChunkLayer {
    /// One that isn't there.
    pub fn absent() -> Self {
        Self(State::Absent)
    }

    /// One that the head declares: it is there unless the body says otherwise.
    pub fn declared() -> Self {
        Self::undecided(true)
    }

    /// One that nobody declares: the body has to show it.
    pub fn hidden() -> Self {
        Self::undecided(false)
    }

    fn undecided(declared: bool) -> Self {
        let came = Vec::new();
        Self(State::Undecided { came, declared })
    }

    /// Whether it is not there, as far as is known.
    pub fn is_absent(&self) -> bool {
        matches!(self.0, State::Absent)
    }

    /// Whether it is there, and its last chunk has come.
    pub fn is_done(&self) -> bool {
        matches!(&self.0, State::Present(decoder) if decoder.is_done())
    }

    /// Nothing more is waited for: it is not there, where that isn't known, and what came till then is moved to `out`.
    pub fn give_up(&mut self, out: &mut Vec<Bytes>) {
        if let State::Undecided { came, .. } = &mut self.0 {
            out.append(came);
            self.0 = State::Absent;
        }
    }

    /// Moves what is in `pieces` to `out`, without the layer. `ended`: no more will come.
    ///
    /// # Errors
    ///
    /// When the chunks can't be followed.
    pub fn take_off(
        &mut self,
        pieces: &mut Vec<Bytes>,
        out: &mut Vec<Bytes>,
        ended: bool,
    ) -> Result<(), Error> {
        if let State::Undecided { came, declared } = &mut self.0 {
            came.append(pieces);
            let shown = match declared {
                true => as_declared(came),
                false => chunked::is_undeclared(came),
            };
            let Some(is_there) = shown.or(ended.then_some(*declared)) else {
                return Ok(());
            };
            *pieces = std::mem::take(came);
            self.0 = match is_there {
                true => State::Present(Decoder::new()),
                false => State::Absent,
            };
        }
        let State::Present(decoder) = &mut self.0 else {
            out.append(pieces);
            return Ok(());
        };
        for mut piece in pieces.drain(..) {
            while let Some(slice) = decoder.decode(&mut piece)? {
                out.push(slice);
            }
        }
        Ok(())
    }
}

/// Whether what is called chunked is.
fn as_declared(came: &[Bytes]) -> Option<bool> {
    let beginning: Vec<u8> = (came.iter().flatten().copied())
        .take(BEGINNING_BYTES)
        .collect();
    let is_all = beginning.len() == BEGINNING_BYTES;
    chunked::begins(&beginning).or(is_all.then_some(true))
}
