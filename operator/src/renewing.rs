//! A client that gives up all of its connections as soon as one of them does not answer.
//!
//! When an API server's host dies without a word, every idle connection to it looks alive, and each would cost the call
//! that picks it a whole deadline. With a fresh client the next call opens a new connection, to a host that lives if there
//! is one.

use futures::future::BoxFuture;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tower::Service;

/// Makes clients that are alike. None: no further one can be made, and the one before is used on.
type Make = Arc<dyn Fn() -> Option<Client> + Send + Sync>;

/// Sends each call through the client of the moment.
#[derive(Clone)]
pub(crate) struct Renewing {
    make: Make,
    current: Arc<Mutex<Current>>,
    patience: Duration,
}

#[derive(Clone)]
struct Current {
    client: Client,
    /// A call was given up that had been waiting for too long.
    suspect: Arc<AtomicBool>,
}

/// A call under way. Whoever makes it has the deadline, and drops it.
struct Waiting {
    since: Instant,
    patience: Duration,
    suspect: Option<Arc<AtomicBool>>,
}

impl Renewing {
    /// Begins with a client. One that leaves a call without an answer for `patience` or longer is used no more.
    pub(crate) fn new(client: Client, patience: Duration, make: Make) -> Self {
        Self {
            make,
            current: Arc::new(Mutex::new(Current::new(client))),
            patience,
        }
    }

    fn current(&self) -> Current {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.suspect.load(Ordering::Relaxed)
            && let Some(client) = (self.make)()
        {
            *current = Current::new(client);
        }
        current.clone()
    }
}

impl Current {
    fn new(client: Client) -> Self {
        Self {
            client,
            suspect: Arc::default(),
        }
    }
}

impl Service<Request<Body>> for Renewing {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Current { client, suspect } = self.current();
        let patience = self.patience;
        Box::pin(async move {
            let mut waiting = Waiting {
                since: Instant::now(),
                patience,
                suspect: Some(suspect),
            };
            let answer = client.send(request).await;
            waiting.suspect = None;
            answer
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(suspect) = self.suspect.take_if(|_| self.since.elapsed() >= self.patience) {
            suspect.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::Config;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::Barrier;
    use tokio::time::timeout;

    const DEADLINE: Duration = Duration::from_secs(5);

    async fn ask(client: &Client) -> bool {
        let request = Request::get("/version").body(Vec::new()).unwrap();
        let call = timeout(DEADLINE, client.request_text(request)).await;
        call.is_ok_and(|answer| answer.unwrap() == "{}")
    }

    /// The first `dead` connections answer once, all together, and then never again; all others always answer.
    async fn server(dead: usize) -> Config {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let together = Arc::new(Barrier::new(dead));
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let together = Arc::clone(&together);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                        if number < dead {
                            together.wait().await;
                        }
                        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        if number < dead {
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        let mut config = Config::new(format!("http://{address}").parse().unwrap());
        config.default_retry = false;
        config
    }

    /// How many calls get no answer after a host with four idle connections has died.
    async fn unanswered(client: &Client) -> usize {
        let warm = futures::future::join_all((0..4).map(|_| ask(client))).await;
        assert_eq!(warm, [true; 4]);
        let mut unanswered = 0;
        while !ask(client).await {
            unanswered += 1;
        }
        unanswered
    }

    #[tokio::test]
    async fn a_host_that_died_costs_one_deadline() {
        let config = server(4).await;
        let make = Arc::new(move || Client::try_from(config.clone()).ok());
        let first = make().unwrap();
        let renewing = Renewing::new(first, DEADLINE / 2, make);
        let unanswered = unanswered(&Client::new(renewing, "a")).await;
        assert_eq!(unanswered, 1, "and not one for each idle connection");
    }
}
