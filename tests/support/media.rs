//! Footage as other programs see it: ffprobe and ffmpeg.

use std::path::Path;
use std::process::Command;

use super::index::Index;

/// How many frames ffprobe finds in a file.
pub fn probed_frames(path: &Path) -> usize {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_packets",
            "-select_streams",
            "v",
            "-show_entries",
            "stream=nb_read_packets",
            "-of",
            "csv=p=0",
        ])
        .arg(path)
        .output()
        .expect("ffprobe is installed by scripts/setup-tests");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    text.trim()
        .trim_end_matches(',')
        .parse()
        .unwrap_or_else(|_| panic!("ffprobe {}: {text}{errors}", path.display()))
}

/// Panics unless each segment has as many frames as its row says, and ffmpeg decodes it without a complaint.
pub fn assert_segments_play(storage: &Path, index: &Index) {
    for segment in index.segments().expect("segments") {
        let path = storage.join(&segment.path);
        assert_eq!(
            i64::try_from(probed_frames(&path)),
            Ok(segment.frames),
            "{segment:?}"
        );
        assert_decodes(&path);
    }
}

/// Panics unless ffmpeg decodes the file without a complaint.
pub fn assert_decodes(path: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        // The file's own: in that of a steady rate two pictures that came close together would have one time.
        .args(["-enc_time_base", "-1", "-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed by scripts/setup-tests");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.trim().is_empty(),
        "ffmpeg {}: {errors}",
        path.display()
    );
}
