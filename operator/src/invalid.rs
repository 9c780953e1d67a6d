//! A resource that cannot be read: somebody wrote it past the schema. The others are served all the same.

use crate::controller::Context;
use crate::error::within;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::runtime::controller::Action;
use redis_operator_core::api::Redis;
use serde_json::json;

/// Says on the resource itself what is wrong. Nothing is done to its objects and servers; a change of the resource is
/// enough to go on.
pub async fn report(context: &Context, invalid: &InvalidObject) -> Action {
    let (namespace, name) = (invalid.metadata.namespace.as_deref(), invalid.metadata.name.as_deref());
    let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
    tracing::warn!(
        redis = format!("{namespace}/{name}"),
        error = invalid.error,
        "unreadable resource"
    );
    let kind = ApiResource::erase::<Redis>(&());
    let redises: Api<DynamicObject> = Api::namespaced_with(context.clients.calls.clone(), namespace, &kind);
    let message = format!("the resource cannot be read: {}; correct that field", invalid.error);
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second())
        .unwrap_or_default()
        .to_string();
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "Unreadable", "message": message, "lastTransitionTime": now,
            "observedGeneration": invalid.metadata.generation})
    };
    let conditions = json!([condition("Ready", "False"), condition("Stalled", "True")]);
    let patch = Patch::Merge(json!({"status": {"summary": "Unreadable", "conditions": conditions}}));
    let params = PatchParams::default();
    let call = redises.patch_status(name, &params, &patch);
    if let Err(error) = within(
        context.args.api_limit,
        format!("write the status of Redis {name}"),
        call,
    )
    .await
    {
        tracing::warn!(%error, "could not say so on the resource");
    }
    Action::await_change()
}
