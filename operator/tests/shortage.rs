//! An operator without a socket to spare. Alone in its file, for the limit is that of the process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod support;

use redis_operator::shortage;
use redis_operator::watch::{Clock, Seen, Settings, Target, Watch};
use redis_operator_core::observed::Reach;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::Arc;
use std::time::Duration;
use support::{LIMIT, PORT, Server, operator, wait_for};

fn allow(files: Option<u64>) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let new = Rlimit {
        current: files,
        maximum,
    };
    setrlimit(Resource::Nofile, new).unwrap();
    current
}

async fn until(watch: &Watch, what: &str, so: impl Fn(&Reach) -> bool) -> Seen {
    wait_for(what, async || {
        watch.observe(None).await.remove("u0").filter(|seen| so(&seen.reach))
    })
    .await
}

fn answers(reach: &Reach) -> bool {
    matches!(reach, Reach::Answers(_))
}

#[tokio::test]
async fn one_that_cannot_be_asked_for_want_of_sockets_is_not_called_silent() {
    let server = Server::fenced();
    let settings = Settings {
        probe_every: Duration::from_millis(20),
        call_limit: LIMIT,
        port: PORT,
    };
    let watch = Watch::new(operator(), settings, Clock::new(), Arc::new(|| {}));
    watch.set_targets(&[Target {
        pod: "redis-example-0".to_owned(),
        uid: "u0".to_owned(),
        address: server.ip,
    }]);
    until(&watch, "an answer", answers).await;
    let mut admin = server.client();
    let allowed = allow(Some(0));
    admin.call(&["CLIENT", "KILL", "USER", "redis-operator", "SKIPME", "yes"]);
    let since = |reach: &Reach| match reach {
        Reach::Silent { since, .. } => Some(*since),
        _ => None,
    };
    let first = until(&watch, "the connection to break", |reach| since(reach).is_some()).await;
    let first = since(&first.reach).unwrap();
    // a silence would last since the last answer; this one always begins now
    let later = |reach: &Reach| since(reach).is_some_and(|now| now.since(first) > Duration::from_secs(1));
    until(&watch, "the silence to begin anew", later).await;
    assert!(shortage::count() > 1);
    allow(allowed);
    until(&watch, "an answer", answers).await;

    allow(Some(100));
    shortage::raise_limit().unwrap();
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    assert_eq!(current, maximum);
}
