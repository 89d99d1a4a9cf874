//! What cameras send, made into frames with times.
//!
//! Sans-I/O: bytes, stamps and the present time come in as arguments; parts, times and delays come out as values.
//! There is no socket, file, task or clock in this crate, and nothing of it blocks.
//!
//! - [`boundary`] reads the Content-Type, [`chunked`] takes the chunk layer off the body;
//! - [`multipart`] finds the parts, whatever the camera makes of RFC 2046; [`jpeg`] follows a picture's own structure;
//! - [`sdp`] reads what an RTSP camera says that it offers, [`rtp`] makes pictures of its packets, [`nal`] knows the units in them;
//! - [`timestamp`] reads a part's stamps, [`clock`] decides what they are worth;
//! - [`frame`] is what comes out, [`container`] the bytes that a file holds around it;
//! - [`backoff`] says how long to wait before the next try, [`gap`] names what is missing and why,
//!   [`frozen`] whether a camera goes on sending the same.
//!
//! The contract is the same everywhere: push what came, then poll until there is nothing more. Memory is bounded by
//! [`multipart::Limits`] and what [`rtp::Receiver`] says, whatever comes in.
//!
//! ```
//! use framelog_core::clock::{Clock, ClockKind, TimestampMode};
//! use framelog_core::multipart::{Event, Limits, Parser};
//! use framelog_core::timestamp::Stamp;
//!
//! let body = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 8\r\nX-Timestamp: 1700000000.25\r\n\r\n\xFF\xD8\xFF\xDBxx\xFF\xD9\r\n";
//! let arrival_us = 1_700_000_000_300_000;
//! let mut parser = Parser::new(Some(b"b"), Limits::default());
//! let mut clock = Clock::new(TimestampMode::Auto, 600_000_000);
//! parser.push(body.to_vec().into(), arrival_us);
//! # parser.push(b"--b\r\n".to_vec().into(), arrival_us);
//! while let Some(event) = parser.poll() {
//!     let Event::Part(part) = event else { continue };
//!     let reading = clock.read(Stamp::read(&part.headers), part.received_us);
//!     assert_eq!((reading.kind, reading.captured_us), (ClockKind::Camera, 1_700_000_000_250_000));
//!     assert_eq!(part.payload.len(), 8);
//! }
//! ```
//!
//! `examples/capture.rs` is a whole client.
#![forbid(unsafe_code)]

pub mod backoff;
pub mod boundary;
pub mod chunked;
pub mod clock;
pub mod container;
mod delimiter;
pub mod digest;
pub mod frame;
pub mod frozen;
pub mod gap;
pub mod header;
pub mod huffman;
pub mod jpeg;
pub mod multipart;
pub mod nal;
pub mod rtp;
pub mod rtsp;
pub mod sdp;
pub mod timestamp;
mod window;
