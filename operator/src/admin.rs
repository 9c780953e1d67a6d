//! What this process says of itself over HTTP: `/metrics`, `/healthz`, `/readyz`.

use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// How this process is; written by the main loop, read by the kubelet.
pub struct Health {
    started: Instant,
    /// Milliseconds from the start to the last beat.
    beat: AtomicU64,
    ready: AtomicBool,
    /// What is wrong with the caches.
    stale: Mutex<Option<String>>,
}

/// Time between two beats of the main loop.
const BEAT: Duration = Duration::from_secs(1);
/// A loop that has not come round for this long is stuck: a pass of it takes milliseconds.
const STUCK: Duration = Duration::from_secs(15);

impl Health {
    /// Alive, not ready.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            beat: AtomicU64::new(0),
            ready: AtomicBool::new(false),
            stale: Mutex::default(),
        })
    }

    /// The caches are filled: this process could lead at once.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// The caches are stale, as this sentence says, or they are not.
    pub fn set_stale(&self, complaint: Option<String>) {
        *self.stale() = complaint;
    }

    fn stale(&self) -> MutexGuard<'_, Option<String>> {
        // a panic elsewhere cannot leave half a sentence behind
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the main loop, showing that it comes round. Both are polled by one task, so a loop that never yields is
    /// noticed.
    pub async fn watch<T>(&self, main: impl Future<Output = T>) -> T {
        let mut main = std::pin::pin!(main);
        loop {
            self.beat.store(millis(self.started.elapsed()), Ordering::Relaxed);
            tokio::select! {
                ended = &mut main => return ended,
                () = tokio::time::sleep(BEAT) => {}
            }
        }
    }

    fn stuck_for(&self) -> Option<Duration> {
        let beat = Duration::from_millis(self.beat.load(Ordering::Relaxed));
        let silent = self.started.elapsed().saturating_sub(beat);
        (silent > STUCK).then_some(silent)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Clone)]
struct Shown {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, health: Arc<Health>, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(show_health))
        .route("/readyz", get(show_ready))
        .with_state(Shown { health, metrics });
    axum::serve(listener, router).await
}

async fn show_metrics(State(shown): State<Shown>) -> Response {
    let text_format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    match shown.metrics.text() {
        Ok(text) => (text_format, text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn show_health(State(shown): State<Shown>) -> (StatusCode, String) {
    match shown.health.stuck_for() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(silent) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the main loop has been stuck for {silent:?}\n"),
        ),
    }
}

async fn show_ready(State(shown): State<Shown>) -> (StatusCode, String) {
    let filled = shown.health.ready.load(Ordering::Relaxed);
    let complaint = match filled {
        true => shown.health.stale().clone(),
        false => Some("the caches are not filled yet".to_owned()),
    };
    match complaint {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(complaint) => (StatusCode::SERVICE_UNAVAILABLE, format!("{complaint}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn says_how_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Health::new();
        tokio::spawn(serve(listener, Arc::clone(&health), Metrics::new().unwrap()));
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        health.set_ready();
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        health.set_stale(Some("cannot watch".to_owned()));
        let answer = get(address, "/readyz").await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("cannot watch"),
            "{answer}"
        );
        health.set_stale(None);
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/metrics").await.contains("redis_operator_leading 0"));
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn a_stuck_loop_is_noticed() {
        let mut health = Health {
            started: Instant::now(),
            beat: AtomicU64::new(0),
            ready: AtomicBool::new(true),
            stale: Mutex::default(),
        };
        assert_eq!(health.stuck_for(), None);
        health.started = Instant::now().checked_sub(STUCK + BEAT).unwrap();
        assert!(health.stuck_for().is_some());
    }
}
