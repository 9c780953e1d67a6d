//! The rights of an operator that serves one namespace alone: those of `manifests/20-rbac.yaml`, narrowed as the README says.

use crate::operator::{CLUSTER_ROLE, NAME, NAMESPACE};
use crate::space::{Space, call};
use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::config::{AuthInfo, Kubeconfig};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::fs;
use std::path::Path;

/// Where kubelets renew their leases.
const NODE_LEASES: &str = "kube-node-lease";

/// Makes the account with these rights in the namespace, and a kubeconfig that has no others. Everything goes with the
/// namespace.
pub(crate) async fn narrow(space: &Space, kubeconfig: &Path) -> Result<()> {
    create(&space.api::<ServiceAccount>(), json!({ "metadata": { "name": NAME } })).await?;
    lend(space).await?;
    let mut config = Kubeconfig::read_from(space.cluster.local()?.kubeconfig())?;
    let token = token(space).await?;
    for named in &mut config.auth_infos {
        named.auth_info = Some(AuthInfo {
            token: Some(token.clone().into()),
            ..AuthInfo::default()
        });
    }
    fs::write(kubeconfig, serde_json::to_string(&config)?).with_context(|| kubeconfig.display().to_string())
}

async fn lend(space: &Space) -> Result<()> {
    let client = &space.cluster.client;
    let installed = call(Api::<Role>::namespaced(client.clone(), NAMESPACE).get(NAME)).await?;
    let own = Role {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            ..ObjectMeta::default()
        },
        ..installed
    };
    call(space.api::<Role>().create(&PostParams::default(), &own)).await?;
    let bindings = space.api::<RoleBinding>();
    create(&bindings, binding(space, NAME, &[], "Role", NAME)).await?;
    create(
        &bindings,
        binding(space, CLUSTER_ROLE, &[], "ClusterRole", CLUSTER_ROLE),
    )
    .await?;

    let namespace = call(Api::<Namespace>::all(client.clone()).get(&space.name)).await?;
    let owner = [namespace.controller_owner_ref(&()).context("no uid")?];
    let role = format!("{CLUSTER_ROLE}-nodes");
    let nodes = binding(space, &space.name, &owner, "ClusterRole", &role);
    create(&Api::<ClusterRoleBinding>::all(client.clone()), nodes).await?;
    let leases = binding(space, &space.name, &owner, "Role", NAME);
    create(&Api::<RoleBinding>::namespaced(client.clone(), NODE_LEASES), leases).await
}

fn binding(space: &Space, name: &str, owners: &[OwnerReference], kind: &str, role: &str) -> Value {
    json!({
        "metadata": { "name": name, "ownerReferences": owners },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
        "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": space.name }],
    })
}

async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: Resource + Clone + Serialize + DeserializeOwned + Debug,
{
    call(api.create(&PostParams::default(), &serde_json::from_value(object)?)).await?;
    Ok(())
}

async fn token(space: &Space) -> Result<String> {
    let accounts = space.api::<ServiceAccount>();
    let asked = call(accounts.create_token_request(NAME, &PostParams::default(), &TokenRequest::default())).await?;
    Ok(asked.status.context("no token")?.token)
}
