//! The web page as people see it: a real recorder of real cameras, shown in headless Chromium, driven by a script that looks at what is shown. Skipped
//! where there is no Chromium. Not for the API behind it.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use framelog_core::frame::{Codec, Frame};
use framelog_store::{Options, Store};

use crate::support::camera::{Camera, Clock, HEAD, Listen, Script, Shot, script};
use crate::support::daemon::{Daemon, Place};
use crate::support::elementary::{frames, jpegs};
use crate::support::index::Row;
use crate::support::rtsp::{Stage as RtspStage, stored, units};
use crate::support::{RUNTIME, free_port, now_us, seconds};

mod stage;

use stage::Stage;

const LIMIT: Duration = Duration::from_secs(30);
const TOKEN: &str = "correct-horse-battery-staple";

/// A second.
const S: i64 = 1_000_000;

/// A recorder that runs, and what it records.
struct Recorder {
    place: Place,
    port: u16,
    _daemon: Daemon,
    _camera: Option<Camera>,
}

impl Recorder {
    /// With these lines below `[http]`, and these cameras.
    fn run(place: Place, http: &str, cameras: &str, camera: Option<Camera>) -> Self {
        let port = free_port();
        place.write_config(&format!(
            "[storage]\npath = {:?}\n\n[http]\nlisten = \"127.0.0.1:{port}\"\n{http}\n\n{cameras}",
            place.storage()
        ));
        let daemon = place.run();
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < LIMIT, "{}", place.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            place,
            port,
            _daemon: daemon,
            _camera: camera,
        }
    }

    /// Of one camera, `gate`.
    fn of(camera: Camera) -> Self {
        let section = camera.section("gate", "/");
        Self::run(Place::new(""), "", &section, Some(camera))
    }

    /// The rows of `gate`, once there are so many.
    fn rows(&self, count: usize) -> Vec<Row> {
        self.place.wait_for("frames", LIMIT, |index| {
            Some(index.rows_of("gate")).filter(|rows| rows.len() >= count)
        })
    }

    /// Shows an address of its page.
    fn show(&self, address: &str, script: &str) -> Option<Stage> {
        Stage::show(self.port, address, script, &self.place.path("chromium"))
    }
}

/// What a camera sends on its first connection, and what after a silence.
#[derive(Clone, Copy)]
struct Show {
    /// So many pictures before it hangs up; for ever if 0.
    first: usize,
    /// For so long it is busy then.
    silence: Duration,
}

/// A camera that shows a moving picture, ten times a second.
fn moving(show: Show) -> Script {
    let pictures = Arc::new(jpegs("320x180", 100));
    let hung_up: Arc<std::sync::Mutex<Option<Instant>>> = Arc::default();
    script(move |mut camera| {
        let (pictures, hung_up) = (Arc::clone(&pictures), Arc::clone(&hung_up));
        async move {
            camera.request().await?;
            let since = *hung_up.lock().expect("nothing panics with it");
            if since.is_some_and(|since| since.elapsed() < show.silence) {
                let busy = "HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
                return camera.send(busy).await;
            }
            camera.send(HEAD).await?;
            let count = match (show.first, camera.number) {
                (0, _) | (_, 1..) => usize::MAX,
                (first, 0) => first,
            };
            for jpeg in pictures.iter().cycle().take(count) {
                let (length, us) = (jpeg.len(), now_us());
                let head = format!(
                    "--camframe\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\nX-Timestamp: {}\r\n\r\n",
                    seconds(us)
                );
                let part = [head.as_bytes(), jpeg, b"\r\n"].concat();
                let shot = Shot::new(jpeg).at(Clock::Camera(us));
                camera.deliver(part, shot).await?;
                camera.wait(100).await;
            }
            *hung_up.lock().expect("nothing panics with it") = Some(Instant::now());
            Ok(())
        }
    })
}

/// A camera that always works.
fn working() -> Camera {
    let show = Show {
        first: 0,
        silence: Duration::ZERO,
    };
    Camera::start(Listen::plainly(1), moving(show))
}

/// A camera that hangs up after so many pictures, and is back two seconds later.
fn hanging_up(first: usize) -> Camera {
    let show = Show {
        first,
        silence: Duration::from_secs(2),
    };
    Camera::start(Listen::plainly(1), moving(show))
}

/// A place with four seconds of a camera in this format, from an hour ago on, and two more ten minutes later; and when its frames were taken.
fn recorded(camera: &str, codec: Codec, b_frames: u32) -> (Place, Vec<i64>) {
    let place = Place::new("");
    let begin_us = now_us() - 3600 * S;
    let mut film = frames(codec, "320x180", b_frames, 100, begin_us);
    film.extend(frames(codec, "320x180", b_frames, 50, begin_us + 600 * S));
    let mut times: Vec<i64> = film.iter().map(|frame| frame.captured_us).collect();
    times.sort_unstable();
    let storage = place.storage();
    RUNTIME.block_on(async {
        let store = Store::open(Options::new(storage)).await.expect("a store");
        let log = store.camera(camera).expect("a camera");
        for (number, frame) in film.into_iter().enumerate() {
            log.append(frame, number.is_multiple_of(50)).expect("room");
        }
        store.close().await.expect("a clean stop");
    });
    (place, times)
}

/// A camera that shows ten pictures a second of H.264 over RTSP, a keyframe every 25.
fn filming() -> Camera {
    let film: Arc<Vec<Frame>> = Arc::new(frames(Codec::H264, "320x180", 0, 100, now_us()));
    let script = script(move |camera| {
        let film = Arc::clone(&film);
        async move {
            let parameters = film[0].parameters.as_ref().expect("H.264 has some");
            let sets = parameters.sets.iter().map(|set| set.to_vec());
            let sets: Vec<Vec<u8>> = sets.collect();
            let sdp =
                "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n";
            let mut stage = RtspStage::new(camera).describe(sdp);
            stage.encoder.packet_bytes = usize::from(u16::MAX) - 100;
            stage.begin().await?;
            for frame in film.iter().cycle() {
                let mut units = units(&frame.payload.to_vec());
                if frame.keyframe {
                    units.splice(0..0, sets.clone());
                }
                let (packets, _) = stage.encoder.packed(&units);
                let shot = Shot::new(&stored(&units)).keyframe(frame.keyframe);
                stage.deliver((packets, shot)).await?;
                stage.camera.wait(100).await;
            }
            Ok(())
        }
    });
    Camera::start(Listen::plainly(1), script)
}

/// A camera that nobody answers for.
fn unreachable(name: &str) -> String {
    format!(
        "[cameras.{name}]\nurl = \"http://127.0.0.1:{}/\"\n",
        free_port()
    )
}

#[test]
fn the_overview_shows_a_picture_of_each_camera_and_those_that_fail_first() {
    let (place, _) = recorded("yard", Codec::H264, 0);
    let camera = working();
    let cameras = camera.section("gate", "/") + &unreachable("yard");
    let recorder = Recorder::run(place, "", &cameras, Some(camera));
    recorder.rows(5);
    let Some(page) = recorder.show(
        "",
        r#"
        const cards = () => [...document.querySelectorAll('.card')];
        await until('both cards have pictures', () => cards().length === 2 && cards().every((card) => colours(card.querySelector('canvas'))));
        await until('yard has failed', () => cards()[0].dataset.state === 'missing');
        await until('gate is recorded', () => cards()[1].dataset.state === 'recording' && cards()[1].textContent.includes('fps'));
        say(JSON.stringify(cards().map((card) => card.innerText.trim())));
        const before = Number(cards()[1].querySelector('canvas').dataset.us);
        await until('the picture is a newer one', () => Number(cards()[1].querySelector('canvas').dataset.us) > before);
        cards()[1].querySelector('a').click();
        await until('a click on the card shows the camera', () => part('name')?.textContent === 'gate' && shownUs());
        say('"done"');
        "#,
    ) else {
        return;
    };
    let cards = page.heard_json();
    let (yard, gate) = (cards[0].as_str().unwrap(), cards[1].as_str().unwrap());
    assert!(
        yard.starts_with("yard") && yard.contains("not recorded for"),
        "{yard}"
    );
    assert!(yard.contains("unreachable: "), "{yard}");
    assert!(
        gate.starts_with("gate") && gate.contains("recording"),
        "{gate}"
    );
    assert_eq!(page.heard_json(), "done");
}

#[test]
fn a_moment_in_the_address_shows_the_frame_of_that_moment_and_keys_step_from_there() {
    let recorder = Recorder::of(working());
    let rows = recorder.rows(30);
    let script = format!("const wanted = {};", rows[12].captured_us)
        + r#"
        location.hash = `#/gate/${local(wanted)}`;
        await until('the frame is shown', () => shownUs() === wanted);
        const answer = await fetch(`/api/cameras/gate/frame?at_us=${wanted}`);
        const canvas = document.createElement('canvas');
        Object.assign(canvas, { width: 320, height: 180 });
        canvas.getContext('2d').drawImage(await createImageBitmap(await answer.blob()), 0, 0);
        if (colours(canvas) !== colours(part('canvas'))) throw new Error('another picture is shown');
        say(JSON.stringify({ time: part('time').textContent, local: local(wanted), clock: part('clock').textContent, hash: location.hash }));
        for (const key of ['.', '.', ',', 'ArrowLeft']) {
          const before = shownUs();
          press(key);
          await until(`${key} shows another frame`, () => shownUs() !== before);
          say(String(shownUs()));
        }
        "#;
    let Some(page) = recorder.show("", &script) else {
        return;
    };
    let told = page.heard_json();
    let local = told["local"].as_str().unwrap();
    let (day, time) = local.split_once('T').unwrap();
    // The browser is in Kolkata.
    let time = time.strip_suffix("+05:30").unwrap();
    let shown = told["time"].as_str().unwrap();
    assert!(shown.ends_with(&format!("{day} {time}")), "{told}");
    assert_eq!(told["clock"], "by the camera's clock");
    assert_eq!(told["hash"], format!("#/gate/{local}"));
    // Ten seconds before there is nothing yet: the nearest is the first.
    for row in [13, 14, 13, 0] {
        assert_eq!(page.heard(), rows[row].captured_us.to_string());
    }
}

#[test]
fn playing_advances_by_the_times_of_frames_and_not_faster_than_time() {
    let recorder = Recorder::of(working());
    let rows = recorder.rows(40);
    let script = format!("const first = {};", rows[0].captured_us)
        + r#"
        location.hash = `#/gate/${local(first)}`;
        await until('the first frame is shown', () => shownUs() === first);
        const seen = [];
        new MutationObserver(() => seen.push([performance.now(), shownUs()])).observe(part('time'), { attributes: true, attributeFilter: ['data-us'] });
        press(' ');
        await until('two seconds are played', () => shownUs() > first + 2e6);
        part('play').click();
        await until('it is paused', () => part('play').textContent === 'Play');
        const at = shownUs();
        await until('the address is that of the frame', () => location.hash === `#/gate/${local(at)}`);
        say(JSON.stringify(seen));
        "#;
    let Some(page) = recorder.show("", &script) else {
        return;
    };
    let seen = page.heard_json();
    let seen: Vec<(f64, i64)> = seen
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one[0].as_f64().unwrap(), one[1].as_i64().unwrap()))
        .collect();
    assert!(
        seen.iter()
            .all(|(_, us)| rows.iter().any(|row| row.captured_us == *us))
    );
    assert!(seen.is_sorted_by_key(|(_, us)| *us), "{seen:?}");
    let (begin, end) = (seen[0], seen[seen.len() - 1]);
    let played_ms = (end.1 - begin.1) as f64 / 1000.0;
    // A busy browser may show the first frame late, by a frame or some.
    assert!(played_ms < end.0 - begin.0 + 500.0, "{seen:?}");
}

#[test]
fn live_follows_what_is_recorded() {
    let recorder = Recorder::of(working());
    recorder.rows(5);
    let Some(page) = recorder.show(
        "#/gate",
        r#"
        await until('a frame is shown', shownUs);
        const first = shownUs();
        await until('live goes on', () => shownUs() > first + 4e6);
        say(JSON.stringify({ us: shownUs(), now: Date.now() * 1000, live: part('live').getAttribute('aria-pressed'), hash: location.hash }));
        press(' ');
        await until('it is paused', () => location.hash === `#/gate/${local(shownUs())}`);
        press('l');
        const paused = shownUs();
        await until('it is live again', () => location.hash === '#/gate' && shownUs() > paused);
        say('"done"');
        "#,
    ) else {
        return;
    };
    let told = page.heard_json();
    assert_eq!(told["live"], "true");
    assert_eq!(told["hash"], "#/gate");
    assert!(told["us"].as_i64() <= told["now"].as_i64(), "{told}");
    assert_eq!(page.heard_json(), "done");
}

#[test]
fn a_gap_is_shown_with_its_reason_and_jumped_over() {
    let recorder = Recorder::of(hanging_up(20));
    let rows = recorder.rows(35);
    let index = recorder.place.index().expect("an index");
    let gaps = index.gaps_of("gate");
    let gap = gaps
        .iter()
        .max_by_key(|gap| gap.ended_us.map_or(0, |end| end - gap.started_us))
        .expect("it hung up");
    let middle_us = (gap.started_us + gap.ended_us.expect("it is back")) / 2;
    let script = format!(
        "const [middle, first] = [{middle_us}, {}];",
        rows[0].captured_us
    ) + r#"
        location.hash = `#/gate/${local(middle)}`;
        await until('the gap is told', () => part('gap')?.hidden === false);
        say(JSON.stringify({ told: part('gap').textContent, shown: shownUs() }));
        const button = await until('the timeline has the gap', () => [...part('track').querySelectorAll('.gap')].at(-1));
        button.focus();
        say(JSON.stringify(part('told').textContent));
        location.hash = `#/gate/${local(first)}`;
        await until('the first frame is shown', () => shownUs() === first);
        if (!part('gap').hidden) throw new Error('a gap is told where there is none');
        press(' ');
        await until('the jump is told', () => part('note').textContent.startsWith('Jumped over'));
        say(JSON.stringify(part('note').textContent));
        await until('it plays on', () => shownUs() > middle + 1e6);
        say('"done"');
        "#;
    let Some(page) = recorder.show("", &script) else {
        return;
    };
    let reason = gap.reason.replace('_', " ");
    let told = page.heard_json();
    let words = told["told"].as_str().unwrap();
    assert!(
        words.starts_with("No footage ") && words.contains(&reason),
        "{words} is not {gap:?}"
    );
    assert!(words.contains(&gap.detail), "{words} is not {gap:?}");
    let shown = told["shown"].as_i64().unwrap();
    let nearest = rows
        .iter()
        .map(|row| row.captured_us)
        .min_by_key(|us| (us - middle_us).abs());
    assert_eq!(Some(shown), nearest);
    // Several gaps may be too close to each other to be told apart.
    let focused = page.heard();
    assert!(focused.contains(&reason), "{focused}");
    let note = page.heard();
    assert!(
        gaps.iter()
            .any(|gap| note.contains(&gap.reason.replace('_', " "))),
        "{note}"
    );
    assert_eq!(page.heard_json(), "done");
}

#[test]
fn films_of_h264_are_shown_stepped_through_and_played() {
    assert_films_play(0);
}

#[test]
fn films_whose_pictures_are_decoded_out_of_order_are_too() {
    assert_films_play(2);
}

fn assert_films_play(b_frames: u32) {
    let (place, times) = recorded("gate", Codec::H264, b_frames);
    let recorder = Recorder::run(place, "", &unreachable("gate"), None);
    let script = format!("const [times, inOrder] = [{times:?}, {}];", b_frames == 0)
        + r#"
        const near = (us, wanted) => Math.abs(us - wanted) < 1000;
        location.hash = `#/gate/${local(times[38])}`;
        await until('the frame is shown', () => shownUs() === times[38] && colours(part('canvas')));
        const before = colours(part('canvas'));
        press('.');
        await until('the next frame is shown', () => shownUs() === times[39]);
        if (colours(part('canvas')) === before) throw new Error('the next frame looks the same');
        location.hash = `#/gate/${local(times[10])}`;
        await until('a frame before is shown', () => shownUs() === times[10]);
        const seen = new Set();
        new MutationObserver(() => seen.add(shownUs())).observe(part('time'), { attributes: true, attributeFilter: ['data-us'] });
        press(' ');
        await until('it plays over the end of a file', () => shownUs() > times[60]);
        // Not yet where pictures are out of order.
        if (inOrder) await until('it plays over ten minutes of nothing, at once', () => shownUs() > times[110]);
        for (const us of seen) if (!times.some((time) => near(us, time))) throw new Error(`no frame was taken at ${us}`);
        if (Math.min(...seen) < times[10] - 1000) throw new Error('it began before the frame that was shown');
        press(' ');
        await until('it is paused at a frame, whose time is exact', () => times.includes(shownUs()) && part('play').textContent === 'Play');
        say('"done"');
        "#;
    let Some(page) = recorder.show("", &script) else {
        return;
    };
    assert_eq!(page.heard_json(), "done");
}

#[test]
fn live_follows_films_of_h264() {
    let camera = filming();
    let section = format!("[cameras.gate]\nurl = \"rtsp://{}/live\"\n", camera.address);
    let recorder = Recorder::run(Place::new(""), "", &section, Some(camera));
    recorder.rows(30);
    let Some(page) = recorder.show(
        "#/gate",
        r#"
        await until('a frame is shown', shownUs);
        const [first, seen, looks] = [shownUs(), new Set(), new Set()];
        new MutationObserver(() => seen.add(shownUs())).observe(part('time'), { attributes: true, attributeFilter: ['data-us'] });
        await until('live goes on', () => {
          looks.add(colours(part('canvas')));
          return shownUs() > first + 6e6;
        });
        if (looks.size < 10) throw new Error(`${looks.size} pictures are told from each other`);
        say(JSON.stringify([...seen]));
        "#,
    ) else {
        return;
    };
    let seen = page.heard_json();
    let seen: Vec<i64> = seen
        .as_array()
        .unwrap()
        .iter()
        .filter_map(serde_json::Value::as_i64)
        .collect();
    let rows = recorder.rows(1);
    let of_a_row = |us: i64| rows.iter().any(|row| (row.captured_us - us).abs() < 1000);
    let strangers: Vec<_> = seen.iter().filter(|us| !of_a_row(**us)).collect();
    assert!(strangers.is_empty(), "{strangers:?} are of no frame");
    assert!(seen.is_sorted(), "{seen:?}");
}

#[test]
fn films_that_the_browser_has_no_decoder_for_are_told_and_can_be_saved() {
    let (place, times) = recorded("gate", Codec::H265, 0);
    let recorder = Recorder::run(place, "", &unreachable("gate"), None);
    let script = format!("const times = {times:?};")
        + r#"
        location.hash = `#/gate/${local(times[30])}`;
        await until('that moment is shown', () => shownUs() === times[30]);
        const canShow = MediaSource.isTypeSupported('video/mp4; codecs="hvc1.1.6.L60.90"');
        const problem = document.getElementById('problem');
        if (!canShow) await until('it is told', () => problem.textContent.includes("can't show H.265"));
        part('mark-from').click();
        press('.');
        await until('the next frame is the position', () => shownUs() === times[31]);
        part('mark-to').click();
        const saved = await fetch(part('save-span').href);
        say(JSON.stringify({ type: saved.headers.get('Content-Type'), name: part('save-span').download, bytes: (await saved.blob()).size }));
        press(' ');
        await until('it plays, or is told', () => (canShow ? shownUs() > times[40] : !problem.hidden && part('play').textContent === 'Play'));
        say('"done"');
        "#;
    let Some(page) = recorder.show("", &script) else {
        return;
    };
    let told = page.heard_json();
    assert_eq!(told["type"], "video/mp4");
    let name = told["name"].as_str().unwrap();
    assert!(
        name.starts_with("gate_") && name.ends_with(".mp4"),
        "{name}"
    );
    assert!(told["bytes"].as_u64() > Some(1000), "{told}");
    assert_eq!(page.heard_json(), "done");
}

#[test]
fn the_timeline_is_zoomed_and_clicked_and_a_span_is_saved() {
    let recorder = Recorder::of(working());
    let rows = recorder.rows(40);
    let script = format!("const wanted = {};", rows[20].captured_us)
        + r#"
        location.hash = `#/gate/${local(wanted)}`;
        await until('the frame is shown', () => shownUs() === wanted);
        const track = part('track');
        const wheel = (deltaY, clientX) => track.dispatchEvent(new WheelEvent('wheel', { deltaY, clientX, bubbles: true, cancelable: true }));
        const box = track.getBoundingClientRect();
        const cursor = track.querySelector('.cursor');
        const at = () => cursor.getBoundingClientRect().left + 1.5;
        for (let step = 0; step < 40; step += 1) {
          wheel(-100, at());
          await new Promise(requestAnimationFrame);
          await new Promise(requestAnimationFrame);
        }
        const span = () => cursor.ariaValueMax - cursor.ariaValueMin;
        await until('it shows a minute', () => Math.abs(span() - 60e6) < 1000);
        await until('there is footage', () => track.querySelector('.footage'));
        // A second before.
        const clientX = at() - box.width / 60;
        for (const type of ['pointerdown', 'pointerup']) track.dispatchEvent(new PointerEvent(type, { clientX, button: 0, pointerId: 1, bubbles: true }));
        await until('another frame is shown', () => shownUs() !== wanted);
        const clicked = shownUs();
        part('mark-from').click();
        location.hash = `#/gate/${local(wanted)}`;
        await until('the frame is shown again', () => shownUs() === wanted);
        part('mark-to').click();
        const link = part('save-span');
        const saved = await (await fetch(link.href)).text();
        say(JSON.stringify({ clicked, name: link.download, times: [...saved.matchAll(/X-Timestamp: ([0-9.]+)/g)].map((found) => found[1]) }));
        "#;
    let Some(page) = recorder.show("", &script) else {
        return;
    };
    let told = page.heard_json();
    let clicked = told["clicked"].as_i64().unwrap();
    // A pixel is some 50 ms of that minute, and frames are 100 ms apart.
    let off_us = (rows[20].captured_us - S - clicked).abs();
    assert!(off_us < 300_000, "{off_us} us off");
    let name = told["name"].as_str().unwrap();
    assert!(
        name.starts_with("gate_") && name.ends_with(".mjpeg"),
        "{name}"
    );
    let from = rows.iter().position(|row| row.captured_us == clicked);
    let wanted: Vec<String> = rows[from.expect("a frame")..=20]
        .iter()
        .map(|row| seconds(row.captured_us))
        .collect();
    assert_eq!(told["times"], serde_json::json!(wanted));
}

#[test]
fn a_token_is_asked_for_and_used() {
    let camera = working();
    let section = camera.section("gate", "/");
    let http = format!("token = {TOKEN:?}");
    let recorder = Recorder::run(Place::new(""), &http, &section, Some(camera));
    recorder.rows(5);
    let script = format!("const token = {TOKEN:?};")
        + r#"
        const dialog = document.getElementById('token');
        const type = async (text) => {
          await until('a token is asked for', () => dialog.open);
          const field = dialog.querySelector('input');
          field.value = text;
          field.dispatchEvent(new Event('input'));
          dialog.querySelector('button').click();
        };
        const enter = async (text) => {
          await type(text);
          await until('the question is gone', () => !dialog.open || dialog.querySelector('input').value === '');
        };
        await enter('not-the-one-that-holds');
        await type('pasted with “quotes”');
        dialog.close();
        await enter(token);
        await until('the overview has a picture', () => [...document.querySelectorAll('.card canvas')].some(colours));
        location.hash = '#/gate';
        await until('live begins', shownUs);
        const first = shownUs();
        await until('live goes on', () => shownUs() > first + 1e6);
        say(JSON.stringify({ kept: sessionStorage.length, elsewhere: localStorage.length, address: location.href, cookie: document.cookie }));
        "#;
    let Some(page) = recorder.show("", &script) else {
        return;
    };
    let told = page.heard_json();
    assert_eq!((&told["kept"], &told["elsewhere"]), (&1.into(), &0.into()));
    assert_eq!(told["cookie"], "");
    assert!(!told["address"].as_str().unwrap().contains(TOKEN), "{told}");
}

#[test]
fn a_camera_that_is_left_while_it_is_live_is_left() {
    let recorder = Recorder::of(working());
    recorder.rows(5);
    let script = r#"
        const card = () => document.querySelector('.card a');
        for (const time of ['first', 'second']) {
          await until(`there is a card, the ${time} time`, card);
          card().click();
          await until(`live begins, the ${time} time`, () => part('live')?.ariaPressed === 'true' && shownUs());
          document.querySelector('header a').click();
          await until(`the overview is there, the ${time} time`, card);
          say(JSON.stringify(location.hash));
        }
        location.hash = '#/gate/neither-day-nor-time';
        await until('what is no moment is now', () => part('live')?.ariaPressed === 'true');
        say('"live"');
        "#;
    let Some(page) = recorder.show("", script) else {
        return;
    };
    for told in ["#/", "#/", "live"] {
        assert_eq!(page.heard_json(), told);
    }
}

#[test]
fn skips_that_follow_each_other_add_up_and_playing_goes_on() {
    let recorder = Recorder::of(working());
    let rows = recorder.rows(5);
    let from_us = rows[0].captured_us;
    let script = format!("const from = {from_us};")
        + r#"
        location.hash = `#/gate/${local(from)}`;
        await until('the first frame', () => shownUs() === from);
        part('play').click();
        await until('it plays', () => shownUs() > from);
        for (const _ of [1, 2, 3]) press('ArrowLeft');
        say(JSON.stringify(part('play').textContent));
        await until('it is at the first frame again', () => shownUs() === from);
        await until('it plays on', () => shownUs() > from && part('play').textContent === 'Pause');
        say('"on"');
        "#;
    let Some(page) = recorder.show("", &script) else {
        return;
    };
    page.heard_json();
    assert_eq!(page.heard_json(), "on");
}

#[test]
fn a_camera_that_is_unknown_and_a_recorder_that_is_gone_are_told_in_one_line() {
    let recorder = Recorder::of(working());
    recorder.rows(5);
    let Some(page) = recorder.show(
        "#/nobody",
        r#"
        const problem = document.getElementById('problem');
        await until('it is told', () => !problem.hidden);
        say(JSON.stringify(problem.textContent));
        location.hash = '#/gate';
        await until('the camera is shown', () => shownUs() && problem.hidden);
        say('"shown"');
        await until('the recorder is gone', () => !problem.hidden);
        say(JSON.stringify(problem.textContent));
        await until('the recorder is back', () => problem.hidden);
        const before = shownUs();
        await until('live goes on by itself', () => shownUs() > before);
        say('"back"');
        "#,
    ) else {
        return;
    };
    let told = page.heard();
    assert!(told.contains("no camera “nobody”"), "{told}");
    assert_eq!(page.heard_json(), "shown");
    let Recorder {
        place,
        _daemon: daemon,
        _camera: camera,
        ..
    } = recorder;
    drop(daemon);
    let told = page.heard();
    assert!(told.contains("does not answer"), "{told}");
    let _daemon = place.run();
    assert_eq!(page.heard_json(), "back");
    drop((page, camera));
}
