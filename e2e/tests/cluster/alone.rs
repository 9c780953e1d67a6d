//! Tests that bring operators of their own.

use crate::SETTLE;
use anyhow::Result;
use e2e::operator;
use e2e::space::Space;
use std::time::Duration;
use tokio::sync::Mutex;

/// A fail point is reached within this, the return of a pod included.
pub(crate) const REACHED: Duration = Duration::from_secs(30);
/// A lease of three seconds, taken over.
pub(crate) const LEADS: Duration = Duration::from_secs(10);

/// Tests in the middle of which the cluster's own operators have to be away.
static WITHOUT: Mutex<usize> = Mutex::const_new(0);

/// The cluster's own operators would do the work in the place of the test's. They come back whatever happens, with the
/// last of the tests that run beside each other.
pub(crate) async fn without_the_deployed(space: &Space, test: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    let cluster = &space.cluster;
    let mut tests = WITHOUT.lock().await;
    *tests += 1;
    let gone = operator::scale(cluster, 0).await;
    drop(tests);
    let outcome = match gone {
        Ok(()) => test().await,
        failed => failed,
    };
    let mut tests = WITHOUT.lock().await;
    *tests -= 1;
    if *tests == 0 {
        operator::scale(cluster, 2).await?;
        operator::ready(cluster, SETTLE).await?;
    }
    outcome
}
