//! Times without footage that nothing explains: an index made anew knows segments, and of gaps only what the old one still told. Not for
//! writing the gaps.

use sqlx::SqliteConnection;

/// A time without frames is no gap if it is shorter than this, or than a few of the frames before it.
const HOLE_MIN_US: i64 = 1_000_000;
const HOLE_FRAMES: i64 = 3;

/// Times between two segments of a camera, before `until_us`, that neither a gap nor a receipt explains.
pub(super) async fn holes(
    connection: &mut SqliteConnection,
    camera_id: i64,
    until_us: i64,
) -> sqlx::Result<Vec<(i64, i64)>> {
    let segments: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT started_us, ended_us, frames FROM segments WHERE camera_id = ? AND started_us < ? ORDER BY started_us",
    )
    .bind(camera_id)
    .bind(until_us)
    .fetch_all(&mut *connection)
    .await?;
    let gaps: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT started_us, coalesce(ended_us, ?1) FROM gaps WHERE camera_id = ?2 \
         UNION ALL SELECT started_us, ended_us FROM removals WHERE camera_id = ?2 ORDER BY started_us",
    )
    .bind(until_us)
    .bind(camera_id)
    .fetch_all(connection)
    .await?;
    Ok(unexplained(&segments, &gaps))
}

/// Segments are (start, end, frames), gaps (start, end), each by start.
fn unexplained(segments: &[(i64, i64, i64)], gaps: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut holes = Vec::new();
    let mut gaps = gaps.iter().peekable();
    let Some(&(_, mut covered_us, _)) = segments.first() else {
        return holes;
    };
    // Of pictures in files of their own, the time from one to the next says how fast they come; the first is no hole for want of one before it.
    let starts = |n: usize| segments.get(n).map(|(started_us, ..)| *started_us);
    let mut pace_us = match segments {
        [(.., 1), ..] => starts(1).unwrap_or(covered_us).saturating_sub(covered_us),
        _ => 0,
    };
    for (n, &(started_us, ended_us, frames)) in segments.iter().enumerate() {
        while let Some(&&(gap_started_us, gap_ended_us)) = gaps.peek()
            && gap_started_us <= started_us
        {
            push_hole(&mut holes, covered_us, gap_started_us, pace_us);
            covered_us = covered_us.max(gap_ended_us);
            gaps.next();
        }
        push_hole(&mut holes, covered_us, started_us, pace_us);
        covered_us = covered_us.max(ended_us);
        if frames > 1 {
            pace_us = ended_us.saturating_sub(started_us) / (frames - 1);
        } else if let Some(before_us) = n.checked_sub(1).and_then(starts) {
            pace_us = started_us.saturating_sub(before_us);
        }
    }
    holes
}

fn push_hole(holes: &mut Vec<(i64, i64)>, from_us: i64, to_us: i64, pace_us: i64) {
    let least_us = HOLE_MIN_US.max(pace_us.saturating_mul(HOLE_FRAMES));
    if to_us.saturating_sub(from_us) > least_us {
        holes.push((from_us, to_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    #[test]
    fn slow_pictures_in_files_of_their_own_have_no_holes_between_them() {
        let pictures = |times: &[i64]| times.iter().map(|&s| (s * S, s * S, 1)).collect::<Vec<_>>();
        let every_10_s = pictures(&[0, 10, 21, 30, 40, 50]);
        assert_eq!(unexplained(&every_10_s, &[]), []);
        let one_hole = pictures(&[0, 10, 20, 3_620, 3_630, 3_640]);
        assert_eq!(unexplained(&one_hole, &[]), [(20 * S, 3_620 * S)]);
    }

    #[test]
    fn only_what_no_gap_explains_is_a_hole() {
        let segments = [
            (0, 60 * S, 601),
            (60 * S + S / 10, 120 * S, 600), // the next frame
            (200 * S, 260 * S, 601),         // 80 s later
            (300 * S, 310 * S, 100),         // explained
            (330 * S, 340 * S, 100),         // explained in part
        ];
        let gaps = [(260 * S, 300 * S), (320 * S, 330 * S)];
        assert_eq!(
            unexplained(&segments, &gaps),
            [(120 * S, 200 * S), (310 * S, 320 * S)]
        );
    }

    #[test]
    fn a_slow_camera_has_no_holes_between_its_frames() {
        let segments = [(0, 50 * S, 6), (70 * S, 120 * S, 6)];
        assert_eq!(unexplained(&segments, &[]), []);
        assert_eq!(unexplained(&[], &[(1, 2)]), []);
    }

    #[test]
    fn segments_that_overlap_have_no_hole_between_them() {
        let segments = [(0, 100 * S, 11), (10 * S, 20 * S, 2), (99 * S, 120 * S, 5)];
        assert_eq!(unexplained(&segments, &[]), []);
    }
}
