//! `GET /api/status`: what `framelog status` shows. Not for its shape: that is `report`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use framelog_store::wall;

use super::answer::{json, text};
use super::index::{Index, unreadable};
use crate::report::{Report, StorageState};
use crate::status::Status;

/// What is kept is told only if the index says it within this.
const KEPT_TIMEOUT: Duration = Duration::from_secs(1);

/// The report; 503 while the storage directory is opened for the first time.
pub async fn get(State((status, index)): State<(Arc<Status>, Index)>) -> Response {
    let Some(mut report) = Report::live(&status) else {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "starting: the storage directory is being opened\n",
        );
    };
    if report.storage.state != StorageState::Gone {
        // A disk that hangs is what one asks about: the rest is told without it.
        let kept = index.read(async |reader| reader.kept().await.map_err(unreadable));
        let kept = tokio::time::timeout(KEPT_TIMEOUT, kept).await;
        if let (Ok(Ok(kept)), Some((_, rules))) = (kept, status.limits()) {
            report.add_kept(&kept, &rules, wall::now_us());
        }
    }
    json(StatusCode::OK, &report)
}
