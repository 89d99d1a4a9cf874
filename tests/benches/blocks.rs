//! What the file system takes for the same bytes in pieces of other sizes: why footage is written in blocks. No part of framelog runs here.
//!
//!     cargo bench -p framelog-tests --bench blocks

use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use clap::Parser;
use rustix::fs::{Mode, OFlags};

/// Piece sizes, bytes; those of pages can go past the page cache too.
const PIECES: [usize; 8] = [
    4 << 10,
    24_100,
    32 << 10,
    48_200,
    64 << 10,
    72_300,
    256 << 10,
    1 << 20,
];
const PAGE: usize = 4 << 10;

/// Writes the same bytes to many files in turn, and prints what that costs as a Markdown table.
#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = 500)]
    files: usize,
    /// Bytes in all, for each size
    #[arg(long, default_value_t = 2_000_000_000)]
    bytes: usize,
    /// Where the files are made
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    println!(
        "{} bytes to {} files in turn; CPU s per GB of this thread\n",
        arguments.bytes, arguments.files
    );
    println!("| bytes at a time | page cache | O_DIRECT |\n|--:|--:|--:|");
    for piece in PIECES {
        let cached = cost(&arguments, piece, OFlags::empty())?;
        let direct = match piece % PAGE {
            0 => format!("{:.2}", cost(&arguments, piece, OFlags::DIRECT)?),
            _ => "–".to_owned(),
        };
        println!("| {piece} | {cached:.2} | {direct} |");
    }
    Ok(())
}

/// CPU seconds for each 10⁹ bytes.
fn cost(arguments: &Arguments, piece: usize, how: OFlags) -> Result<f64, Box<dyn Error>> {
    let dir = tempfile::tempdir_in(&arguments.dir)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | how;
    let files: Vec<File> = (0..arguments.files)
        .map(|n| {
            let path = dir.path().join(n.to_string());
            rustix::fs::open(path, flags, Mode::from(0o600)).map(File::from)
        })
        .collect::<Result<_, _>>()?;
    let memory = vec![7; piece + PAGE];
    let bytes = &memory[memory.as_ptr().align_offset(PAGE)..][..piece];
    let rounds = (arguments.bytes / arguments.files / piece).max(1);
    let before_ns = ran_ns()?;
    for round in 0..rounds {
        for file in &files {
            file.write_all_at(bytes, (round * piece) as u64)?;
        }
    }
    let ran_ns = ran_ns()? - before_ns;
    Ok(ran_ns / (rounds * piece * files.len()) as f64)
}

/// Processor time of this thread so far.
fn ran_ns() -> Result<f64, Box<dyn Error>> {
    let times = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(times.split(' ').next().unwrap_or_default().parse()?)
}
