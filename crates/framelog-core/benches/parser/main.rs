//! How fast bytes become parts, beside copying the same bytes; and, counted first, what a part costs in allocations and copies.
//! Not for the daemon around it: that is the bench `recorder` in `tests/`.

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use framelog_core::header::Headers;
use framelog_core::jpeg::{Walk, Walker};
use framelog_core::multipart::{Event, Limits, Parser, Part};

mod picture;

use picture::picture;

/// What a read from a socket gives at most, in bytes.
const READ_BYTES: usize = 64 << 10;
/// How much a bench goes through at a time: more than a core's own caches hold, less than the shared one.
const STREAM_BYTES: usize = 8 << 20;
/// Frame sizes: a VGA and a 720p camera, in bytes.
const FRAME_BYTES: [usize; 2] = [24_000, 97_000];

fn main() {
    println!("parts of a stream in steady state, pushed as slices of {READ_BYTES} bytes:");
    for with_length in [true, false] {
        for frame_bytes in FRAME_BYTES {
            Costs::count(&Stream::new(frame_bytes, with_length)).print(frame_bytes, with_length);
        }
    }
    println!();
    divan::main();
}

/// A body that may be sent over and over: whole parts, in pieces as a socket gives them.
struct Stream {
    whole: Bytes,
    pieces: Vec<Bytes>,
    parts: usize,
}

impl Stream {
    fn new(frame_bytes: usize, with_length: bool) -> Self {
        let mut body = Vec::with_capacity(STREAM_BYTES + frame_bytes + 200);
        let mut parts = 0;
        while body.len() < STREAM_BYTES {
            let picture = picture(frame_bytes + parts % 64, parts as u64);
            body.extend_from_slice(&part_head(with_length.then_some(picture.len()), parts));
            body.extend_from_slice(&picture);
            body.extend_from_slice(b"\r\n");
            parts += 1;
        }
        let whole = Bytes::from(body);
        let pieces = (0..whole.len())
            .step_by(READ_BYTES)
            .map(|from| whole.slice(from..whole.len().min(from + READ_BYTES)))
            .collect();
        Self {
            whole,
            pieces,
            parts,
        }
    }

    /// Pushes the whole stream once; gives how many parts came out.
    fn feed(&self, parser: &mut Parser, mut each: impl FnMut(Part)) {
        for piece in &self.pieces {
            parser.push(piece.clone(), 1_700_000_000_000_000);
            while let Some(event) = parser.poll() {
                match event {
                    Event::Part(part) => each(part),
                    Event::Skipped(skipped) => panic!("a good part was skipped: {skipped:?}"),
                }
            }
        }
    }
}

fn parser() -> Parser {
    Parser::new(Some(b"boundarydonotcross"), Limits::default())
}

/// As mjpg-streamer writes it.
fn part_head(length: Option<usize>, number: usize) -> Vec<u8> {
    let length = length.map_or(String::new(), |length| {
        format!("Content-Length: {length}\r\n")
    });
    format!(
        "--boundarydonotcross\r\nContent-Type: image/jpeg\r\n{length}X-Timestamp: 17000000{:02}.{:06}\r\n\r\n",
        number / 10 % 100,
        number % 10 * 100_000
    )
    .into_bytes()
}

/// What a stream's parts cost besides time.
struct Costs {
    parts: usize,
    allocations: u64,
    payload_bytes: usize,
    copied_bytes: usize,
}

impl Costs {
    /// Counts one pass, after one that lets everything grow to its size.
    fn count(stream: &Stream) -> Self {
        let mut parser = parser();
        stream.feed(&mut parser, drop);
        let input = stream.whole.as_ptr_range();
        let mut costs = Self {
            parts: 0,
            allocations: 0,
            payload_bytes: 0,
            copied_bytes: 0,
        };
        let allocated = allocation_counter::measure(|| {
            stream.feed(&mut parser, |part| {
                costs.parts += 1;
                for slice in part.payload.slices() {
                    costs.payload_bytes += slice.len();
                    if !input.contains(&slice.as_ptr()) {
                        costs.copied_bytes += slice.len();
                    }
                }
            });
        });
        costs.allocations = allocated.count_total;
        costs
    }

    fn print(&self, frame_bytes: usize, with_length: bool) {
        println!(
            "  {frame_bytes} B, {} Content-Length: {} parts, {} allocations ({:.4} per part), {} of {} payload bytes copied",
            if with_length { "with" } else { "without" },
            self.parts,
            self.allocations,
            self.allocations as f64 / self.parts as f64,
            self.copied_bytes,
            self.payload_bytes,
        );
    }
}

fn parse(bencher: Bencher, frame_bytes: usize, with_length: bool) {
    let stream = Stream::new(frame_bytes, with_length);
    let mut parser = parser();
    bencher
        .counter(BytesCount::new(stream.whole.len()))
        .counter(ItemsCount::new(stream.parts))
        .bench_local(|| stream.feed(&mut parser, |part| drop(divan::black_box(part))));
}

#[divan::bench(args = FRAME_BYTES)]
fn with_length(bencher: Bencher, frame_bytes: usize) {
    parse(bencher, frame_bytes, true);
}

#[divan::bench(args = FRAME_BYTES)]
fn without_length(bencher: Bencher, frame_bytes: usize) {
    parse(bencher, frame_bytes, false);
}

#[divan::bench(args = FRAME_BYTES)]
fn jpeg_walk(bencher: Bencher, frame_bytes: usize) {
    let pictures: Vec<_> = (0..STREAM_BYTES / frame_bytes)
        .map(|seed| picture(frame_bytes, seed as u64))
        .collect();
    bencher
        .counter(BytesCount::new(pictures.len() * frame_bytes))
        .counter(ItemsCount::new(pictures.len()))
        .bench_local(|| {
            for picture in &pictures {
                assert_eq!(Walker::default().take(divan::black_box(picture)), Walk::End);
            }
        });
}

#[divan::bench]
fn header_lines(bencher: Bencher) {
    let raw = Bytes::from(part_head(Some(24_000), 1)).slice(22..);
    let headers = Headers::new(raw.clone());
    bencher.counter(BytesCount::new(raw.len())).bench_local(|| {
        divan::black_box(&headers)
            .get("content-length")
            .map(<[u8]>::len)
    });
}

/// The yardstick: as many bytes copied, from pieces as a socket gives them into one buffer.
#[divan::bench]
fn memcpy(bencher: Bencher) {
    let stream = Stream::new(FRAME_BYTES[0], true);
    let mut out = vec![0; READ_BYTES];
    bencher
        .counter(BytesCount::new(stream.whole.len()))
        .bench_local(|| {
            for piece in &stream.pieces {
                out[..piece.len()].copy_from_slice(divan::black_box(piece));
                divan::black_box(&mut out);
            }
        });
}
