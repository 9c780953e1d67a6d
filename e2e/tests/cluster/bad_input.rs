//! What users get wrong: refused with a sentence, or one condition that names field and remedy. Others are served
//! meanwhile, and putting it right is enough.

use crate::{SAY, SETTLE, START};
use anyhow::{Context, Result, ensure};
use e2e::harness::{Needs, image, run, spec, spec_with};
use e2e::space::{Space, call, until};
use e2e::subject::{Subject, record};
use k8s_openapi::api::core::v1::{PersistentVolume, ResourceQuota};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn b01_the_examples_are_accepted() -> Result<()> {
    run("b01x", Needs::Cluster, async |space| {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let asked = Command::new("kubectl")
            .args([
                "apply",
                "--dry-run=server",
                "--namespace",
                &space.name,
                "--request-timeout=10s",
                "-f",
            ])
            .arg(examples)
            .output()
            .context("kubectl is in the PATH of e2e/cluster/in-node")?;
        ensure!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        Ok(())
    })
}

#[test]
fn b01_refused_at_admission_with_a_sentence() -> Result<()> {
    run("b01", Needs::Cluster, async |space| {
        let long = "x".repeat(60);
        let cases: [(&str, Value, &str); 12] = [
            ("a", spec(0), "replicas must be from 1 to 20"),
            ("a", spec(-1), "replicas must be from 1 to 20"),
            ("a", spec(1000), "replicas must be from 1 to 20"),
            ("a", spec_with(3, json!({ "replicas": "three" })), "spec.replicas"),
            (&long, spec(3), "metadata.name is too long: at most 45 characters"),
            ("a-master", spec(3), "must not end in -master, -replica or -headless"),
            ("a-replica", spec(3), "choose another name"),
            ("a.b", spec(3), "lower-case letters, digits and '-'"),
            (
                "a",
                spec_with(3, json!({ "policy": "Never" })),
                "\"Availability\", \"Durability\"",
            ),
            (
                "a",
                spec_with(3, json!({ "downAfter": "soon" })),
                "downAfter must be a duration from 500ms to 10m",
            ),
            (
                "a",
                spec_with(3, json!({ "downAfter": "10ms" })),
                "downAfter must be a duration from 500ms to 10m",
            ),
            (
                "a",
                json!({ "replicas": 3, "image": "" }),
                "image must name a container image",
            ),
        ];
        for (name, spec, sentence) in cases {
            let refused = space.apply(name, spec.clone()).await.err();
            let said = format!("{:#}", refused.with_context(|| format!("{name} {spec} was accepted"))?);
            ensure!(said.contains(sentence), "{name} {spec}: {said}");
        }
        Ok(())
    })
}

/// As `kubectl scale --replicas=0` does, through the scale subresource.
#[test]
fn b01_scaling_to_nothing_is_refused_with_a_sentence() -> Result<()> {
    run("b01s", Needs::Cluster, async |space| {
        let redis = space.apply("a", spec(1)).await?;
        for replicas in [0, 21] {
            let refused = redis.scale(replicas).await.err();
            let said = format!("{:#}", refused.with_context(|| format!("{replicas} was accepted"))?);
            ensure!(said.contains("replicas must be from 1 to 20"), "{replicas}: {said}");
        }
        let replicas = redis.get().await?.spec.replicas;
        ensure!(replicas == 1, "{replicas} replicas are wanted");
        Ok(())
    })
}

/// The mistake shows as a condition with these words, a neighbour starts meanwhile, and the remedy is enough.
pub(crate) async fn put_right(
    space: &Space,
    wrong: &Subject,
    words: &[&str],
    remedy: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    println!("{}: {}", wrong.name, wrong.says(words, SAY).await?);
    space.apply("neighbour", spec(1)).await?.settled(START).await?;
    remedy().await?;
    wrong.settled(SETTLE).await?;
    Ok(())
}

#[test]
fn b02_a_secret_that_is_missing_or_unusable() -> Result<()> {
    run("b02", Needs::Network, async |space| {
        let password = json!({ "password": { "secretKeyRef": { "name": "login", "key": "password" } } });
        let redis = space.apply("a", spec_with(3, password)).await?;
        println!("b02: {}", redis.says(&["login", "Secret"], SAY).await?);
        space.secret("login", &[("passwort", "geheim")]).await?;
        println!("b02: {}", redis.says(&["login", "password", "key"], SAY).await?);
        space.secret("login", &[("password", "geheim\n")]).await?;
        println!("b02: {}", redis.says(&["login", "newline"], SAY).await?);
        space.secret("login", &[("password", "")]).await?;
        println!("b02: {}", redis.says(&["login", "empty"], SAY).await?);
        put_right(space, &redis, &["login"], async || {
            space.secret("login", &[("password", "geheim")]).await
        })
        .await?;
        let settled = redis.settled(SETTLE).await?;
        let refused = redis
            .ask(&settled.master, &["SET", "x", "1"])
            .err()
            .context("no password asked for")?;
        ensure!(format!("{refused:#}").contains("NOAUTH"), "{refused:#}");
        // a Secret that goes away again takes nobody's access
        space.secret("login", &[("password", "x\ny")]).await?;
        println!("b02: {}", redis.says(&["login", "newline"], SAY).await?);
        ensure!(
            record(&redis.get().await?)?.term == settled.record.term,
            "it cost a failover"
        );
        Ok(())
    })
}

#[test]
fn b03_directives_that_the_operator_owns() -> Result<()> {
    run("b03", Needs::Cluster, async |space| {
        let redis = space
            .apply("a", spec_with(3, json!({ "config": { "maxmemory": "100mb" } })))
            .await?;
        let before = redis.settled(START).await?;
        for (key, value, sentence) in [
            ("replicaof", "10.0.0.1 6379", "belongs to the operator"),
            ("SlaveOf", "10.0.0.1 6379", "belongs to the operator"),
            ("masterauth", "x", "belongs to the operator"),
            ("PORT", "6380", "belongs to the operator"),
            ("save", "900 1\nreplicaof 10.0.0.1 6379", "newline"),
        ] {
            let refused = redis.change(json!({ "config": { key: value } })).await.err();
            let said = format!("{:#}", refused.with_context(|| format!("{key} was accepted"))?);
            ensure!(said.contains(sentence), "{key}: {said}");
        }
        let after = redis.settled(SETTLE).await?;
        ensure!(
            after.record == before.record,
            "{:?} became {:?}",
            before.record,
            after.record
        );
        Ok(())
    })
}

#[test]
fn b04_r19_an_image_that_does_not_exist_or_is_no_redis() -> Result<()> {
    run("b04", Needs::Cluster, async |space| {
        let missing = space
            .apply("missing", spec_with(2, json!({ "image": "localhost/no-such-image:1" })))
            .await?;
        let other = space
            .apply("other", spec_with(2, json!({ "image": "localhost/pause:1" })))
            .await?;
        put_right(
            space,
            &missing,
            &["localhost/no-such-image:1", "spec.image"],
            async || missing.change(json!({ "image": image() })).await.map(|_| ()),
        )
        .await?;
        put_right(space, &other, &["localhost/pause:1", "spec.image"], async || {
            other.change(json!({ "image": image() })).await.map(|_| ())
        })
        .await
    })
}

#[test]
fn b08_a_storage_class_that_does_not_exist() -> Result<()> {
    run("b08", Needs::Nodes, async |space| {
        let class = space.name.clone();
        let storage = json!({ "storage": { "size": "1Gi", "storageClassName": class, "whenDeleted": "Delete" } });
        let redis = space.apply("a", spec_with(1, storage)).await?;
        let folder = PathBuf::from(format!("/var/lib/{class}"));
        let righted = put_right(space, &redis, &[&class], async || provide(space, &class, &folder).await).await;
        let client = &space.cluster.client;
        let gone = DeleteParams::default();
        // deleted before the namespace: nothing else may bind to it
        let _ = call(Api::<StorageClass>::all(client.clone()).delete(&class, &gone)).await;
        let _ = call(Api::<PersistentVolume>::all(client.clone()).delete(&class, &gone)).await;
        let _ = fs::remove_dir_all(&folder);
        righted
    })
}

/// Creates the class and one volume of it.
async fn provide(space: &Space, class: &str, folder: &PathBuf) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?;
    let node = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": ["n0"] });
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": class },
        "spec": {
            "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "persistentVolumeReclaimPolicy": "Retain", "local": { "path": folder },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [node] }] } },
        },
    });
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": class },
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    });
    let client = &space.cluster.client;
    let post = PostParams::default();
    let volumes = Api::<PersistentVolume>::all(client.clone());
    let name = call(volumes.create(&post, &serde_json::from_value(volume)?))
        .await?
        .name_any();
    // The class wakes the scheduler. If it then does not know yet that the volume is available, nothing wakes it again:
    // it hears of that before its own cache does.
    until("the volume to be available", SAY, async || {
        let phase = call(volumes.get(&name)).await?.status.and_then(|status| status.phase);
        Ok(phase.is_some_and(|phase| phase != "Pending"))
    })
    .await?;
    call(Api::<StorageClass>::all(client.clone()).create(&post, &serde_json::from_value(class)?)).await?;
    Ok(())
}

/// Neither a pod nor a condition of the StatefulSet says why a pod is not there, at the first start and in a scale-up alike.
#[test]
fn b09_a_pod_that_may_not_be_created_is_named() -> Result<()> {
    run("b09", Needs::Nodes, async |space| {
        let quotas = space.api::<ResourceQuota>();
        let quota =
            |pods: i32| json!({ "metadata": { "name": "few" }, "spec": { "hard": { "pods": pods.to_string() } } });
        let none: ResourceQuota = serde_json::from_value(quota(0))?;
        call(quotas.create(&PostParams::default(), &none)).await?;
        let raise = async |pods| call(quotas.patch("few", &PatchParams::default(), &Patch::Merge(quota(pods)))).await;
        let redis = space.apply("a", spec(1)).await?;
        println!(
            "b09: {}",
            redis.says(&["redis-a-0 cannot be created", "quota"], SAY).await?
        );
        raise(1).await?;
        let before = redis.settled(SETTLE).await?;
        redis.scale(2).await?;
        println!(
            "b09: {}",
            redis.says(&["redis-a-1 cannot be created", "quota"], SAY).await?
        );
        redis.ask(&before.master, &["SET", "meanwhile", "served"])?;
        raise(2).await?;
        redis.settled(SETTLE).await?;
        Ok(())
    })
}
