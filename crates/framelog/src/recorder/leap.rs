//! Capture times that did not go on as time did, and the span of them that nobody lived through. Not for finding out that a clock was set.

/// Capture times that didn't go on as time did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leap {
    /// Capture time of the frame before it, microseconds.
    pub from_us: i64,
    /// How far ahead of the time that passed; negative: back.
    pub ahead_us: i64,
    /// Whose doing it was.
    pub whose: Whose,
}

/// Whose clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The camera's.
    Camera,
    /// This machine's.
    Machine,
}

impl Leap {
    /// Of one forward, for people.
    pub fn detail(&self) -> String {
        let whose = match self.whose {
            Whose::Camera => "the camera's",
            Whose::Machine => "this machine's",
        };
        format!("{whose} clock went forward by {} ms", self.ahead_us / 1000)
    }
}

/// How far capture times had come when a clock was put back: up to there is footage, also where it is put forward again.
#[derive(Debug, Default)]
pub struct Reached(Option<i64>);

impl Reached {
    /// The span without footage that a leap to this capture time leaves: only forward there is one.
    pub fn missed(&mut self, leap: &Leap, to_us: i64) -> Option<(i64, i64)> {
        if leap.ahead_us < 0 {
            self.0 = self.0.max(Some(leap.from_us));
            return None;
        }
        let from_us = self.0.map_or(leap.from_us, |us| us.max(leap.from_us));
        if from_us >= to_us {
            return None;
        }
        self.0 = None;
        Some((from_us, to_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footage_from_before_a_clock_was_put_back_is_no_gap_however_it_is_put_forward() {
        let leap = |from_us, ahead_us| Leap {
            from_us,
            ahead_us,
            whose: Whose::Camera,
        };
        let mut reached = Reached::default();
        assert_eq!(reached.missed(&leap(30, -29), 1), None);
        assert_eq!(reached.missed(&leap(11, 9), 20), None);
        assert_eq!(reached.missed(&leap(20, 41), 61), Some((30, 61)));
        assert_eq!(reached.missed(&leap(70, 10), 80), Some((70, 80)));
    }
}
