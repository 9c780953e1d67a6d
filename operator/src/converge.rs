//! Drift: what exists against what should, and the reasons for which it cannot be.

use crate::controller::Context;
use crate::error::within;
use crate::objects;
use crate::resource::{Held, Resource};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::runtime::reflector::ObjectRef;
use redis_operator_core::api::Redis;
use redis_operator_core::credentials::application_password;
use redis_operator_core::names;
use redis_operator_core::record::Found;
use redis_operator_core::resources::{self, Inputs};
use redis_operator_core::status::Trouble;
use std::time::{Duration, Instant};

/// How old the applications' password may be; while there is none, how soon it is looked for again.
const PASSWORD_AGE: Duration = Duration::from_secs(60);
const PASSWORD_RETRY: Duration = Duration::from_secs(2);

/// Applies what differs. Returns what a person has to put right; everything else goes on meanwhile.
pub async fn converge(
    context: &Context,
    resource: &Resource,
    held: &mut Held,
    redis: &Redis,
    record: &Found,
) -> Vec<Trouble> {
    if matches!(record, Found::Newer(_)) || redis.metadata.deletion_timestamp.is_some() {
        return vec![];
    }
    let password = match password(context, held, redis, &resource.namespace).await {
        Ok(password) => password,
        Err(message) => {
            return vec![Trouble {
                reason: "PasswordUnusable".to_owned(),
                message,
            }];
        }
    };
    let inputs = Inputs {
        passwords: &resource.passwords,
        application_password: password.as_deref(),
        holder: &context.session.holder,
        replicas: replicas(context, resource, redis, record),
    };
    let built = match resources::build(redis, &inputs) {
        Ok(built) => built,
        Err(refusal) => {
            return vec![Trouble {
                reason: refusal.reason.to_owned(),
                message: refusal.message,
            }];
        }
    };
    objects::converge(context, built).await
}

/// Pods to run: what the user wants, and those above it that the record still names. Lowered by finished leaves alone.
fn replicas(context: &Context, resource: &Resource, redis: &Redis, record: &Found) -> i32 {
    let wanted = redis.spec.replicas;
    let named = match record {
        Found::Record(record) => {
            let ordinals = record
                .processes()
                .filter_map(|process| names::ordinal(&process.pod, &resource.name));
            ordinals.max().map_or(0, |highest| highest.saturating_add(1))
        }
        Found::Absent | Found::Newer(_) | Found::Nonsense(_) => {
            let set = ObjectRef::<StatefulSet>::new(&names::object(&resource.name)).within(&resource.namespace);
            let set = context.mirrors.stateful_sets.get(&set);
            set.and_then(|set| set.spec.as_ref()?.replicas).unwrap_or_default()
        }
    };
    wanted.max(named)
}

async fn password(
    context: &Context,
    held: &mut Held,
    redis: &Redis,
    namespace: &str,
) -> Result<Option<String>, String> {
    let Some(password) = &redis.spec.password else {
        return Ok(None);
    };
    if let Some((known, read)) = &held.application_password {
        let age = if known.is_ok() { PASSWORD_AGE } else { PASSWORD_RETRY };
        if read.elapsed() < age {
            return known.clone();
        }
    }
    let reference = &password.secret_key_ref;
    let secrets: Api<Secret> = Api::namespaced(context.clients.calls.clone(), namespace);
    let call = secrets.get_opt(&reference.name);
    let secret = within(context.args.api_limit, format!("read Secret {}", reference.name), call).await;
    let secret = secret.map_err(|error| error.to_string())?;
    let data = secret.map(|secret| secret.data.unwrap_or_default());
    let read = application_password(reference, data.as_ref())
        .map(Some)
        .map_err(|problem| problem.to_string());
    held.application_password = Some((read.clone(), Instant::now()));
    read
}
