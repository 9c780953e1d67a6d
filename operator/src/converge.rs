//! Drift: what exists against what should, and the reasons for which it cannot be.

use crate::controller::Context;
use crate::error::{Error, within};
use crate::objects::{self, Change, Live, Outcome, Writer};
use crate::resource::{Held, PasswordRead, Resource};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Endpoints, PodTemplateSpec, Secret};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use redis_operator_core::api::Redis;
use redis_operator_core::credentials::application_password;
use redis_operator_core::decide::View;
use redis_operator_core::names;
use redis_operator_core::observed::{Observed, Paused};
use redis_operator_core::record::Found;
use redis_operator_core::resources::{self, Inputs, Refusal, Resources};
use redis_operator_core::status::Trouble;
use serde_json::json;
use std::time::Instant;

/// Nothing is applied: a person asked for that, a newer operator is at work, or it is being deleted.
pub fn is_left_alone(seen: &Observed) -> bool {
    seen.desired.paused == Paused::All || matches!(seen.record, Found::Newer(_)) || seen.desired.deleting
}

/// Applies what differs. Returns what a person has to put right; everything else goes on meanwhile.
pub async fn converge(
    context: &Context,
    resource: &Resource,
    held: &mut Held,
    redis: &Redis,
    seen: &Observed,
) -> Vec<Trouble> {
    if is_left_alone(seen) {
        return vec![];
    }
    let live = Live::of(&context.mirrors, &resource.namespace, &resource.name);
    let (holder, reread) = (&context.session.holder, resource.cluster.reread());
    if !may_write(live.stateful_set.as_deref(), holder, reread).await {
        return vec![];
    }
    let password = password(context, held, redis, &resource.namespace).await;
    let known = password.is_ok();
    let mut troubles: Vec<_> = password.as_ref().err().map(|it| unusable(it)).into_iter().collect();
    let built = match desired(context, resource, held, redis, seen, &live, password.ok().flatten()) {
        Ok(built) => built,
        Err(trouble) => {
            touch(context, resource, live.stateful_set.as_deref()).await;
            troubles.push(trouble);
            return troubles;
        }
    };
    remove_strays(context, resource).await;
    if !known && live.secret.is_none() {
        touch(context, resource, live.stateful_set.as_deref()).await;
    }
    let set = live.stateful_set.clone();
    let writer = Writer {
        client: &context.clients.calls,
        limit: context.args.api_limit,
        altered: &held.failing.altered,
        now: seen.now,
    };
    let mut changes = objects::converge(&writer, live, built, known).await;
    held.failing.altered.note(&changes, seen.now);
    let all = changes.len();
    changes.retain(|change| !matches!(&change.outcome, Outcome::Failed(error) if error.is_terminating()));
    if changes.len() < all {
        tracing::debug!(redis = resource.name, "the namespace is being deleted");
        held.ending = Some(Instant::now());
    }
    if changes.iter().any(Change::is_refused_set) {
        touch(context, resource, set.as_deref()).await;
    }
    let refused = changes.into_iter();
    troubles.extend(refused.filter_map(|change| trouble(&resource.namespace, change)));
    troubles
}

fn unusable(message: &str) -> Trouble {
    Trouble {
        reason: "PasswordUnusable".to_owned(),
        message: message.to_owned(),
    }
}

/// Somebody gave the `-master` Service a selector, and Kubernetes made endpoints from it, which it leaves behind when the
/// selector is taken back: every pod would be behind the master's name. Whatever is not the operator's slice goes.
async fn remove_strays(context: &Context, resource: &Resource) {
    let service = names::master_service(&resource.name);
    let stray = |slice: &EndpointSlice| {
        let of = slice.labels().get(names::LABEL_SERVICE_NAME);
        slice.namespace().as_ref() == Some(&resource.namespace) && of == Some(&service) && slice.name_any() != service
    };
    let strays = context.mirrors.slices.state_filter(|slice| stray(slice));
    if strays.is_empty() {
        return;
    }
    let slices: Api<EndpointSlice> = Api::namespaced(context.clients.calls.clone(), &resource.namespace);
    let endpoints: Api<Endpoints> = Api::namespaced(context.clients.calls.clone(), &resource.namespace);
    let params = DeleteParams::default();
    tracing::warn!(redis = resource.name, service, "somebody else's endpoints are removed");
    let gone = within(
        context.args.api_limit,
        format!("delete Endpoints {service}"),
        endpoints.delete(&service, &params),
    );
    let mut outcomes = vec![gone.await.map(drop)];
    for name in strays.iter().map(|slice| slice.name_any()) {
        let gone = within(
            context.args.api_limit,
            format!("delete EndpointSlice {name}"),
            slices.delete(&name, &params),
        );
        outcomes.push(gone.await.map(drop));
    }
    for error in outcomes
        .into_iter()
        .filter_map(Result::err)
        .filter(|error| !error.is_absent())
    {
        tracing::warn!(%error, "somebody else's endpoints are still there");
    }
}

/// Every object as it should be, or why that cannot be said.
fn desired(
    context: &Context,
    resource: &Resource,
    held: &Held,
    redis: &Redis,
    seen: &Observed,
    live: &Live,
    password: Option<String>,
) -> Result<Resources, Trouble> {
    let inputs = Inputs {
        passwords: &resource.passwords,
        application_password: password.as_deref(),
        holder: &context.session.holder,
        restarted: restarted(seen),
        kept: kept(seen, live.stateful_set.as_deref()),
        replicas: replicas(
            seen,
            &resource.name,
            live.stateful_set.as_ref().and_then(|set| set.spec.as_ref()?.replicas),
        ),
    };
    let refused = |refusal: Refusal| Trouble {
        reason: refusal.reason.to_owned(),
        message: refusal.message,
    };
    let mut built = resources::build(redis, &inputs).map_err(refused)?;
    if let Some(image) = &held.masters_image {
        image.note(&mut built.stateful_set);
    }
    #[cfg(feature = "rules-out")]
    let built = crate::rules_out::unfenced(built);
    Ok(built)
}

/// Whatever makes a pod anew, an eviction or a lost node, makes it from the template: one for servers that cannot read what
/// the running ones write must not be there.
fn kept<'a>(seen: &Observed, set: Option<&'a StatefulSet>) -> Option<&'a PodTemplateSpec> {
    seen.desired.incompatible.as_ref()?;
    Some(&set?.spec.as_ref()?.template)
}

/// Nothing can be applied now, but members can join all the same: this holder's name alone goes into the StatefulSet, so
/// that a predecessor's late write of it conflicts.
async fn touch(context: &Context, resource: &Resource, set: Option<&StatefulSet>) {
    let Some(set) = set else { return };
    let holder = &context.session.holder;
    if set.annotations().get(names::ANNOTATION_HOLDER) == Some(holder) {
        return;
    }
    let mut annotations = serde_json::Map::new();
    annotations.insert(names::ANNOTATION_HOLDER.to_owned(), json!(holder));
    let meta = json!({"uid": set.uid(), "resourceVersion": set.resource_version(), "annotations": annotations});
    let sets: Api<StatefulSet> = Api::namespaced(context.clients.calls.clone(), &resource.namespace);
    let (params, patch) = (PatchParams::default(), Patch::Merge(json!({"metadata": meta})));
    let name = set.name_any();
    let call = sets.patch_metadata(&name, &params, &patch);
    if let Err(error) = within(context.args.api_limit, format!("touch StatefulSet {name}"), call).await {
        tracing::debug!(%error, "the StatefulSet is not touched yet");
    }
}

/// After which restart pods are to be made: the one that was accepted last. Without a record the StatefulSet remembers it.
pub fn restarted(seen: &Observed) -> Option<&str> {
    let remembered = seen.desired.restarted.as_deref();
    seen.record
        .record()
        .map_or(remembered, |record| record.restarted.as_deref())
}

/// A StatefulSet that this holder wrote last has not been touched by a successor, and a write based on it conflicts as soon
/// as it has. One that another holder wrote last may be a predecessor's or a successor's: who holds now, the record says,
/// read after the StatefulSet.
pub async fn may_write(
    set: Option<&StatefulSet>,
    holder: &str,
    reread: impl Future<Output = Result<Found, Error>>,
) -> bool {
    let wrote = |set: &StatefulSet| set.annotations().get(names::ANNOTATION_HOLDER).map(String::as_str) == Some(holder);
    match set {
        None => true,
        Some(set) if wrote(set) => true,
        Some(_) => match reread.await {
            Ok(Found::Record(record)) => record.holder == holder,
            // nobody has replicated anything yet
            Ok(Found::Absent | Found::Nonsense(_)) => true,
            Ok(Found::Newer(_)) | Err(_) => false,
        },
    }
}

/// What a person has to put right about one object; the rest is logged.
fn trouble(namespace: &str, change: Change) -> Option<Trouble> {
    let Change { kind, name, outcome } = change;
    let (reason, message) = match outcome {
        Outcome::Created => {
            tracing::info!("created {kind} {namespace}/{name}");
            return None;
        }
        Outcome::Applied => {
            tracing::info!("applied {kind} {namespace}/{name}");
            return None;
        }
        Outcome::Altered { at, .. } => ("ObjectAltered", altered(&kind, &name, &at)),
        Outcome::Again => {
            tracing::debug!("{kind} {namespace}/{name} was written meanwhile");
            return None;
        }
        Outcome::Foreign(owner) => {
            let owner = owner.map_or_else(|| "nobody".to_owned(), |owner| format!("{owner}, another one"));
            let message = format!(
                "{kind} {name} exists already and is owned by {owner}; it is left alone. Delete it, or give this Redis another name"
            );
            ("NameTaken", message)
        }
        Outcome::Failed(error) => (
            "ObjectRefused",
            format!("{error}. Change the spec, or what refuses it (rights, a quota, a webhook); it is tried again"),
        ),
    };
    Some(Trouble {
        reason: reason.to_owned(),
        message,
    })
}

/// The first place only, and no value: one object in question holds passwords.
fn altered(kind: &str, name: &str, at: &[String]) -> String {
    let first = at.first().map_or("", String::as_str);
    let more = match at.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{kind} {name} does not stay as it is written: {first}{more}. Somebody else, a mutating webhook or another controller, changes it; let that leave the object alone, or write into the spec of this Redis what it makes of it. Everything else goes on, and it is written again once a minute at least"
    )
}

/// Pods to run: what the user wants, one more while a roll of fewer than three goes on, and those above that the record
/// still names. Lowered by finished leaves alone.
///
/// `name` is the resource's; its StatefulSet has `now` at present.
pub fn replicas(seen: &Observed, name: &str, now: Option<i32>) -> i32 {
    let plain = i32::try_from(seen.desired.replicas).unwrap_or(i32::MAX);
    let Found::Record(record) = &seen.record else {
        return plain.max(now.unwrap_or_default());
    };
    let ordinals = record
        .processes()
        .filter_map(|process| names::ordinal(&process.pod, name));
    let named = ordinals.max().map_or(0, |highest| highest.saturating_add(1));
    let wanted = i32::try_from(View::new(seen, record).wanted()).unwrap_or(i32::MAX);
    wanted.max(named)
}

/// The applications' password. The Secret is read again only when its version changed.
async fn password(
    context: &Context,
    held: &mut Held,
    redis: &Redis,
    namespace: &str,
) -> Result<Option<String>, String> {
    let Some(password) = &redis.spec.password else {
        return Ok(None);
    };
    let reference = &password.secret_key_ref;
    let version = ObjectRef::new(&reference.name).within(namespace);
    let version = context
        .mirrors
        .versions
        .get(&version)
        .and_then(|secret| secret.resource_version());
    let known = held.application_password.as_ref();
    if let Some(known) = known.filter(|known| known.reference == *reference && known.version == version) {
        return known.outcome.clone();
    }
    let secrets: Api<Secret> = Api::namespaced(context.clients.calls.clone(), namespace);
    let call = secrets.get_opt(&reference.name);
    let secret = within(context.args.api_limit, format!("read Secret {}", reference.name), call).await;
    let secret = secret.map_err(|error| error.to_string())?;
    let data = secret.map(|secret| secret.data.unwrap_or_default());
    let outcome = application_password(reference, data.as_ref())
        .map(Some)
        .map_err(|problem| problem.to_string());
    let (reference, outcome_kept) = (reference.clone(), outcome.clone());
    held.application_password = Some(PasswordRead {
        outcome: outcome_kept,
        reference,
        version,
    });
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis_operator_core::observed::{Desired, Moment, Policy};
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[test]
    fn r12_what_somebody_else_changes_is_named_with_the_place() {
        let told = |at: &[&str], written| {
            let at = at.iter().map(|at| (*at).to_owned()).collect();
            let change = Change {
                kind: "StatefulSet".to_owned(),
                name: "redis-a".to_owned(),
                outcome: Outcome::Altered { at, written },
            };
            trouble("n", change).unwrap()
        };
        let one = told(&["spec.a[0]"], true);
        assert_eq!(one.reason, "ObjectAltered");
        assert!(one.message.starts_with("StatefulSet redis-a "), "{}", one.message);
        assert!(
            one.message.contains("written: spec.a[0]. Somebody else"),
            "{}",
            one.message
        );
        assert_eq!(told(&["spec.a[0]"], false), one, "written or not, it says the same");
        let more = told(&["spec.a[0]", "spec.b", "spec.c"], true).message;
        assert!(more.contains("spec.a[0] and 2 more."), "{more}");
    }

    #[test]
    fn r05_the_template_stays_as_it_is_while_the_wanted_image_is_refused() {
        let mut seen = Observed {
            desired: Desired::new(3, Policy::Availability, Duration::from_secs(2), false),
            holder: "me".to_owned(),
            record: Found::Absent,
            instances: BTreeMap::new(),
            departed: BTreeMap::new(),
            set_holder: None,
            slice: None,
            memory: Default::default(),
            now: Moment::default(),
            clock: jiff::Timestamp::UNIX_EPOCH,
        };
        let template = json!({ "metadata": { "labels": { "redis": "a" } } });
        let spec = json!({ "selector": {}, "serviceName": "", "template": template });
        let set: StatefulSet = serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap();
        assert_eq!(kept(&seen, Some(&set)), None);
        seen.desired.incompatible = Some("it is older".to_owned());
        assert_eq!(json!(kept(&seen, Some(&set)).unwrap()), template);
        assert_eq!(kept(&seen, None), None);
    }
}
