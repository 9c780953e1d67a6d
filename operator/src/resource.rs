//! One resource under one lease: what is held between passes.

use crate::absence::Absences;
use crate::cluster::Cluster;
use crate::controller::Context;
use crate::failing::Failing;
use crate::gather::Kept;
use crate::image::MastersImage;
use crate::redis::Login;
use crate::telling::Telling;
use crate::watch::{Settings, Watch};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use redis_operator_core::api::{Redis, SecretKeyRef};
use redis_operator_core::credentials::Passwords;
use redis_operator_core::names;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, watch};

/// One resource under one lease.
pub struct Resource {
    /// Namespace of the resource.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
    /// Both, as people read it in logs and metrics: `namespace/name`.
    pub full_name: String,
    /// Uid of the resource: another one of that name is another resource.
    pub uid: String,
    /// Its objects on the API server.
    pub cluster: Cluster,
    /// Its servers.
    pub watch: Watch,
    /// Generated passwords, as the servers know them.
    pub passwords: Passwords,
    /// Raised by the watcher, and by objects that are going; a level, so a wake-up is never lost while a pass runs.
    pub urgent: watch::Receiver<()>,
    /// Raised by the watcher alone, until [`was_told`](Self::was_told) asks.
    told: Arc<AtomicBool>,
    /// One pass at a time uses this.
    pub held: Mutex<Held>,
}

/// What one pass hands to the next.
#[derive(Default)]
pub struct Held {
    /// What observations hand on.
    pub kept: Kept,
    /// What the recorded master runs.
    pub masters_image: Option<MastersImage>,
    /// Pods that should be there and are not.
    pub absences: Absences,
    /// What people were told.
    pub telling: Telling,
    /// What the Secret that the user names held when it was read last.
    pub application_password: Option<PasswordRead>,
    /// Since when putting objects right was dropped again and again.
    pub dropped: Option<Instant>,
    /// Passes that failed.
    pub failing: Failing,
    /// When the API server refused something last because the namespace is being deleted.
    pub ending: Option<Instant>,
}

/// In a namespace that is being deleted, each object that goes would cause a pass that is refused as a whole.
const WHILE_ENDING: Duration = Duration::from_secs(2);

impl Held {
    /// How long no pass makes sense.
    pub fn rest(&self) -> Option<Duration> {
        let rest = WHILE_ENDING.saturating_sub(self.ending?.elapsed());
        (!rest.is_zero()).then_some(rest)
    }
}

/// The applications' password as it was read.
pub struct PasswordRead {
    /// The password, or a sentence that says why it cannot be used.
    pub outcome: Result<Option<String>, String>,
    /// Where it was read.
    pub reference: SecretKeyRef,
    /// The version of the Secret, as the mirror showed it; none if it did not exist.
    pub version: Option<String>,
}

/// A silence is told by several questions, however short it is.
fn pace(context: &Context, redis: &Redis) -> Duration {
    context.args.probe_every.min(redis.spec.down_after() / 4)
}

/// A Secret that a predecessor of that name left behind goes with it, and its passwords are those of other servers. One
/// without an owner (restored from a backup that keeps none) is what the pods mount.
fn is_of(secret: &Secret, uid: &str) -> bool {
    let mut owners = secret
        .owner_references()
        .iter()
        .filter(|it| it.controller == Some(true));
    owners.all(|owner| owner.uid == uid)
}

impl Resource {
    /// Takes over what the spec says of watching.
    pub fn follow(&self, context: &Context, redis: &Redis) {
        self.watch.set_pace(pace(context, redis));
    }

    /// Begins to watch a resource. Passwords come from its Secret where there is one, for its servers know those.
    pub fn new(context: &Context, redis: &Redis) -> Self {
        let (namespace, name) = (redis.namespace().unwrap_or_default(), redis.name_any());
        let uid = redis.uid().unwrap_or_default();
        let secret = ObjectRef::<Secret>::new(&names::object(&name)).within(&namespace);
        let secret = context.mirrors.secrets.get(&secret).filter(|it| is_of(it, &uid));
        let existing = secret.as_ref().and_then(|secret| secret.data.as_ref());
        let passwords = Passwords::derive(context.key.bytes(), &uid).or_existing(existing);
        let login = Login {
            user: names::USER_OPERATOR.to_owned(),
            password: passwords.operator.clone(),
        };
        let settings = Settings {
            probe_every: pace(context, redis),
            call_limit: context.args.call_limit,
            port: u16::try_from(names::PORT_REDIS).unwrap_or_default(),
        };
        let (triggers, reference) = (context.triggers.clone(), ObjectRef::from_obj(redis));
        let urgent = triggers.urgent(reference.clone());
        let told = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&told);
        let wake = Arc::new(move || {
            tell.store(true, Ordering::Relaxed);
            triggers.urge(reference.clone());
        });
        Self {
            cluster: Cluster::new(
                context.clients.calls.clone(),
                redis,
                &context.session.holder,
                context.args.api_limit,
            ),
            watch: Watch::new(login, settings, context.clock, wake),
            held: Mutex::default(),
            full_name: format!("{namespace}/{name}"),
            namespace,
            name,
            uid,
            passwords,
            urgent,
            told,
        }
    }

    /// Whether a server has told something new since this was asked last.
    pub fn was_told(&self) -> bool {
        self.told.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn f08_passwords_are_not_those_of_a_predecessor_of_that_name() {
        let secret = |owners| -> Secret {
            serde_json::from_value(json!({ "metadata": { "name": "redis-a", "ownerReferences": owners } })).unwrap()
        };
        let owner =
            |uid: &str| json!([{ "apiVersion": "", "kind": "Redis", "name": "a", "uid": uid, "controller": true }]);
        assert!(is_of(&secret(owner("this")), "this"));
        assert!(!is_of(&secret(owner("predecessor")), "this"));
        assert!(is_of(&secret(json!([])), "this"));
    }
}
