//! What is said over an RTSP connection (RFC 2326), as cameras say it: messages and their fields. Not for what is in the packets, nor for
//! when to say what.

pub mod headers;
pub mod message;
