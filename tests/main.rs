//! Whole-daemon tests, one binary: see the files named here.

/// The command line: what each command says and returns.
mod cli;
/// The fault suite in its short form.
#[expect(dead_code, reason = "the long form uses the rest")]
mod faults;
/// Each hole in the footage is a gap, with the right reason.
mod gaps;
/// Other people's servers, over real sockets.
mod peers;
/// Quirks of real cameras, each a case, in three ways of cutting their bytes.
mod quirks;
/// Cameras that go away and come back.
mod reconnect;
/// Frames, rows, files: three cameras, recorded.
mod record;
/// SIGHUP.
mod reload;
/// Passwords are nowhere but in the configuration.
mod secrets;
/// SIGTERM, SIGINT, and the next start.
mod stop;
/// The scripted camera, the recorder as a child process, what it left behind.
mod support;
