//! `framelog tail`: a camera's frames as they are stored, on standard output, for a person's own program: JPEGs as multipart, H.264 and H.265 as
//! fragmented MP4.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use framelog_store::Reader;
use framelog_store::query::FrameRow;

use super::output::{self, Stop, ended};
use super::{Failure, known_camera, storage, time};
use crate::footage::follow::Follower;
use crate::footage::stream::Stream;

mod silence;

use silence::Silence;

/// How often the index is asked for new rows; they are committed within a second.
const POLL: Duration = Duration::from_millis(200);
/// How long to wait before an index that could not be read is opened again.
const REOPEN: Duration = Duration::from_secs(1);

/// Arguments of `framelog tail`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The camera
    camera: String,
    /// Begin with the footage after this time [default: with the next frame]
    #[arg(long, value_name = "TIME", value_parser = time::argument, allow_hyphen_values = true)]
    from: Option<i64>,
}

/// Writes frames until nobody reads them any more, in the order in which they were stored.
///
/// # Errors
/// If standard output is a terminal, the index can't be opened, or doesn't know the camera; or no frame can come any more, because the camera
/// has been taken out of the configuration.
pub async fn run(args: Args, storage: &Path, config: &Path) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::usage(
            "tail writes pictures, not text; pipe it into a program, as in `framelog tail CAMERA | ffplay -f mpjpeg -`, or `ffplay -` for H.264 and H.265",
        ));
    }
    let mut reader = storage::open(storage).await?;
    known_camera::require(&reader, &args.camera).await?;
    let mut tail = Tail::begin(&reader, &args).await.map_err(Failure::failed)?;
    let mut silence = Silence::begin(&args.camera, storage, config);
    loop {
        // Asked before: what the old index still got is written first.
        let is_replaced = reader.is_replaced();
        match tail.advance(&reader, &mut io::stdout()).await {
            Ok(_) if output::is_closed() => return Ok(()),
            Ok(_) if is_replaced => {
                reader = reopen(storage, &reader, &mut tail.follower).await;
            }
            Ok(got_any) => {
                if got_any {
                    silence.is_broken();
                } else {
                    silence.lasts(&reader).await?;
                }
                tokio::time::sleep(POLL).await;
            }
            Err(Interrupted::Output(stop)) => return ended(Err(stop)),
            Err(Interrupted::Changed { at_us }) => {
                return Err(Failure::failed(format!(
                    "{}: from {} on the camera sends another format, which a film can't change to; start tail again with --from that time, or use export",
                    args.camera,
                    time::format(at_us, false)
                )));
            }
            Err(Interrupted::Index(error)) => {
                eprintln!("framelog: {error}; trying again");
                tokio::time::sleep(REOPEN).await;
                reader = reopen(storage, &reader, &mut tail.follower).await;
            }
        }
    }
}

/// Opens the index, however long that takes. If that is another one, its ids are others: goes on in it where the old one ended.
async fn reopen(storage: &Path, old: &Reader, follower: &mut Follower) -> Reader {
    loop {
        if let Ok(reader) = Reader::open(storage).await
            && (!old.is_replaced() || follower.go_on(&reader).await.is_ok())
        {
            return reader;
        }
        tokio::time::sleep(REOPEN).await;
    }
}

/// Why a round of reading and writing ended early.
enum Interrupted {
    Index(framelog_store::Error),
    Output(Stop),
    /// What follows doesn't go with what was written.
    Changed {
        /// Since when.
        at_us: i64,
    },
}

impl From<framelog_store::Error> for Interrupted {
    fn from(error: framelog_store::Error) -> Self {
        Interrupted::Index(error)
    }
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Interrupted::Output(error.into())
    }
}

/// What has been written out.
#[derive(Debug)]
struct Tail {
    follower: Follower,
    stream: Stream,
    /// The last file that could not be read, so that it is reported once.
    unreadable: Option<Arc<Path>>,
}

impl Tail {
    async fn begin(reader: &Reader, args: &Args) -> Result<Self, framelog_store::Error> {
        let follower = match args.from {
            Some(from_us) => Follower::from(reader, &args.camera, from_us).await,
            None => Follower::behind_newest(reader, &args.camera).await,
        };
        Ok(Self {
            follower: follower?,
            stream: Stream::default(),
            unreadable: None,
        })
    }

    /// Writes all frames that are new; whether there were any.
    async fn advance(
        &mut self,
        reader: &Reader,
        out: &mut impl Write,
    ) -> Result<bool, Interrupted> {
        let mut got_any = false;
        for segment in self.follower.segments(reader).await? {
            loop {
                let new = self.follower.new_frames(reader, &segment)?;
                for frame in &new.frames {
                    if self.follower.pass(frame) {
                        self.write(reader, frame, out)?;
                    }
                    got_any = true;
                }
                out.flush()?;
                if !new.more {
                    break;
                }
            }
        }
        Ok(got_any)
    }

    fn write(
        &mut self,
        reader: &Reader,
        frame: &FrameRow,
        out: &mut impl Write,
    ) -> Result<(), Interrupted> {
        match self.stream.next(reader, frame) {
            Ok(Some(bytes)) => Ok(out.write_all(&bytes)?),
            Ok(None) => Err(Interrupted::Changed {
                at_us: frame.captured_us,
            }),
            Err(error) => {
                if self.unreadable.as_ref() != Some(&frame.path) {
                    eprintln!("framelog: {error}; its frames are left out");
                    self.unreadable = Some(frame.path.clone());
                }
                Ok(())
            }
        }
    }
}
