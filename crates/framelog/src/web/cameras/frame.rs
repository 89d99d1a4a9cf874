//! `GET /api/cameras/{camera}/frame?at_us=`: the picture nearest to a time, or the newest. Of H.264 and H.265 a film of those that it needs, which
//! ends with it. Not for finding it.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use framelog_core::frame::Codec;
use framelog_core::huffman;
use serde::Deserialize;

use super::{Footage, apart, asked, unreadable};
use crate::footage::gop::{self, GopError};
use crate::web::answer::{Refusal, picture};

/// For a film so much room is taken: what it needs is known only when it has been made, and few need more, bytes.
const FILM_BYTES: u64 = 32 << 20;

/// When.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    at_us: Option<i64>,
}

/// The picture, with what is known of it.
pub async fn get(
    State(footage): State<Footage>,
    Path(camera): Path<String>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Asked { at_us } = asked(query)?;
    let reader = footage.of(&camera).await?;
    apart(async move {
        let found = reader.nearest(&camera, at_us.unwrap_or(i64::MAX));
        let Some(row) = found.map_err(unreadable)? else {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "there is no footage of it yet",
            ));
        };
        let (kind, bytes) = match row.codec {
            Codec::Mjpeg => {
                let room = footage.room.take(row.length).await;
                let stored = reader.payload(&row).map_err(unreadable)?;
                let shown = match huffman::with_tables(&stored) {
                    Cow::Owned(with_tables) => with_tables,
                    Cow::Borrowed(_) => stored,
                };
                ("image/jpeg", room.by(shown))
            }
            Codec::H264 | Codec::H265 => {
                let room = footage.room.take(FILM_BYTES).await;
                let gop = gop::up_to(&reader, &row).await.map_err(no_picture)?;
                ("video/mp4", room.by(gop.film))
            }
        };
        Ok(picture(kind, &row, Body::from(bytes)))
    })
    .await
}

fn no_picture(error: GopError) -> Refusal {
    match error {
        GopError::Unreadable(error) => unreadable(error),
        GopError::NoFilm { .. } => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        }
    }
}
