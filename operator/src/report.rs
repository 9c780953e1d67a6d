//! Report: the status, if it tells people something new; events, one per change.

use crate::controller::Context;
use crate::error::{Error, within};
use crate::events::Kind;
use crate::resource::{Held, Resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{Patch, PatchParams};
use redis_operator_core::api::{Answer, Redis, RedisStatus};
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
    let status = status(redis, seen, plan, troubles, held.last_failover.clone());
    let conditions = status.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str()));
    context
        .metrics
        .conditions(&format!("{}/{}", resource.namespace, resource.name), conditions);
    tell(context, held, redis, &status);
    tell_answers(context, redis, &status);
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
        for name in ["master", "lastFailover", "switchover", "restart"] {
            fields.entry(name).or_insert(Value::Null);
        }
        fields.entry("instances").or_insert_with(|| json!([]));
    }
    Ok(value)
}

/// The conditions of which people are told: `Ready`, and what else holds and says something else.
fn news(conditions: &[Condition]) -> Vec<&Condition> {
    let ready = conditions.iter().find(|it| it.type_ == "Ready");
    let apart = |it: &&Condition| it.status == "True" && ready.is_none_or(|ready| ready.message != it.message);
    let others = conditions
        .iter()
        .filter(|it| ["Stalled", "Paused"].contains(&it.type_.as_str()));
    ready.into_iter().chain(others.filter(apart)).collect()
}

/// One event for each of them that begins, or begins to have another reason.
fn tell(context: &Context, held: &mut Held, redis: &Redis, status: &RedisStatus) {
    let words = |news: Vec<&Condition>| -> Vec<(String, String)> {
        let word = |it: &Condition| (it.type_.clone(), it.reason.clone());
        news.into_iter().map(word).collect()
    };
    let before = redis.status.as_ref().map(|before| words(news(&before.conditions)));
    let before = held.told.take().or(before).unwrap_or_default();
    let conditions = &status.conditions;
    let stalled = conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True");
    for condition in news(conditions) {
        let Condition {
            type_, reason, message, ..
        } = condition;
        if before.contains(&(type_.clone(), reason.clone())) {
            continue;
        }
        let (reason, kind) = match type_.as_str() {
            "Paused" => (type_, Kind::Normal),
            _ if stalled => (reason, Kind::Warning),
            _ => (reason, Kind::Normal),
        };
        context.events.tell(redis, kind, reason, "Observe", message.clone());
        tracing::info!(redis = resource_name(redis), reason, message, "state");
    }
    held.told = Some(words(news(conditions)));
}

/// One event when a request is answered.
fn tell_answers(context: &Context, redis: &Redis, status: &RedisStatus) {
    let before = redis.status.as_ref();
    let switchover = before.and_then(|status| status.switchover.as_ref());
    tell_answer(context, redis, "Switchover", switchover, status.switchover.as_ref());
    let restart = before.and_then(|status| status.restart.as_ref());
    tell_answer(context, redis, "Restart", restart, status.restart.as_ref());
}

fn tell_answer(context: &Context, redis: &Redis, what: &str, before: Option<&Answer>, now: Option<&Answer>) {
    let Some(answer) = now.filter(|now| before.is_none_or(|it| (&it.outcome, &it.at) != (&now.outcome, &now.at)))
    else {
        return;
    };
    let (Some(outcome), Some(reason)) = (&answer.outcome, &answer.reason) else {
        return;
    };
    let kind = match outcome.as_str() {
        "Begun" => return,
        "Done" | "Rolling" => Kind::Normal,
        _ => Kind::Warning,
    };
    let asked = answer.request.as_deref().unwrap_or_default();
    let note = format!("{what} {asked}: {reason}");
    context
        .events
        .tell(redis, kind, &format!("{what}{outcome}"), what, note);
}

fn resource_name(redis: &Redis) -> String {
    format!(
        "{}/{}",
        redis.metadata.namespace.as_deref().unwrap_or_default(),
        redis.metadata.name.as_deref().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ready_says_already_is_not_told_twice() {
        let condition = |type_: &str, status: &str, message: &str| -> Condition {
            serde_json::from_value(json!({
                "type": type_, "status": status, "reason": type_, "message": message,
                "lastTransitionTime": "2026-01-31T12:00:00Z",
            }))
            .unwrap()
        };
        let told = |ready: &str, stalled: &str, status: &str| {
            let conditions = [
                condition("Stalled", status, stalled),
                condition("Available", "True", "a"),
                condition("Ready", "False", ready),
            ];
            news(&conditions)
                .into_iter()
                .map(|it| it.type_.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(told("x", "y", "True"), ["Ready", "Stalled"]);
        assert_eq!(told("x", "x", "True"), ["Ready"]);
        assert_eq!(told("x", "y", "False"), ["Ready"]);
    }
}
