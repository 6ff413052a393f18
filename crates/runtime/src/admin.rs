//! The admin endpoint: `/metrics` for Prometheus, `/health` and `/ready` for whoever supervises the process.
//!
//! It shows counters and states, never config or events. `/ledger` is what `downspout gaps` asks for while the pipeline
//! holds the store.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use downspout_core::metrics::Metrics;
use downspout_core::stage::Shutdown;
use downspout_core::{StageError, Store};
use downspout_microsoft::ledger;
use tokio::net::TcpListener;

/// Starts to listen.
///
/// # Errors
/// If the address is taken or not ours.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, StageError> {
    TcpListener::bind(address).await.map_err(|error| {
        StageError::stop(
            "admin",
            format!("cannot listen on {address} (admin.listen): {error}; choose another port, or stop what uses it"),
        )
    })
}

/// Answers requests for ever. The pipeline is ready until `shutdown` asks it to stop, however long that takes then.
pub(crate) async fn serve(listener: TcpListener, metrics: Metrics, shutdown: Shutdown, store: Arc<Store>) {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let router = Router::new()
        .route("/metrics", get(move || std::future::ready((text, metrics.render()))))
        .route("/ledger", get(move || std::future::ready(ledgers(&store))))
        .route("/health", get(|| std::future::ready("ok\n")))
        .route("/ready", get(move || std::future::ready(readiness(&shutdown))));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!("the admin endpoint has stopped: {error}");
    }
}

/// Every ledger, as JSON.
fn ledgers(store: &Store) -> impl IntoResponse + use<> {
    let read = ledger::read_all(store).map_err(|error| error.to_string());
    match read.and_then(|ledgers| serde_json::to_string(&ledgers).map_err(|error| error.to_string())) {
        Ok(json) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], json),
        Err(problem) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], problem),
    }
}

fn readiness(shutdown: &Shutdown) -> impl IntoResponse + use<> {
    if shutdown.requested() { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") } else { (StatusCode::OK, "ready\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_that_stops_is_not_ready() {
        let (stop, shutdown) = Shutdown::new();
        let status = || readiness(&shutdown).into_response().status();
        assert_eq!(status(), StatusCode::OK);
        stop.send_replace(true);
        assert_eq!(status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
