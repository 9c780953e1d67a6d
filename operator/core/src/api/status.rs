//! What the operator says about a resource.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What the operator saw and does. Every field may be absent: a new resource has no status at all.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RedisStatus {
    /// Generation of the spec that this status answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Pods that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// Ready of wanted pods, such as `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,

    /// The serving master, and replicas in sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,

    /// Replicas that have everything and follow the master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced: Option<i32>,

    /// Pod of the published master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,

    /// Label selector of the pods, as text, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// What goes on, in one short phrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,

    /// The smallest n for which a write that `WAIT n` acknowledged survives any single failure; 0 means none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe_wait: Option<i32>,

    /// One entry per pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".into()]))]
    pub instances: Vec<Instance>,

    /// The latest master that was replaced unplanned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failover: Option<MasterChange>,

    /// The latest master that handed over as planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_switchover: Option<MasterChange>,

    /// The switchover that was asked for last by annotation, and its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switchover: Option<Answer>,

    /// The restart that was asked for last by annotation, and how far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Answer>,

    /// Conditions with reasons for people; `Ready` is the one to wait for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The operator's own memory of the replication. Never edit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "record")]
    pub record: Option<serde_json::Value>,
}

/// One instance as it was last seen. Offset and lag move all the time, and alone are no reason to write: they are as of the
/// last other change.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its pod.
    pub pod: String,
    /// Its role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its replication offset in bytes, as of the last other change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Bytes that it was behind the master then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// What it does, in a word: Serving, Synced, Joining, Leaving, Fenced, Loading, Busy, Unreadable (it lives, and what it
    /// says tells nothing), Silent, Down or Starting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Its priority: lower is preferred, 0 is never master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// The node it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// The answer to what somebody asked for by an annotation.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What the annotation said; absent once a switchover's annotation is gone, so that the same value asks anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Begun, Waiting, Rolling, Done, Refused or Failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When a switchover was answered, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// A change of master and how long its parts took. Times are milliseconds since the notice: of a fault, or, of a switchover,
/// that the master had stopped taking writes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MasterChange {
    /// Why the master was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Pod of the master before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Pod of the master since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Term that began with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<i64>,
    /// When it was noticed, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Milliseconds from the last answer to the notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noticed_ms: Option<i64>,
    /// Milliseconds from the notice to the choice of a candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elected_ms: Option<i64>,
    /// Milliseconds from the notice to the verified promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted_ms: Option<i64>,
    /// Milliseconds from the notice to the publication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_ms: Option<i64>,
    /// Bytes of the old master's stream that the new one lacks: what its last answer showed, `noticedMs` before the notice,
    /// less what was promoted. What it took after that answer comes on top. Absent if it never answered the operator that
    /// replaced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_possibly_lost: Option<i64>,
}

/// An object of any shape: a newer operator's fields survive an older operator.
fn record(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The record and the rest are written by different hands; whichever comes first must be accepted alone.
    #[test]
    fn nothing_in_a_status_is_required() {
        let schema = SchemaGenerator::default().into_root_schema_for::<RedisStatus>();
        assert_eq!(schema.get("required"), None);
    }
}
