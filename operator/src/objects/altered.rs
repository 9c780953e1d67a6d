//! Objects that somebody else changes whenever they are written: a mutating webhook, another controller. No write of ours
//! makes them as desired, so people are told, and writes become rare; what is desired beside that is there all the same.

use super::{Change, Outcome};
use crate::pause::Pause;
use redis_operator_core::observed::Moment;
use redis_operator_core::resources::differs;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The first pause between two writes of an object that comes back changed.
const FIRST: Duration = Duration::from_secs(2);
/// The longest one: whoever changed it tells nobody that it does no more.
const LONGEST: Duration = Duration::from_mins(1);

/// The objects of one resource that somebody else changes, by kind and name.
#[derive(Debug, Default)]
pub struct Altered(BTreeMap<(String, String), Written>);

/// An object that came back changed.
#[derive(Debug)]
struct Written {
    /// Where it was not as desired.
    at: Vec<String>,
    /// When it was written last, and how long it is left alone after that.
    since: Moment,
    rest: Duration,
    pause: Pause,
}

impl Altered {
    /// It came back like this when it was written last, not long ago. Different in any other place, by a person's edit or
    /// a new wish, it is written at once.
    pub(super) fn rests(&self, kind: &str, name: &str, at: &[String], now: Moment) -> bool {
        let known = self.0.get(&(kind.to_owned(), name.to_owned()));
        known.is_some_and(|it| it.at == at && now.since(it.since) < it.rest)
    }

    /// Notes what became of all objects. One that is as desired is no longer among them.
    pub fn note(&mut self, changes: &[Change], now: Moment) {
        let is = |change: &Change, key: &(String, String)| change.kind == key.0 && change.name == key.1;
        self.0
            .retain(|key, _| changes.iter().any(|change| is(change, key) && change.is_open()));
        for change in changes {
            if let Outcome::Altered { at, written: true } = &change.outcome {
                self.written(change, at, now);
            }
        }
    }

    fn written(&mut self, change: &Change, at: &[String], now: Moment) {
        let key = (change.kind.clone(), change.name.clone());
        let before = self.0.remove(&key).filter(|it| it.at == at);
        let mut pause = before.map_or_else(|| Pause::new(FIRST, LONGEST), |it| it.pause);
        let written = Written {
            at: at.to_vec(),
            since: now,
            rest: pause.next(),
            pause,
        };
        self.0.insert(key, written);
    }
}

/// Where `live` is not as desired: the innermost places, as people write them. None if it is, by [`differs`].
pub(super) fn differences(desired: &Value, live: &Value) -> Vec<String> {
    let mut found = vec![];
    compare(&Place::default(), desired, Some(live), &mut found);
    found
}

/// A place in an object: the names that lead there, by which values are compared, and what people read.
#[derive(Default)]
struct Place {
    names: Vec<String>,
    text: String,
}

impl Place {
    fn field(&self, name: &str) -> Self {
        let mut names = self.names.clone();
        names.push(name.to_owned());
        let text = if self.text.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.text)
        };
        Self { names, text }
    }

    /// An element is compared by the names of its list.
    fn element(&self, index: usize) -> Self {
        Self {
            names: self.names.clone(),
            text: format!("{}[{index}]", self.text),
        }
    }

    /// An object that has nothing but this value, here; without one, not even that.
    fn holding(&self, value: Option<&Value>) -> Value {
        let mut names = self.names.iter().rev();
        let innermost = value.cloned().unwrap_or_else(|| {
            names.next();
            json!({})
        });
        names.fold(innermost, |inner, name| json!({ name: inner }))
    }
}

fn compare(place: &Place, desired: &Value, live: Option<&Value>, found: &mut Vec<String>) {
    if !differs(&place.holding(Some(desired)), &place.holding(live)) {
        return;
    }
    let before = found.len();
    match (desired, live) {
        (Value::Object(desired), Some(Value::Object(live))) => {
            for (name, value) in desired {
                compare(&place.field(name), value, live.get(name), found);
            }
        }
        (Value::Array(desired), Some(Value::Array(live))) if desired.len() == live.len() => {
            for (index, (desired, live)) in desired.iter().zip(live).enumerate() {
                compare(&place.element(index), desired, Some(live), found);
            }
        }
        _ => {}
    }
    // everything within is as desired, so it is what there is besides
    if found.len() == before {
        found.push(place.text.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_places_that_differ_are_named() {
        let desired = json!({
            "metadata": { "annotations": { "a/b": "1" } },
            "spec": {
                "enabled": false,
                "containers": [{ "image": "x:1", "resources": { "limits": { "cpu": "0.5" } } }],
                "selector": { "redis": "a" },
                "replicas": 0,
            },
        });
        let at = |change: fn(&mut Value)| {
            let mut live = desired.clone();
            change(&mut live);
            assert_eq!(differs(&desired, &live), !differences(&desired, &live).is_empty());
            differences(&desired, &live)
        };
        assert_eq!(at(|_| {}), Vec::<String>::new());
        let same = |live: &mut Value| {
            live["spec"]["containers"][0]["resources"]["limits"]["cpu"] = json!("500m");
            live["spec"].as_object_mut().unwrap().remove("enabled");
            live["spec"]["added"] = json!(1);
        };
        assert_eq!(at(same), Vec::<String>::new());
        let image = |live: &mut Value| live["spec"]["containers"][0]["image"] = json!("x@sha256:1");
        assert_eq!(at(image), ["spec.containers[0].image"]);
        let several = |live: &mut Value| {
            live["metadata"] = json!({});
            live["spec"]["containers"] = json!([]);
            live["spec"]["selector"]["more"] = json!("b");
            live["spec"].as_object_mut().unwrap().remove("replicas");
        };
        let all = [
            "metadata.annotations",
            "spec.containers",
            "spec.replicas",
            "spec.selector",
        ];
        assert_eq!(at(several), all);
        assert_eq!(at(|live| *live = json!(1)), [""]);
    }

    fn change(outcome: Outcome) -> Change {
        Change {
            kind: "Service".to_owned(),
            name: "x".to_owned(),
            outcome,
        }
    }

    fn came_back(at: &str) -> Change {
        let at = vec![at.to_owned()];
        change(Outcome::Altered { at, written: true })
    }

    fn seconds(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000)
    }

    #[test]
    fn r12_what_comes_back_changed_is_written_more_and_more_seldom() {
        let mut altered = Altered::default();
        let mut written = vec![];
        for second in 0..600 {
            if !altered.rests("Service", "x", &["a".to_owned()], seconds(second)) {
                altered.note(&[came_back("a")], seconds(second));
                written.push(second);
            }
        }
        assert_eq!(written[0], 0);
        assert!((10..30).contains(&written.len()), "{written:?}");
        assert!(written.windows(2).all(|it| it[1] - it[0] <= 60), "{written:?}");
    }

    #[test]
    fn r12_what_differs_in_another_place_is_written_at_once() {
        let rests = |altered: &Altered, at: &str| altered.rests("Service", "x", &[at.to_owned()], seconds(0));
        let mut altered = Altered::default();
        altered.note(&[came_back("a")], seconds(0));
        assert!(rests(&altered, "a") && !rests(&altered, "b"));
        assert!(!altered.rests("ConfigMap", "x", &["a".to_owned()], seconds(0)));
        // whose outcome is not known yet, or that was not tried, is remembered
        let left = Outcome::Altered {
            at: vec!["a".to_owned()],
            written: false,
        };
        altered.note(&[change(Outcome::Again), change(left)], seconds(0));
        assert!(rests(&altered, "a"));
        altered.note(&[change(Outcome::Applied)], seconds(0));
        assert!(!rests(&altered, "a"), "it became what was written");
        altered.note(&[came_back("a")], seconds(0));
        altered.note(&[], seconds(0));
        assert!(!rests(&altered, "a"), "it is as desired");
    }
}
