//! Whether a camera that a person names is in the index, what they may have meant, and what there is of it.

use framelog_store::Reader;

use super::{Failure, time};

/// How similar a name must be to be suggested, 0 to 1.
const SIMILARITY_MIN: f64 = 0.7;

/// Makes sure that the index knows the camera.
///
/// # Errors
/// If it doesn't: the error names the nearest, or all. Or if the index can't be read.
pub async fn require(reader: &Reader, camera: &str) -> Result<(), Failure> {
    let cameras = reader.cameras().await.map_err(Failure::failed)?;
    if cameras.iter().any(|known| known == camera) {
        return Ok(());
    }
    Err(Failure::failed(unknown(camera, &cameras)))
}

/// From when to when there is footage of it, in words.
pub fn footage(reader: &Reader, camera: &str, utc: bool) -> String {
    let first = reader.frames(camera, i64::MIN, i64::MAX, None, 1);
    let first = first.ok().and_then(|mut page| page.pop());
    let last = reader.nearest(camera, i64::MAX).ok().flatten();
    match (first, last) {
        (Some(first), Some(last)) => format!(
            "there is footage from {} to {}",
            time::format(first.captured_us, utc),
            time::format(last.captured_us, utc)
        ),
        _ => "there is none at all yet".to_owned(),
    }
}

fn unknown(camera: &str, cameras: &[String]) -> String {
    let likeness = |known: &String| strsim::jaro_winkler(known, &camera.to_lowercase());
    let mut near: Vec<&String> = cameras
        .iter()
        .filter(|known| likeness(known) >= SIMILARITY_MIN)
        .collect();
    near.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    let join = |names: &[&String]| {
        names
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if cameras.is_empty() {
        format!("no camera {camera:?}: nothing has been recorded here yet")
    } else if near.is_empty() {
        let all: Vec<&String> = cameras.iter().take(10).collect();
        let more = if cameras.len() > all.len() {
            ", …"
        } else {
            ""
        };
        format!(
            "no camera {camera:?} in the index; there are {}{more}",
            join(&all)
        )
    } else {
        near.truncate(3);
        format!(
            "no camera {camera:?} in the index; did you mean {}?",
            join(&near)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_camera_is_answered_with_the_nearest_names() {
        let cameras = ["back-yard", "front-door", "front-gate", "x"].map(String::from);
        assert_eq!(
            unknown("front-dor", &cameras),
            "no camera \"front-dor\" in the index; did you mean front-door, front-gate?"
        );
        assert!(
            unknown("zzz", &cameras).ends_with("there are back-yard, front-door, front-gate, x")
        );
        assert!(unknown("zzz", &[]).contains("nothing has been recorded"));
    }
}
