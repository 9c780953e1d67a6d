//! CEL rules that are too long for an attribute. Each answers in a sentence; `check` in `crate::resources` says the same
//! to resources that were written past the schema.

use kube::core::{Message, Rule};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;

use super::MAX_REPLICAS;
use crate::config::{OWNED, Owned};
use crate::names;

/// An image is named, in one word. Everything else about it is the registry's to tell.
pub(super) fn image() -> Rule {
    Rule::new("size(self) > 0 && !self.matches('\\\\s')")
        .message("image must name a container image, without spaces, such as docker.io/library/redis:7.0")
}

/// How many instances there may be. A rule rather than `minimum` and `maximum`, which say nothing about why.
pub(super) fn replicas() -> Rule {
    Rule {
        message: Some(Message::Message(format!(
            "replicas must be from 1 to {MAX_REPLICAS}: it counts all data pods, the master included"
        ))),
        ..Rule::new(format!("self >= 1 && self <= {MAX_REPLICAS}"))
    }
}

/// Schema of `spec.config`. The bounds keep the cost of the rules, which the API server estimates, within its limit.
pub(super) fn config(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 200,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
        "x-kubernetes-validations": json!(config_rules()),
    })
}

/// Schema of `spec.podLabels`.
pub(super) fn pod_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 50,
        "additionalProperties": { "type": "string", "maxLength": 63 },
        "x-kubernetes-validations": json!([pod_labels_rule()]),
    })
}

/// One rule for each reason why directives belong to the operator, and those about spelling.
fn config_rules() -> Vec<Rule> {
    let owned = OWNED.iter().map(owned);
    let plain = "'^[a-z][a-z0-9_-]*$'";
    let names = Rule::new(format!("self.all(k, k.matches({plain}))"))
        .message("each key must be the name of a directive, in lower-case letters, digits, '-' and '_'");
    // a message with a newline in it would be dropped: keys of that kind are left to the rule above
    let lines = refused(
        &format!("k.matches({plain}) && self[k].matches('[[:cntrl:]]')"),
        "contains a newline or another control character: put the value on one line",
    );
    owned.chain([names, lines]).collect()
}

fn owned(Owned { reason, directives }: &Owned) -> Rule {
    let list = directives
        .iter()
        .map(|name| format!("'{name}'"))
        .collect::<Vec<_>>()
        .join(", ");
    refused(
        &format!("k.lowerAscii() in [{list}]"),
        &format!("belongs to the operator: {reason}; remove it"),
    )
}

/// A rule that no key `k` of the map may fulfil, and what it says about the first that does.
fn refused(condition: &str, says: &str) -> Rule {
    let says = quoted(&format!(" {says}"));
    Rule::new(format!("!self.exists(k, {condition})"))
        .message(Message::Expression(format!("self.filter(k, {condition})[0] + {says}")))
}

/// A CEL string; its escapes are those of JSON.
fn quoted(text: &str) -> String {
    json!(text).to_string()
}

/// Labels of the pods that the operator or the StatefulSet's controller sets.
fn pod_labels_rule() -> Rule {
    let own = names::labels("").into_keys().chain([names::LABEL_ROLE.to_owned()]);
    let list = own.map(|key| format!("'{key}'")).collect::<Vec<_>>().join(", ");
    let prefixes = "k.startsWith('statefulset.kubernetes.io/') || k.startsWith('apps.kubernetes.io/') || k.startsWith('redis-operator.dev/')";
    let condition = format!("k in [{list}] || k == 'controller-revision-hash' || {prefixes}");
    refused(&condition, "belongs to the operator: choose another key")
}
