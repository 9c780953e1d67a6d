//! What Kubernetes thinks of a pod is no evidence of a master's end.

use crate::silence::ensure_same_term;
use crate::{GAP, SAY};
use anyhow::{Result, ensure};
use e2e::harness::{Needs, run_lent};
use e2e::log;
use e2e::space::{Space, call, until};
use e2e::trial::{self, Expect};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use redis_operator_core::names;
use serde_json::json;

/// How often it is said not to be ready, and to be ready again.
const FLAPS: usize = 4;

/// Told as the kubelet tells of a readiness probe that fails, to everybody who asks the API server.
#[test]
fn d14_a_master_whose_readiness_flaps_stays_and_is_reached() -> Result<()> {
    run_lent("d14", Needs::Network, async |redis| {
        let verdict = trial::run(redis, Expect::SameMaster, async |before| {
            let at = log::now();
            for _ in 0..FLAPS {
                for ready in [false, true] {
                    tell(&redis.space, &before.master, ready).await?;
                }
            }
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        ensure!(verdict.published().is_none(), "published anew: {}", verdict.timeline());
        ensure_same_term(&verdict)?;
        verdict.ensure_smooth(GAP)
    })
}

/// Says whether a pod is ready until those who depend on it have heard so. The kubelet puts it right now and then.
async fn tell(space: &Space, pod: &Pod, ready: bool) -> Result<()> {
    let status = if ready { "True" } else { "False" };
    let condition = |kind: &str| json!({ "type": kind, "status": status });
    let patch = json!({ "status": { "conditions": [condition("Ready"), condition("ContainersReady")] } });
    let of_all = format!("{}={}", names::LABEL_SERVICE_NAME, names::object("a"));
    until(&format!("others to hear that ready is {ready}"), SAY, async || {
        let pods = space.api::<Pod>();
        call(pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(&patch))).await?;
        let slices = space.list::<EndpointSlice>(&of_all).await?;
        let heard = slices.iter().flat_map(|slice| &slice.endpoints).any(|it| {
            let its = it.target_ref.as_ref().and_then(|target| target.uid.clone()) == pod.uid();
            its && it.conditions.as_ref().and_then(|it| it.ready) == Some(ready)
        });
        Ok(heard)
    })
    .await
}
