//! Whole-daemon tests, one binary: see the files named here.

/// Films in a browser.
mod browser;
/// The command line: what each command says and returns.
mod cli;
/// What is installed beside the program.
mod deploy;
/// Disks that vanish, are swapped, read-only or late.
mod disk;
/// Is the machine fit?
mod doctor;
/// The fault suite in its short form.
#[expect(dead_code, reason = "the long form uses the rest")]
mod faults;
/// Each hole in the footage is a gap, with the right reason.
mod gaps;
/// H.264 and H.265 on disk and out of it.
mod h26x;
/// The recorder's web server: who may ask, and that nobody who asks does harm.
mod http;
/// Indexes that are deleted, replaced or damaged under a running recorder.
mod lost_index;
/// Other people's servers, over real sockets.
mod peers;
/// Quirks of real cameras, each a case, in three ways of cutting their bytes.
mod quirks;
/// Cameras that go away and come back.
mod reconnect;
/// Frames, rows, files: three cameras, recorded.
mod record;
/// Killed recorders and lost indexes.
mod recovery;
/// SIGHUP.
mod reload;
/// What goes, what stays, and full disks.
mod retention;
/// Real H.265 from a camera with oddities.
mod rtsp_h265;
/// The scripts, where something is missing.
mod scripts;
/// Passwords are nowhere but in the configuration.
mod secrets;
/// What systemd is told.
mod service;
/// Who asks is told: running, down, killed, frozen.
mod status;
/// SIGTERM, SIGINT, and the next start.
mod stop;
/// The scripted camera, the recorder as a child process, what it left behind.
mod support;
/// Indexes of earlier and later versions.
mod upgrade;
/// Index against footage: nothing is found that is not there, and what is there is.
mod verify;
/// Footage over HTTP.
mod watch;
/// The web page of a real recorder, in a real browser.
mod web_page;
/// Somebody else is told of changes.
mod webhook;
