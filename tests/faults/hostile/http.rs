//! Hostile cameras that speak HTTP: what each kind sends.

use std::io;

use fastrand::Rng;

use super::{PAUSE_MS, PIECE, RECONNECTS};
use crate::support::camera::{Connection, HEAD, Script, script};
use crate::support::jpeg::Jpeg;

/// Every kind, with what it sends.
pub fn kinds(seed: u64) -> Vec<(&'static str, Script)> {
    let noise: Vec<u8> = {
        let mut rng = Rng::with_seed(seed);
        std::iter::repeat_with(|| rng.u8(..)).take(PIECE).collect()
    };
    let jpeg = Jpeg::new(seed).entropy(2_000).bytes();
    let begun_picture = jpeg[..jpeg.len() - 2].to_vec();
    let part = |head: &str| {
        format!("{HEAD}--camframe\r\nContent-Type: image/jpeg\r\n{head}\r\n").into_bytes()
    };
    let whole = [
        part(&format!("Content-Length: {}\r\n", jpeg.len())),
        jpeg.clone(),
        b"\r\n--camframe\r\n".to_vec(),
    ]
    .concat();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: multipart/x-mixed-replace; boundary=camframe\r\n\r\n";
    let gzip = HEAD.replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n");
    let fields = "X-Field: abcdefghijklmnop\r\n".repeat(PIECE / 27);
    vec![
        (
            "endless fields in the answer",
            flood("HTTP/1.1 200 OK\r\n", &fields),
        ),
        (
            "one endless field in the answer",
            flood("HTTP/1.1 200 OK\r\nX-Field: ", "a".repeat(PIECE)),
        ),
        (
            "endless status line",
            flood("HTTP/1.1 200 ", "a".repeat(PIECE)),
        ),
        ("endless fields in a part", flood(part(""), &fields)),
        (
            "one endless field in a part",
            flood(part("X-Field: "), "a".repeat(PIECE)),
        ),
        (
            "endless parts without anything",
            flood(HEAD, "--camframe\r\n\r\n\r\n".repeat(PIECE / 16)),
        ),
        (
            "endless line ends in a part",
            flood(part(""), "\r\n".repeat(PIECE / 2)),
        ),
        (
            "endless boundaries",
            flood(HEAD, "--camframe\r\n".repeat(PIECE / 12)),
        ),
        (
            "endless pictures",
            flood(
                whole.clone(),
                [&whole[HEAD.len()..], b"\r\n"]
                    .concat()
                    .repeat(PIECE / whole.len()),
            ),
        ),
        (
            "endless picture without a length",
            flood(
                [part(""), begun_picture.clone()].concat(),
                vec![0x55; PIECE],
            ),
        ),
        (
            "picture of 2^63 bytes",
            flood(
                [
                    part("Content-Length: 9223372036854775808\r\n"),
                    begun_picture.clone(),
                ]
                .concat(),
                vec![0x55; PIECE],
            ),
        ),
        (
            "picture of 2^64 + 5 bytes",
            flood(
                [
                    part("Content-Length: 18446744073709551621\r\n"),
                    begun_picture.clone(),
                ]
                .concat(),
                vec![0x55; PIECE],
            ),
        ),
        (
            "picture of 31 MiB that never ends",
            flood(
                [part("Content-Length: 32505856\r\n"), begun_picture.clone()].concat(),
                vec![0x55; PIECE],
            ),
        ),
        (
            "answer of 2^63 bytes",
            flood(
                HEAD.replace(
                    "\r\n\r\n",
                    "\r\nContent-Length: 9223372036854775808\r\n\r\n",
                ),
                &noise,
            ),
        ),
        (
            "single picture without an end",
            flood(
                [
                    b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n".to_vec(),
                    begun_picture,
                ]
                .concat(),
                vec![0x55; PIECE],
            ),
        ),
        (
            "endless chunk extension",
            flood([chunked.as_bytes(), b"5;"].concat(), "a".repeat(PIECE)),
        ),
        (
            "endless chunks of a byte",
            flood(chunked, "1\r\na\r\n".repeat(PIECE / 6)),
        ),
        ("endless chunk length", flood(chunked, "0".repeat(PIECE))),
        ("noise in parts", flood(HEAD, noise.clone())),
        ("noise", flood("", noise.clone())),
        ("noise as gzip", flood(gzip, noise)),
        ("a byte every 50 ms", drip(whole.clone())),
        (RECONNECTS, hang_up(whole)),
        ("hang up at once", script(async |_| Ok(()))),
    ]
}

/// Sends `begin`, then `piece` for as long as it is listened to.
fn flood(begin: impl AsRef<[u8]>, piece: impl AsRef<[u8]>) -> Script {
    let (begin, piece) = (begin.as_ref().to_vec(), piece.as_ref().to_vec());
    script(move |mut camera| {
        let (begin, piece) = (begin.clone(), piece.clone());
        async move {
            camera.request().await?;
            camera.send(&begin).await?;
            loop {
                camera.send(&piece).await?;
                camera.wait(PAUSE_MS).await;
            }
        }
    })
}

fn drip(bytes: Vec<u8>) -> Script {
    script(move |camera| drop_by_drop(camera, bytes.clone()))
}

async fn drop_by_drop(mut camera: Connection, bytes: Vec<u8>) -> io::Result<()> {
    camera.request().await?;
    for byte in bytes {
        camera.send([byte]).await?;
        camera.wait(50).await;
    }
    Ok(())
}

fn hang_up(bytes: Vec<u8>) -> Script {
    script(move |mut camera| {
        let bytes = bytes.clone();
        async move {
            camera.request().await?;
            camera.send(&bytes).await
        }
    })
}
