//! Frames sent against frames stored, to the frame.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::cameras::{Connection, End, Fleet, number};
use super::footage;

/// What became of all frames of a fleet.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Frames that a camera had given to its kernel whole.
    pub sent: u64,
    /// Frames in the index that are what was sent, byte for byte, with the stamp that was sent.
    pub stored: u64,
    /// Frames in the index that were cut off and are marked so.
    pub torn: u64,
    /// All frames in the index, by camera.
    pub rows: BTreeMap<String, u64>,
    /// What must not be, one line each.
    pub faults: Vec<String>,
    /// Frames that are missing although later ones of the same connection are stored.
    pub holes: u64,
    /// Frames that are missing at the end of a connection, by connection.
    pub tails: Vec<Tail>,
}

/// The end of a connection, of which nothing is stored.
#[derive(Clone, Debug)]
pub struct Tail {
    /// Camera number.
    pub camera: u32,
    /// Its connections, from 0 on.
    pub connection: usize,
    /// How it ended.
    pub end: End,
    /// When its frames had been sent.
    pub sent_us: Vec<i64>,
    /// When the last frame before them had been sent, if there is one on the connection.
    pub stored_us: Option<i64>,
}

/// Compares the journals of the cameras with the index and the footage.
pub fn settle(fleet: &Fleet, storage: &Path) -> Ledger {
    let mut ledger = Ledger::default();
    let mut stored: HashMap<u32, Vec<(u64, i64)>> = HashMap::new();
    let outcome = footage::for_each(storage, |found| {
        let (camera, row) = (found.camera, found.row);
        *ledger.rows.entry(camera.to_owned()).or_default() += 1;
        let told = match found.payload {
            Ok(bytes) => fleet.pictures.tell(bytes),
            Err(error) => {
                return ledger.fault(format!("{camera}: {row:?} points at nothing: {error}"));
            }
        };
        match told {
            Some(told) if Some(told.camera) == number(camera) => stored
                .entry(told.camera)
                .or_default()
                .push((told.sequence, row.captured_us)),
            None if !row.complete => ledger.torn += 1,
            other => ledger.fault(format!(
                "{camera}: {row:?} points at another picture: {other:?}"
            )),
        }
    });
    if let Err(error) = outcome {
        ledger.fault(format!("the index can't be read: {error}"));
    }
    for camera in &fleet.cameras {
        let stored = stored.remove(&camera.number).unwrap_or_default();
        ledger.settle_camera(camera.number, &camera.journal(), &stored);
    }
    ledger
}

impl Ledger {
    fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    fn settle_camera(&mut self, camera: u32, journal: &[Connection], stored: &[(u64, i64)]) {
        self.stored += stored.len() as u64;
        for pair in stored.windows(2).filter(|pair| pair[0].0 >= pair[1].0) {
            let fault = if pair[0].0 == pair[1].0 {
                "stored twice"
            } else {
                "out of order"
            };
            self.fault(format!("camera {camera}: frame {} {fault}", pair[1].0));
        }
        let mut stored: HashMap<u64, i64> = stored.iter().copied().collect();
        for (at, connection) in journal.iter().enumerate() {
            self.sent += connection.sent.len() as u64;
            let mut missing = Vec::new();
            let mut stored_us = None;
            for (sequence, &(stamp_us, sent_us)) in (connection.first..).zip(&connection.sent) {
                let Some(captured_us) = stored.remove(&sequence) else {
                    missing.push(sent_us);
                    continue;
                };
                self.holes += missing.len() as u64;
                missing.clear();
                stored_us = Some(sent_us);
                if captured_us != stamp_us {
                    self.fault(format!(
                        "camera {camera}: frame {sequence} of {stamp_us} has the time {captured_us}"
                    ));
                }
            }
            // The kernel has had all of it, and the camera was ended before it could write that down.
            stored.remove(&(connection.first + connection.sent.len() as u64));
            if !missing.is_empty() {
                self.tails.push(Tail {
                    camera,
                    connection: at,
                    end: connection.end,
                    sent_us: missing,
                    stored_us,
                });
            }
        }
        for sequence in stored.into_keys() {
            self.fault(format!("camera {camera}: frame {sequence} was never sent"));
        }
    }

    /// Frames at the ends of connections that ended like this.
    pub fn tail_frames(&self, end: End) -> u64 {
        let tails = self.tails.iter().filter(|tail| tail.end == end);
        tails.map(|tail| tail.sent_us.len() as u64).sum()
    }
}
