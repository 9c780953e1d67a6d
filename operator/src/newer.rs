//! What a newer operator put into the parts of a record survives this one's writes, as its fields at the top do.

use redis_operator_core::record::Record;
use serde::Deserialize;
use serde_json::Value;

/// By these a part is told to be about the same process or request as before.
const IDENTITY: [&str; 3] = ["uid", "runId", "value"];

/// Copies into `new`, a record that is about to be written in the place of `before`, what `before` says and this version does
/// not understand.
pub fn keep(before: &Value, new: &mut Value) {
    let understood = Record::deserialize(before).and_then(serde_json::to_value);
    if let Ok(understood) = understood {
        copy(before, &understood, new);
    }
}

fn copy(before: &Value, understood: &Value, new: &mut Value) {
    let (Some(before), Some(understood), Some(new)) = (before.as_object(), understood.as_object(), new.as_object_mut())
    else {
        return;
    };
    // what was said of one process is not said of the next
    if IDENTITY.iter().any(|key| before.get(*key) != new.get(*key)) {
        return;
    }
    for (key, value) in before {
        match (understood.get(key), new.get_mut(key)) {
            (Some(understood), Some(new)) => copy(value, understood, new),
            (None, None) => drop(new.insert(key.clone(), value.clone())),
            (Some(_), None) | (None, Some(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn process(n: u32) -> Value {
        json!({ "pod": format!("redis-a-{n}"), "uid": format!("u{n}"), "runId": format!("r{n}"), "address": "", "node": "" })
    }

    #[test]
    fn o11_what_a_newer_operator_says_of_a_process_survives() {
        let mut before = serde_json::to_value(Record::first("newer")).unwrap();
        let mut member = process(1);
        (member["stage"], member["zone"]) = (json!("full"), json!("b"));
        (before["master"], before["members"]) = (process(0), json!({ "redis-a-1": member }));
        (before["seq"], before["master"]["zone"], before["extra"]) = (json!(1), json!("a"), json!({ "x": 1 }));

        let mut record = Record::deserialize(&before).unwrap();
        record.members.get_mut("redis-a-1").unwrap().was_full = true;
        let mut new = serde_json::to_value(&record).unwrap();
        keep(&before, &mut new);
        let mut expected = before.clone();
        expected["members"]["redis-a-1"]["wasFull"] = json!(true);
        assert_eq!(new, expected);

        // another process, and nobody
        record.members.get_mut("redis-a-1").unwrap().process.run_id = "another".to_owned();
        record.master = None;
        let mut new = serde_json::to_value(&record).unwrap();
        keep(&before, &mut new);
        assert_eq!(new["members"]["redis-a-1"].get("zone"), None);
        assert_eq!((new.get("master"), &new["extra"]), (None, &before["extra"]));
    }

    #[test]
    fn o11_there_may_be_no_record_before() {
        let written = serde_json::to_value(Record::first("me")).unwrap();
        for before in [json!(null), json!("nonsense"), json!({ "members": 3 })] {
            let mut new = written.clone();
            keep(&before, &mut new);
            assert_eq!(new, written);
        }
    }
}
