//! Servers of a newer version, and the way back.

use crate::roll::ensure_replaced;
use crate::{BESIDE_GAP, SAY, SETTLE, WARM_UP};
use anyhow::{Context, Result, ensure};
use e2e::harness::{Needs, image, newer_image, run, spec};
use e2e::log;
use e2e::pod::restarts;
use e2e::rolled::uids;
use e2e::space::until;
use e2e::subject::{Subject, record};
use e2e::trial::{self, Expect};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use redis_operator_core::names;
use redis_operator_core::record::{Member, Stage};
use serde_json::json;

/// The image of a pod's server.
fn server_image(pod: &Pod) -> Option<&String> {
    let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.find(|it| it.name == names::CONTAINER_REDIS)?.image.as_ref()
}

/// A replica that is lost comes back as another pod, with this image, and everybody is in sync. The resource is not Ready
/// meanwhile, for its spec is refused.
async fn comes_back(redis: &Subject, lost: &Pod, image: &String) -> Result<()> {
    redis.space.remove(lost, None).await?;
    until("the lost replica to be back in sync", SETTLE, async || {
        let pods = redis.pods().await?;
        let back = pods
            .iter()
            .find(|pod| pod.name_any() == lost.name_any() && pod.uid() != lost.uid());
        let Some(back) = back else { return Ok(false) };
        ensure!(server_image(back) == Some(image), "{:?}", server_image(back));
        let record = record(&redis.get().await?)?;
        let member = record.members.get(&back.name_any());
        let full = |member: &Member| Some(&member.process.uid) == back.uid().as_ref() && member.stage == Stage::Full;
        Ok(member.is_some_and(full) && record.at(Stage::Full).count() == 2)
    })
    .await
}

/// An upgrade to servers that read more loses nothing. The way back, on which nobody could follow, is refused before a pod is
/// touched, and a pod that is lost meanwhile comes back with the image that works.
#[test]
fn r02u_redis_is_upgraded_to_valkey() -> Result<()> {
    run("r02u", Needs::Network, async |space| {
        let (old, new) = (image(), newer_image());
        let redis = space.apply("a", spec(3)).await?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |_| {
            let at = log::now();
            redis.change(json!({ "image": new })).await?;
            Ok(at)
        })
        .await?;
        ensure_replaced(&verdict)?;
        verdict.ensure_smooth(BESIDE_GAP)?;
        ensure!(verdict.lost(false) == 0, "{} plain writes lost", verdict.lost(false));
        let settled = &verdict.after;
        for pod in settled.pods() {
            let said = redis.ask(pod, &["INFO", "server"])?;
            ensure!(
                format!("{said:?}").contains("valkey_version"),
                "{}: {said:?}",
                pod.name_any()
            );
        }
        redis.change(json!({ "image": old })).await?;
        let said = redis
            .says(&[&old, &new, "cannot follow", "RDB version", "spec.image"], SAY)
            .await?;
        println!("r02u: {said}");
        let lost = settled.replicas.first().context("a replica")?;
        comes_back(&redis, lost, &new).await?;
        redis.change(json!({ "image": new })).await?;
        let after = redis.settled(SETTLE).await?;
        let (mut before, mut now) = (uids(settled), uids(&after));
        ensure!(
            before.remove(&lost.name_any()) != now.remove(&lost.name_any()),
            "{lost:?}"
        );
        ensure!(before == now, "pods were replaced: {before:?} {now:?}");
        let restarted = after.pods().find(|pod| restarts(pod, names::CONTAINER_REDIS) > 0);
        ensure!(
            restarted.is_none(),
            "{:?} restarted",
            restarted.map(ResourceExt::name_any)
        );
        ensure!(after.record.master == settled.record.master, "another master");
        Ok(())
    })
}
