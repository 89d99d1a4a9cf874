//! The JPEG walk takes any bytes, and takes them the same way in any split.
#![no_main]

use framelog_core::jpeg::{Facts, Walk, Walker, comments};
use libfuzzer_sys::fuzz_target;

fn walk(jpeg: &[u8], step: usize) -> (Walk, usize, usize, bool) {
    let mut walker = Walker::default();
    let mut found = Walk::More;
    for piece in jpeg.chunks(step) {
        found = walker.take(piece);
        if found != Walk::More {
            break;
        }
    }
    (found, walker.taken(), walker.doubtful_from(), walker.has_scan())
}

fuzz_target!(|jpeg: &[u8]| {
    let whole = walk(jpeg, jpeg.len().max(1));
    assert_eq!(walk(jpeg, 1), whole);
    assert_eq!(walk(jpeg, 3), whole);
    assert!(whole.1 <= jpeg.len());
    let _ = Facts::read(jpeg);
    let _ = comments(jpeg).count();
});
