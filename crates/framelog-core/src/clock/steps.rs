//! How often a clock steps. Not for what a step is.

/// A clock that has been steady for longer than this since its last step begins a new series with the next.
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
    /// The clock stepped.
    pub(super) fn note(&mut self, received_us: i64) {
        *self = Self {
            count: self.count.saturating_add(1),
            last_us: received_us,
        };
    }

    /// The clock went on. Silence alone doesn't show that: the pictures may be polled once a minute.
    pub(super) fn note_steady(&mut self, received_us: i64) {
        if received_us.abs_diff(self.last_us) > CALM_US {
            self.count = 0;
        }
    }

    /// Whether the series is too long for its clock to be of use, and not over yet.
    pub(super) fn are_many(&self) -> bool {
        self.count > FEW
    }
}
