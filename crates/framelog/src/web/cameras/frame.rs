//! `GET /api/cameras/{camera}/frame?at_us=`: the picture nearest to a time, or the one that came last. Of H.264 and H.265 a film of those that it needs.
//! Not for finding it.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use framelog_core::frame::Codec;
use framelog_core::huffman;
use framelog_store::Reader;
use framelog_store::query::FrameRow;
use serde::Deserialize;

use super::{Asked, require};
use crate::footage::gop::{self, GopError};
use crate::footage::{decoding_order, newest};
use crate::web::answer::{Refusal, picture};
use crate::web::index::{Index, unreadable};
use crate::web::room::{BYTES_MAX, Room};

/// When the picture is shown in the film, microseconds from its beginning.
const SHOWN: HeaderName = HeaderName::from_static("x-shown-us");

/// When.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    at_us: Option<i64>,
}

/// The picture, with what is known of it.
pub async fn get(
    State(index): State<Index>,
    Asked { camera, query }: Asked<Moment>,
) -> Result<Response, Refusal> {
    let room = index.room.clone();
    let answer = index.read(async move |reader| {
        require(&reader, &camera).await?;
        let found = match query.at_us {
            Some(at_us) => reader.nearest(&camera, at_us),
            None => newest::frame(&reader, &camera).await,
        };
        let Some(row) = found.map_err(unreadable)? else {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "there is no footage of it yet",
            ));
        };
        match row.codec {
            Codec::Mjpeg => jpeg(&room, &reader, &row).await,
            Codec::H264 | Codec::H265 => film(&room, &reader, &row).await,
        }
    });
    answer.await
}

async fn jpeg(room: &Room, reader: &Reader, row: &FrameRow) -> Result<Response, Refusal> {
    let room = room.take(row.length).await;
    let stored = reader.payload(row).map_err(unreadable)?;
    let shown = match huffman::with_tables(&stored) {
        Cow::Owned(with_tables) => with_tables,
        Cow::Borrowed(_) => stored,
    };
    Ok(picture("image/jpeg", row, Body::from(room.by(shown))))
}

async fn film(room: &Room, reader: &Reader, row: &FrameRow) -> Result<Response, Refusal> {
    let needed = decoding_order::up_to(reader, row).await;
    let needed = needed.map_err(unreadable)?;
    let bytes = needed.iter().map(|frame| frame.length).sum();
    if bytes > u64::from(BYTES_MAX) / 2 {
        return Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!(
                "the picture needs {bytes} bytes of others, which is too much here; use framelog frame"
            ),
        ));
    }
    let room = room.take(bytes).await;
    let gop = gop::of(reader, row, &needed).map_err(|error| match error {
        GopError::Unreadable(error) => unreadable(error),
        GopError::NoFilm { .. } => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        }
    })?;
    let mut answer = picture("video/mp4", row, Body::from(room.by(gop.film)));
    let shown = HeaderValue::from(gop.shown_us);
    answer.headers_mut().insert(SHOWN, shown);
    Ok(answer)
}
