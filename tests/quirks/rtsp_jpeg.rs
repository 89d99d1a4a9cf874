//! Section 7: Motion JPEG over RTSP (RFC 2435). The packets carry whole JPEGs, heads and all, as some cameras send them, so that what is to be
//! stored is known byte for byte; what is made of bare data is with the peers.

use super::cases;
use super::plan::{FRAMES, Plan};
use super::rtsp::{every_session_is_ended, once};
use crate::support::camera::{Clock, Shot};
use crate::support::rtsp::{Encoder, Stage, TICKS};

/// Bytes of a picture in a packet, at most.
const PIECE: usize = 80;

/// A packet of a picture, before it gets its RTP header.
type Piece = (Vec<u8>, bool);

/// The main header (§3.1), of 640 × 480 pixels.
fn main_header(offset: usize, kind: u8, q: u8) -> Vec<u8> {
    let [_, o2, o1, o0] = u32::try_from(offset)
        .expect("a small picture")
        .to_be_bytes();
    vec![0, o2, o1, o0, kind, q, 80, 60]
}

/// A picture in pieces, the last with a marker.
fn pieces(jpeg: &[u8], head: fn(usize) -> Vec<u8>) -> Vec<Piece> {
    let last = (jpeg.len() - 1) / PIECE;
    let pieces = jpeg.chunks(PIECE).enumerate();
    pieces
        .map(|(at, piece)| ([&head(at * PIECE)[..], piece].concat(), at == last))
        .collect()
}

/// As most cameras write it.
fn usual_head(offset: usize) -> Vec<u8> {
    main_header(offset, 1, 60)
}

/// What a camera does with the pieces of its picture of this number; whether the picture is torn then.
type Way = fn(usize, Vec<Piece>) -> (Vec<Piece>, bool);

fn as_they_are(_: usize, pieces: Vec<Piece>) -> (Vec<Piece>, bool) {
    (pieces, false)
}

/// Packets from pieces.
fn packets(encoder: &mut Encoder, pieces: &[Piece]) -> Vec<Vec<u8>> {
    let pieces = pieces.iter();
    pieces
        .map(|(payload, marker)| encoder.packet(payload, *marker))
        .collect()
}

/// A camera that describes its medium so, writes this before each piece, and sends the pieces in this way.
fn jpegs(media: &'static str, head: fn(usize) -> Vec<u8>, way: Way) -> Plan {
    once(move |stage| async move {
        let mut stage = stage.describe(format!("v=0\r\n{media}a=control:track1\r\n"));
        if media.contains(" 26\r\n") {
            stage.encoder.payload_type = 26;
        }
        stage.begin().await?;
        for number in 0..2 * FRAMES {
            picture(&mut stage, number, head, way).await?;
        }
        stage.end().await
    })
    .frames(2 * FRAMES)
    .check(every_session_is_ended)
    .connections(1..=1)
}

async fn picture(
    stage: &mut Stage,
    number: usize,
    head: fn(usize) -> Vec<u8>,
    way: Way,
) -> std::io::Result<()> {
    let jpeg = stage.camera.jpeg().entropy(200).bytes();
    stage.encoder.rtp_time = stage.encoder.rtp_time.wrapping_add(TICKS);
    let (pieces, is_torn) = way(number, pieces(&jpeg, head));
    let shot = Shot::new(&jpeg).at(Clock::Now);
    let shot = if is_torn { shot.torn() } else { shot };
    let packets = packets(&mut stage.encoder, &pieces);
    stage.deliver((packets, shot)).await?;
    stage.camera.wait(100).await;
    Ok(())
}

const DYNAMIC: &str = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 JPEG/90000\r\n";
const STATIC: &str = "m=video 0 RTP/AVP 26\r\n";

/// Without the piece of this number in the eighth picture, as if there were none: no sequence number is missing.
fn without(at: fn(usize) -> usize) -> impl Fn(usize, Vec<Piece>) -> (Vec<Piece>, bool) {
    move |number, mut pieces| {
        let is_torn = number == 7;
        if is_torn {
            pieces.remove(at(pieces.len()));
        }
        (pieces, is_torn)
    }
}

cases! {
    rtsp_jpeg_plain => jpegs(STATIC, usual_head, as_they_are);
    rtsp_jpeg_of_a_dynamic_type => jpegs(DYNAMIC, usual_head, as_they_are);
    row_99_restart_markers => jpegs(STATIC, |offset| [main_header(offset, 65, 60), vec![0, 4, 0xff, 0xff]].concat(), as_they_are);
    row_99_tables_of_no_length => jpegs(STATIC, |offset| {
        // The quantization table header (§3.1.8) stands in the first packet alone.
        let tables = if offset == 0 { vec![0, 0, 0, 0] } else { Vec::new() };
        [main_header(offset, 1, 200), tables].concat()
    }, as_they_are);
    rtsp_jpeg_without_markers => jpegs(STATIC, usual_head, |_, mut pieces| {
        pieces.iter_mut().for_each(|(_, marker)| *marker = false);
        (pieces, false)
    });
    rtsp_jpeg_with_a_marker_on_every_packet => jpegs(STATIC, usual_head, |_, mut pieces| {
        pieces.iter_mut().for_each(|(_, marker)| *marker = true);
        (pieces, false)
    });
    rtsp_jpeg_with_an_empty_packet_within => jpegs(STATIC, usual_head, |_, mut pieces| {
        pieces.insert(pieces.len() / 2, (Vec::new(), false));
        (pieces, false)
    });
    rtsp_jpeg_with_the_marker_in_an_empty_packet => jpegs(STATIC, usual_head, |_, mut pieces| {
        pieces.iter_mut().for_each(|(_, marker)| *marker = false);
        pieces.push((Vec::new(), true));
        (pieces, false)
    });
    rtsp_jpeg_first_packet_never_sent => jpegs(STATIC, usual_head, |number, pieces| without(|_| 0)(number, pieces));
    rtsp_jpeg_middle_packet_never_sent => jpegs(STATIC, usual_head, |number, pieces| without(|count| count / 2)(number, pieces));
    rtsp_jpeg_last_packet_never_sent => jpegs(STATIC, usual_head, |number, pieces| without(|count| count - 1)(number, pieces));
    rtsp_jpeg_packet_sent_twice_under_two_numbers => jpegs(STATIC, usual_head, |number, mut pieces| {
        // It overlaps with what came: a recorder may take that for torn.
        let is_torn = number == 7;
        if is_torn {
            pieces.insert(1, pieces[1].clone());
        }
        (pieces, is_torn)
    });
    rtsp_jpeg_size_changes_within_a_picture => jpegs(STATIC, usual_head, |number, mut pieces| {
        let is_torn = number == 7;
        if is_torn && let Some((last, _)) = pieces.last_mut() {
            last[6] = 40;
        }
        (pieces, is_torn)
    });
}
