//! The write of the record, as one JSON patch.

use serde_json::{Value, json};

/// A compare-and-set on the seq, and on the very resource. Where there is nothing yet, nothing may have come meanwhile. Seqs
/// begin again where a record was lost: term and holder tell what this replaces from what came after.
pub(super) fn patch(uid: &str, has_status: bool, before: Option<&Value>, record: &Value) -> Vec<Value> {
    let same = json!({"op": "test", "path": "/metadata/uid", "value": uid});
    if !has_status {
        return vec![
            same,
            json!({"op": "test", "path": "/status", "value": null}),
            json!({"op": "add", "path": "/status", "value": {"record": record}}),
        ];
    }
    let Some(before) = before else {
        return vec![
            same,
            json!({"op": "test", "path": "/status/record", "value": null}),
            json!({"op": "add", "path": "/status/record", "value": record}),
        ];
    };
    let seq = number(record, "seq").saturating_sub(1);
    let mut all = vec![same, json!({"op": "test", "path": "/status/record/seq", "value": seq})];
    all.extend(["term", "holder"].into_iter().filter_map(|field| {
        let path = format!("/status/record/{field}");
        Some(json!({"op": "test", "path": path, "value": before.get(field)?}))
    }));
    all.push(json!({"op": "replace", "path": "/status/record", "value": record}));
    all.extend(safer_wait(before, record));
    all
}

/// A higher E is told in the very write from which elections may do with fewer members: a `WAIT` that trusts the number
/// before would be of no use. A lower one may be told later.
fn safer_wait(before: &Value, record: &Value) -> Option<Value> {
    let quorum = number(record, "quorum");
    let rises = number(before, "quorum") < quorum;
    rises.then(|| json!({"op": "add", "path": "/status/safeWait", "value": quorum}))
}

fn number(record: &Value, field: &str) -> u64 {
    record.get(field).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(quorum: u64, next: u64) -> Value {
        let record = |seq: u64, quorum: u64| json!({ "seq": seq, "quorum": quorum });
        let mut redis =
            json!({ "metadata": { "uid": "u" }, "status": { "safeWait": quorum, "record": record(6, quorum) } });
        let patch = patch("u", true, Some(&record(6, quorum)), &record(7, next));
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(patch)).unwrap();
        json_patch::patch(&mut redis, &patch).unwrap();
        assert_eq!(redis["status"]["record"], record(7, next));
        redis["status"]["safeWait"].clone()
    }

    #[test]
    fn e26_a_higher_quorum_and_the_wait_that_it_needs_are_told_at_once() {
        assert_eq!(after(1, 2), 2);
        assert_eq!(after(0, 1), 1);
        assert_eq!(after(2, 1), 2, "a lower one is told when nothing else is to do");
    }

    #[test]
    fn f05_a_record_that_was_written_meanwhile_is_not_replaced() {
        let record = json!({ "seq": 7, "quorum": 1 });
        let patch = patch("u", true, Some(&json!({ "seq": 6 })), &record);
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(patch)).unwrap();
        for (uid, seq) in [("u", 7), ("another", 6)] {
            let mut redis = json!({ "metadata": { "uid": uid }, "status": { "record": { "seq": seq } } });
            assert!(json_patch::patch(&mut redis, &patch).is_err());
        }
    }

    /// It was lost, and another one has come as far since.
    #[test]
    fn f05_a_write_that_is_late_replaces_no_record_of_another_term_or_holder() {
        let record = |term: u64, holder: &str, seq: u64| json!({ "seq": seq, "term": term, "holder": holder });
        let patch = patch("u", true, Some(&record(1, "a", 6)), &record(1, "b", 7));
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(patch)).unwrap();
        for (term, holder, fits) in [(1, "a", true), (2, "a", false), (1, "b", false)] {
            let status = json!({ "record": record(term, holder, 6) });
            let mut redis = json!({ "metadata": { "uid": "u" }, "status": status });
            assert_eq!(json_patch::patch(&mut redis, &patch).is_ok(), fits, "{term} {holder}");
        }
    }
}
