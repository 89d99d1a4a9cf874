//! Where in a file to stop writing for now: the page cache takes whole blocks at a fraction of what the same bytes cost in pieces that begin
//! and end anywhere, because a block is one folio to it (Linux 6.16 on ext4, 5.18 on XFS). Not for when something is written.

/// What ends at a multiple of this costs least, bytes: larger ones save hardly anything more, and more would have to wait.
pub(crate) const BLOCK: u64 = 64 << 10;
/// Smaller pieces than a page gain nothing.
const PAGE: u64 = 4 << 10;

/// The best place between the two: the last end of a block there, of the largest blocks that end there at all.
pub(crate) fn stop(from: u64, to: u64) -> u64 {
    let mut block = BLOCK;
    while block >= PAGE {
        let end = to / block * block;
        if end >= from {
            return end;
        }
        block /= 2;
    }
    to
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_largest_blocks_come_first_and_then_the_longest_way() {
        const KB: u64 = 1024;
        for (from, to, at) in [
            (1, 300 * KB, 256 * KB),
            (60 * KB, 70 * KB, 64 * KB),
            (24_000, 72_000, 64 * KB),
            (65 * KB, 100 * KB, 96 * KB),
            (65 * KB, 90 * KB, 80 * KB),
            (65 * KB, 70 * KB, 68 * KB),
            (65 * KB, 67 * KB, 67 * KB),
            (64 * KB, 64 * KB, 64 * KB),
        ] {
            assert_eq!(stop(from, to), at, "between {from} and {to}");
        }
    }

    proptest! {
        #[test]
        fn it_stops_between_the_two(from in 0..10_000_000u64, more in 0..1_000_000u64) {
            prop_assert!((from..=from + more).contains(&stop(from, from + more)));
        }
    }
}
