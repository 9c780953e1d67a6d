//! The operator's process: starts what lives as long as it does, then leads whenever it may.

use crate::admin::{self, Health};
use crate::args::Args;
use crate::client::Clients;
use crate::controller::{self, Context, Resources};
use crate::events::Events;
use crate::lease::End;
use crate::metrics::Metrics;
use crate::mirror::{Mirrors, Scope};
use crate::outage::Outages;
use crate::trigger::Triggers;
use crate::watch::Clock;
use crate::{fail_point, key, lease, log, shortage};
use anyhow::{Context as _, anyhow};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

/// Runs until SIGTERM or SIGINT, as the command line and the environment say.
///
/// # Errors
/// Something without which it cannot work is missing, or has ended: the message says what.
pub async fn run() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Err(message) = args.validate() {
        Args::command().error(ErrorKind::ValueValidation, message).exit();
    }
    log::start(args.log_format, &args.log);
    if let Some(point) = args.fail_point.clone() {
        fail_point::arm(point);
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pod = args.identity.pod_name,
        node = args.identity.node,
        "starting"
    );
    if let Err(error) = shortage::raise_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is; each instance needs three");
    }
    let stop = stop_signal()?;
    let metrics = Metrics::new()?;
    let health = Health::new();
    let listener = TcpListener::bind(args.admin_address).await.with_context(|| {
        format!(
            "cannot listen on {}; choose another --admin-address",
            args.admin_address
        )
    })?;
    let clients = Clients::infer(&args, &metrics).await?;
    let triggers = Triggers::default();
    let scope = Scope {
        client: clients.watches.clone(),
        namespace: args.watch_namespace.clone(),
        limit: args.watch_limit,
    };
    let (mirrors, mut watches) = Mirrors::start(&scope, &triggers);
    let freshness = mirrors.freshness.clone();
    let looks = freshness.watch(|ages, complaint| {
        metrics.stale(ages);
        health.set_stale(complaint);
    });
    let serve = admin::serve(listener, Arc::clone(&health), Arc::clone(&metrics));
    let work = work(
        Arc::new(args),
        clients,
        mirrors,
        triggers,
        Arc::clone(&metrics),
        &health,
        stop,
    );
    tokio::select! {
        ended = health.watch(work) => ended,
        () = looks => Err(anyhow!("nobody looks after the copies any more")),
        ended = tokio::spawn(serve) => Err(anyhow!("the admin server ended: {ended:?}")),
        ended = watches.join_next() => Err(anyhow!("a watch ended: {ended:?}")),
    }
}

async fn work(
    args: Arc<Args>,
    clients: Clients,
    mirrors: Mirrors,
    triggers: Triggers,
    metrics: Arc<Metrics>,
    health: &Health,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut stop = std::pin::pin!(stop);
    let namespace = args
        .identity
        .namespace
        .clone()
        .unwrap_or_else(|| clients.default_namespace.clone());
    let prepared = async {
        let key = key::obtain(&clients.calls, &namespace, args.api_limit).await;
        mirrors.ready().await;
        key
    };
    let key = tokio::select! {
        key = prepared => key,
        () = &mut stop => return Ok(()),
    };
    health.set_ready();
    let events = Events::start(clients.calls.clone(), &args.identity.pod_name, args.api_limit);
    let clock = Clock::new();
    let run = |session| {
        let context = Arc::new(Context {
            clients: clients.clone(),
            mirrors: mirrors.clone(),
            triggers: triggers.clone(),
            metrics: Arc::clone(&metrics),
            events: events.clone(),
            session,
            key: key.clone(),
            args: Arc::clone(&args),
            clock,
            outages: Outages::default(),
            resources: Resources::default(),
            writers: Semaphore::new(usize::from(args.concurrency)),
        });
        let freshness = mirrors.freshness.clone();
        async move {
            tokio::select! {
                () = controller::run(context) => End::Broken,
                end = freshness.given_up() => end,
            }
        }
    };
    let lease = clients.lease.clone();
    lease::lead(
        lease,
        &namespace,
        &args.identity.pod_name,
        &args.lease,
        &metrics,
        stop,
        run,
    )
    .await?;
    Ok(())
}

/// Resolves at SIGTERM (the kubelet's) or SIGINT (a person's).
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
