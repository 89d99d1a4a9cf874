//! How often a clock steps. Not for what a step is.

/// A step longer than this after the last one is the first of a new series.
const CALM_US: u64 = 5_000_000;
/// So many steps in a series are worth a segment each.
const FEW: u32 = 10;

/// The current series of steps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps {
    count: u32,
    last_us: i64,
}

impl Steps {
    pub(super) fn note(&mut self, received_us: i64) {
        let before = if self.is_over(received_us) {
            0
        } else {
            self.count
        };
        *self = Self {
            count: before.saturating_add(1),
            last_us: received_us,
        };
    }

    /// Whether the series is too long for its clock to be of use, and not over yet.
    pub(super) fn are_many(&self, received_us: i64) -> bool {
        self.count > FEW && !self.is_over(received_us)
    }

    fn is_over(&self, received_us: i64) -> bool {
        received_us.abs_diff(self.last_us) > CALM_US
    }
}
