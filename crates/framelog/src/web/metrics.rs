//! `GET /metrics`: the state of recorder, storage and cameras as OpenMetrics text (version 1.0.0), for Prometheus and what reads like it. Not
//! for history, nor for why: those are the index's and `/api/status`'s.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use framelog_store::Keeping;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::{Registry, Unit};

use super::answer::{of_kind, text};
use crate::report::Report;
use crate::status::{Snapshot, Status};

mod cameras;
mod families;
mod process;

use families::Families;

const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All of it, as of this moment.
pub async fn get(State(status): State<Arc<Status>>) -> Response {
    match write(&status) {
        Ok(metrics) => of_kind(StatusCode::OK, KIND, metrics),
        Err(fmt::Error) => text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"),
    }
}

fn write(status: &Status) -> Result<String, fmt::Error> {
    let mut ours = Registry::with_prefix("framelog");
    ours.register_collector(Box::new(Scrape::of(status)));
    let mut everyones = Registry::default();
    everyones.register_collector(Box::new(process::Process::now(status.began_us())));
    let mut metrics = String::new();
    encode_registry(&mut metrics, &ours)?;
    encode_registry(&mut metrics, &everyones)?;
    encode_eof(&mut metrics)?;
    Ok(metrics)
}

/// What framelog has to tell at one moment.
#[derive(Debug)]
struct Scrape {
    cameras: Vec<Snapshot>,
    keeping: Option<Keeping>,
    takes_frames: bool,
    /// Limits that can't be kept: the rule, and whose, if it is one camera's.
    unkept: Vec<(String, String)>,
    rows_waiting: u64,
    clock_steps: u64,
}

impl Scrape {
    fn of(status: &Status) -> Self {
        let storage = Report::live(status).map(|report| report.storage);
        let takes_frames = (storage.as_ref()).is_some_and(|storage| !storage.state.takes_nothing());
        let unkept = storage.into_iter().flat_map(|storage| storage.unkept);
        let mut cameras = status.snapshots(Instant::now());
        cameras.retain(|camera| camera.is_configured);
        Self {
            cameras,
            keeping: status.limits().map(|(keeping, _)| keeping),
            takes_frames,
            unkept: unkept
                .map(|unkept| (unkept.rule, unkept.camera.unwrap_or_default()))
                .collect(),
            rows_waiting: status.rows_waiting(),
            clock_steps: status.clock_steps(),
        }
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        let version = [([("version", env!("CARGO_PKG_VERSION"))], 1)];
        families.gauges("build_info", "Version of the program", None, version)?;
        cameras::encode(&self.cameras, &mut families)?;
        self.encode_storage(&mut families)?;
        families.counter(
            "clock_steps",
            "How often this machine's clock was set by more than 2 s, or the machine slept",
            self.clock_steps,
        )
    }
}

impl Scrape {
    fn encode_storage(&self, families: &mut Families<'_>) -> fmt::Result {
        families.gauge(
            "storage_up",
            "Whether the storage directory is there and takes the frames of all cameras",
            None,
            i64::from(self.takes_frames),
        )?;
        families.gauge(
            "index_rows_waiting",
            "Frames that are in files and not yet in the index",
            None,
            self.rows_waiting as f64,
        )?;
        let unkept = self.unkept.iter();
        families.gauges(
            "limit_unkept",
            "A limit on footage that is configured and can't be kept",
            None,
            unkept.map(|(rule, camera)| ([("rule", &**rule), ("camera", camera)], 1)),
        )?;
        let Some(keeping) = &self.keeping else {
            return Ok(());
        };
        for (name, help, bytes) in [
            ("footage", "Footage of all cameras", keeping.footage_bytes),
            (
                "protected",
                "Footage that is protected",
                keeping.protected_bytes,
            ),
            ("disk_free", "Free on the footage's disk", keeping.disk_free),
            (
                "disk_size",
                "Size of the footage's disk",
                keeping.disk_total,
            ),
        ] {
            families.gauge(name, help, Some(Unit::Bytes), bytes as f64)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
