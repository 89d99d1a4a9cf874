//! What systemd is told over its socket, as it would hear it: started, reloading, how it goes, alive, stuck; and what it reads on
//! standard error.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::process::Signal;

use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::{Daemon, Place};

const LIMIT: Duration = Duration::from_secs(20);

/// The service manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn start(place: &Place, watchdog: Duration) -> (Self, Daemon) {
        let path = place.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket in the temporary directory");
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a time limit");
        let path = path.to_str().expect("a path of plain text");
        let watchdog = watchdog.as_micros().to_string();
        let daemon = place.run_in(&[
            ("FRAMELOG_LOG", "info"),
            ("NOTIFY_SOCKET", path),
            ("WATCHDOG_USEC", &watchdog),
        ]);
        let heard = Vec::new();
        (Self { socket, heard }, daemon)
    }

    /// Listens for so long; what was said meanwhile, one entry a message.
    fn listen(&mut self, length: Duration) -> Vec<String> {
        let (begin, already) = (Instant::now(), self.heard.len());
        while begin.elapsed() < length {
            self.hear();
        }
        self.heard[already..].to_vec()
    }

    /// Listens until a message has this in it.
    fn wait_for(&mut self, what: &str, place: &Place) {
        let (begin, already) = (Instant::now(), self.heard.len());
        while !self.heard[already..].iter().any(|m| m.contains(what)) {
            assert!(
                begin.elapsed() < LIMIT,
                "no {what}: {:?}\n{}",
                self.heard,
                place.log()
            );
            self.hear();
        }
    }

    fn hear(&mut self) {
        let mut message = [0; 4096];
        if let Ok(length) = self.socket.recv(&mut message) {
            let message = String::from_utf8_lossy(&message[..length]).into_owned();
            self.heard.push(message);
        }
    }
}

#[test]
fn manager_hears_of_start_state_reload_and_stop() {
    let gate = Camera::start(Listen::plainly(31), live(50));
    let place = Place::new(&gate.section("gate", "/"));
    let (mut manager, daemon) = Manager::start(&place, Duration::from_secs(60));
    manager.wait_for("READY=1", &place);
    assert!(
        !manager.heard.iter().any(|m| m.contains("RELOADING")),
        "{:?}",
        manager.heard
    );
    manager.wait_for("STATUS=1 of 1 cameras recorded", &place);

    daemon.signal(Signal::HUP);
    manager.wait_for("RELOADING=1\nMONOTONIC_USEC=", &place);
    manager.wait_for("READY=1", &place);
    place.configure("[cameras.gate]\nurl = 7\n");
    daemon.signal(Signal::HUP);
    manager.wait_for("RELOADING=1\nMONOTONIC_USEC=", &place);
    manager.wait_for("READY=1", &place);

    let dead = "[cameras.dead]\nurl = \"http://127.0.0.1:1/\"\n";
    place.configure(&[&gate.section("gate", "/"), dead].concat());
    daemon.signal(Signal::HUP);
    manager.wait_for(
        "STATUS=missing: dead (unreachable); 1 of 2 cameras recorded",
        &place,
    );
    let status = daemon.stop(LIMIT).expect("a stop in time");
    assert!(status.success(), "{}", place.log());
    manager.listen(Duration::from_millis(500));
    assert!(
        manager.heard.iter().any(|m| m.contains("STOPPING=1")),
        "{:?}",
        manager.heard
    );
}

#[test]
fn storage_that_is_waited_for_is_no_start() {
    let place = Place::new("");
    let storage = place.storage();
    std::fs::create_dir(&storage).expect("a writable temporary directory");
    place.write_config(&format!(
        "[storage]\npath = {storage:?}\nuuid = \"6f1c0d2e-3a4b-4c5d-8e6f-708192a3b4c5\"\n[http]\nlisten = \"127.0.0.1:0\"\n"
    ));
    let (mut manager, daemon) = Manager::start(&place, Duration::from_secs(60));
    manager.wait_for("STATUS=NOT RECORDING: ", &place);
    daemon.signal(Signal::HUP);
    let heard = manager.listen(Duration::from_secs(1));
    let early = |m: &String| m.contains("READY") || m.contains("RELOADING");
    assert!(!heard.iter().any(early), "{heard:?}");
    assert!(!manager.heard.iter().any(early), "{:?}", manager.heard);
    let status = daemon.stop(LIMIT).expect("a stop in time");
    assert!(status.success(), "{}", place.log());
}

/// Threads of a process that are held where they are, as if the disk had not answered.
struct Held(Vec<Pid>);

impl Held {
    fn writers(daemon: &Daemon) -> Self {
        let tasks = format!("/proc/{}/task", daemon.pid());
        let tasks = std::fs::read_dir(tasks).expect("the recorder runs");
        let threads: Vec<Pid> = tasks
            .filter_map(|task| {
                let task = task.ok()?;
                let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
                let id = task.file_name().to_str()?.parse().ok()?;
                name.starts_with("writer-").then(|| Pid::from_raw(id))
            })
            .collect();
        assert!(!threads.is_empty(), "there are writers");
        for &thread in &threads {
            ptrace::attach(thread).expect("a child may be held");
            waitpid(thread, Some(nix::sys::wait::WaitPidFlag::__WALL)).expect("it is held");
        }
        Self(threads)
    }

    fn release(self) {
        for thread in self.0 {
            ptrace::detach(thread, None).expect("it was held");
        }
    }
}

#[test]
fn watchdog_is_fed_only_while_frames_reach_the_disk() {
    let gate = Camera::start(Listen::plainly(32), live(50));
    let place = Place::new(&gate.section("gate", "/"));
    let (mut manager, daemon) = Manager::start(&place, Duration::from_secs(4));
    manager.wait_for("WATCHDOG=1", &place);
    place.wait_for("frames", LIMIT, |index| {
        (!index.rows_of("gate").is_empty()).then_some(())
    });
    let is_fed = |heard: &[String]| heard.iter().any(|m| m.contains("WATCHDOG=1"));
    for _ in 0..3 {
        assert!(
            is_fed(&manager.listen(Duration::from_secs(4))),
            "it is well"
        );
    }

    let held = Held::writers(&daemon);
    let begin = Instant::now();
    while is_fed(&manager.listen(Duration::from_secs(4))) {
        assert!(begin.elapsed() < 3 * LIMIT, "{}", place.log());
    }
    assert!(
        place.log().contains("the writer of gate is stuck"),
        "{}",
        place.log()
    );

    held.release();
    manager.wait_for("WATCHDOG=1", &place);
    let status = daemon.stop(LIMIT).expect("a stop in time");
    assert!(status.success(), "{}", place.log());
}

/// Runs a recorder with a broken configuration, whose standard error is what `JOURNAL_STREAM` names, or not; what it says.
fn refusal(is_journal: bool) -> String {
    let place = Place::new("urk = 1\n");
    File::create(place.path("log")).expect("a writable temporary directory");
    let log = fs::metadata(place.path("log")).expect("a file");
    let inode = log.ino() + u64::from(!is_journal);
    let stream = format!("{}:{inode}", log.dev());
    let mut daemon = place.run_with("JOURNAL_STREAM", &stream);
    let status = daemon.wait(LIMIT).expect("an end");
    assert_eq!(status.code(), Some(2));
    place.log()
}

#[test]
fn why_it_ends_is_an_error_of_the_journal_where_stderr_leads_there() {
    let said = refusal(true);
    assert!(
        said.lines().all(|line| line.starts_with("<3>framelog: ")),
        "{said}"
    );
    let said = refusal(false);
    assert!(
        said.lines().all(|line| line.starts_with("framelog: ")),
        "{said}"
    );
}
