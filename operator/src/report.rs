//! Report: the status, if it tells people something new, and what is told of it in events.

use crate::controller::Context;
use crate::error::{Error, within};
use crate::resource::{Held, Resource};
use kube::Api;
use kube::api::{Patch, PatchParams};
use redis_operator_core::api::{Redis, RedisStatus};
use redis_operator_core::names;
use redis_operator_core::observed::Observed;
use redis_operator_core::plan::Plan;
use redis_operator_core::status::{Trouble, status, tells_the_same};
use serde_json::{Value, json};

/// Writes the status if it tells something new.
///
/// # Errors
/// The write failed. Nothing depends on it; the next pass tries again.
pub async fn report(
    context: &Context,
    resource: &Resource,
    held: &mut Held,
    redis: &Redis,
    seen: &Observed,
    plan: &Plan,
    troubles: &[Trouble],
) -> Result<(), Error> {
    let status = status(redis, seen, plan, troubles, held.telling.last());
    let conditions = status.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str()));
    context.metrics.conditions(&resource.full_name, conditions);
    held.telling.status(&context.events, redis, &status);
    if redis
        .status
        .as_ref()
        .is_some_and(|before| tells_the_same(before, &status))
    {
        return Ok(());
    }
    let patch = Patch::Merge(json!({"metadata": {"uid": resource.uid}, "status": explicit(&status)?}));
    let redises: Api<Redis> = Api::namespaced(context.clients.calls.clone(), &resource.namespace);
    let params = PatchParams {
        field_manager: Some(names::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let call = redises.patch_status(&resource.name, &params, &patch);
    let what = format!("write the status of Redis {}", resource.name);
    match within(context.args.api_limit, what, call).await {
        // deleted meanwhile: there is nobody to tell
        Err(error) if error.is_absent() => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// A merge patch keeps what it does not name, so what is no more is named as null. The record is never named.
fn explicit(status: &RedisStatus) -> Result<Value, Error> {
    let mut value = serde_json::to_value(status).map_err(|error| Error::Unexpected(error.to_string()))?;
    if let Value::Object(fields) = &mut value {
        fields.remove("record");
        for name in ["master", "lastFailover", "lastSwitchover", "switchover", "restart"] {
            fields.entry(name).or_insert(Value::Null);
        }
        fields.entry("instances").or_insert_with(|| json!([]));
    }
    Ok(value)
}
