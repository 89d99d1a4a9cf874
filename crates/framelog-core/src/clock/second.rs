//! A time finer than a second from a wall clock that has only whole ones and a counter that has the fraction
//! (TP-Link Kasa, camera-quirks row 55). Not for whether to believe either.

/// What is added to the counter, as far as the frames so far tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Second {
    offset_us: Option<i64>,
}

impl Second {
    /// The time at which the counter stood at `boot_us` within the wall second that begins at `second_us`; always
    /// within that second. `None` if the two can't be subtracted.
    ///
    /// The second turned somewhere between two frames, and the frames just behind a turn tell best how the two clocks
    /// lie: so the time begins low and is raised as better frames come. When the clocks no longer agree it begins anew.
    pub(super) fn read(&mut self, boot_us: i64, second_us: i64) -> Option<i64> {
        let low = second_us.checked_sub(boot_us)?;
        let end = low.checked_add(1_000_000)?;
        let raised = self
            .offset_us
            .map(|known| known.max(low))
            .filter(|&offset| offset < end);
        let offset = raised.unwrap_or(low);
        self.offset_us = Some(offset);
        boot_us.checked_add(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_raised_by_frames_behind_a_turn_and_falls_when_it_would_leave_the_second() {
        let mut second = Second::default();
        assert_eq!(second.read(1_500_000, 7_000_000), Some(7_000_000));
        assert_eq!(second.read(1_900_000, 7_000_000), Some(7_400_000));
        assert_eq!(second.read(2_100_000, 8_000_000), Some(8_000_000));
        assert_eq!(second.read(3_099_999, 8_000_000), Some(8_999_999));
        assert_eq!(second.read(3_100_000, 8_000_000), Some(8_000_000));
        assert_eq!(second.read(i64::MIN, i64::MAX), None);
    }
}
