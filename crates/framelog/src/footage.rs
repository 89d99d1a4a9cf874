//! Stored frames as who looks at them wants them: one, a span, or from then on. Read from index and files, never from the running recorder. Not
//! for the words and files of the command line (`cli`), nor for HTTP (`web`).

pub mod decoding_order;
pub mod film;
pub mod follow;
pub mod frame_pages;
pub mod gop;
pub mod holes;
pub mod newest;
pub mod part;
pub mod stream;
pub mod watchers;
