//! Names of exported pictures: by capture time, and no two alike.

use crate::cli::time;

/// Gives names in the order of capture.
#[derive(Debug, Default)]
pub(super) struct PictureNames {
    last_us: Option<i64>,
    repeats: u64,
}

impl PictureNames {
    /// `20261122T100000.000000Z.jpg`, and `20261122T100000.000000Z-2.jpg` for the second picture of that time.
    pub(super) fn next(&mut self, captured_us: i64) -> String {
        self.repeats = if self.last_us == Some(captured_us) {
            self.repeats + 1
        } else {
            1
        };
        self.last_us = Some(captured_us);
        let time = time::format_for_name(captured_us);
        match self.repeats {
            1 => format!("{time}.jpg"),
            repeat => format!("{time}-{repeat}.jpg"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_one_instant_get_names_of_their_own() {
        let mut names = PictureNames::default();
        let given: Vec<String> = [0, 0, 0, 5].map(|at| names.next(at)).into();
        assert_eq!(
            given,
            [
                "19700101T000000.000000Z.jpg",
                "19700101T000000.000000Z-2.jpg",
                "19700101T000000.000000Z-3.jpg",
                "19700101T000000.000005Z.jpg"
            ]
        );
    }
}
