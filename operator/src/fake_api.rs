//! An API server for tests, in this process: objects by path, resource versions, conflicts and refusals.

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Its state, shared with the test.
#[derive(Clone, Default)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    writes: Vec<String>,
    calls: Vec<String>,
    refused: Vec<(String, StatusCode)>,
    webhooks: Vec<(String, &'static str, Value)>,
    away: bool,
    delay: Duration,
    hanging: Option<String>,
}

impl FakeApi {
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Refuses writes whose path ends like this.
    pub(crate) fn refuse(&self, ending: &str) {
        self.refuse_with(ending, StatusCode::FORBIDDEN);
    }

    /// Refuses writes whose path ends like this, with a code.
    pub(crate) fn refuse_with(&self, ending: &str, code: StatusCode) {
        self.0.lock().unwrap().refused.push((ending.to_owned(), code));
    }

    /// Takes writes again.
    pub(crate) fn refuse_nothing(&self) {
        self.0.lock().unwrap().refused.clear();
    }

    /// From now on a webhook puts a value into every object that is written whose path ends like this, wherever `pointer`
    /// leads to something.
    pub(crate) fn mutate(&self, ending: &str, pointer: &'static str, value: Value) {
        let webhook = (ending.to_owned(), pointer, value);
        self.0.lock().unwrap().webhooks.push(webhook);
    }

    /// No webhook any more.
    pub(crate) fn mutate_nothing(&self) {
        self.0.lock().unwrap().webhooks.clear();
    }

    /// From now on calls whose path ends like this are not answered.
    pub(crate) fn hang(&self, ending: &str) {
        self.0.lock().unwrap().hanging = Some(ending.to_owned());
    }

    /// From now on an answer takes so long.
    pub(crate) fn delay(&self, delay: Duration) {
        self.0.lock().unwrap().delay = delay;
    }

    /// From now on it answers nothing but that it cannot, or it does again.
    pub(crate) fn away(&self, away: bool) {
        self.0.lock().unwrap().away = away;
    }

    /// Puts an object there, as somebody else would.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.0.lock().unwrap().store(path, object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// All objects whose path begins like this.
    pub(crate) fn all(&self, beginning: &str) -> Vec<Value> {
        let state = self.0.lock().unwrap();
        let all = state.objects.iter().filter(|(path, _)| path.starts_with(beginning));
        all.map(|(_, object)| object.clone()).collect()
    }

    pub(crate) fn delete(&self, path: &str) {
        self.0.lock().unwrap().objects.remove(path);
    }

    /// Accepted writes since the last call: `METHOD name`.
    pub(crate) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().writes)
    }

    /// Calls so far, answered or not: `METHOD path`; a merge patch is `MERGE`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.0.lock().unwrap().calls.clone()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let query = parts.uri.query().unwrap_or_default();
        // so that callers race
        tokio::task::yield_now().await;
        let merges = parts
            .headers
            .get("content-type")
            .is_some_and(|it| it == "application/merge-patch+json");
        // the status is part of the object here
        let path = parts.uri.path().trim_end_matches("/status");
        let (delay, hangs) = {
            let mut state = self.0.lock().unwrap();
            let method = if merges { "MERGE" } else { parts.method.as_str() };
            state.calls.push(format!("{method} {path}"));
            let hangs = state.hanging.as_ref().is_some_and(|ending| path.ends_with(ending));
            (state.delay, hangs)
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut state = self.0.lock().unwrap();
        let answer = match parts.method.as_str() {
            _ if state.away => Err(StatusCode::SERVICE_UNAVAILABLE),
            "PATCH" if merges => state.merge(path, &body),
            "DELETE" => state.delete(path, &body["preconditions"]),
            _ => state.act(&parts.method, path, query, body),
        };
        drop(state);
        let (code, body) = answer.unwrap_or_else(|code| (code, failure(code)));
        Response::builder()
            .status(code)
            .body(Body::from(body.to_string().into_bytes()))
            .unwrap()
    }
}

fn failure(code: StatusCode) -> Value {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::UNPROCESSABLE_ENTITY => "Invalid",
        _ => "Forbidden",
    };
    json!({ "kind": "Status", "status": "Failure", "message": "no", "reason": reason, "code": code.as_u16() })
}

impl State {
    fn act(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        body: Value,
    ) -> Result<(StatusCode, Value), StatusCode> {
        if *method == Method::GET
            && let Some((_, name)) = query.split_once("fieldSelector=metadata.name%3D")
        {
            let one = self.objects.get(&format!("{path}/{name}"));
            return Ok((StatusCode::OK, json!({ "metadata": {}, "items": Vec::from_iter(one) })));
        }
        if *method == Method::GET {
            return self
                .objects
                .get(path)
                .cloned()
                .map(|it| (StatusCode::OK, it))
                .ok_or(StatusCode::NOT_FOUND);
        }
        let path = match *method == Method::POST {
            true => format!("{path}/{}", body["metadata"]["name"].as_str().unwrap()),
            false => path.to_owned(),
        };
        self.may_write(&path)?;
        let existing = self.objects.get(&path).cloned();
        let new = match (method.as_str(), existing) {
            ("POST", Some(_)) => return Err(StatusCode::CONFLICT),
            ("POST", None) => owned_by(body, "Update"),
            ("PATCH" | "PUT", None) => return Err(StatusCode::NOT_FOUND),
            ("PUT", Some(old)) if body["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"] => {
                return Err(StatusCode::CONFLICT);
            }
            ("PUT", Some(_)) => body,
            ("PATCH", Some(mut old)) if body.is_array() => {
                let patch: json_patch::Patch = serde_json::from_value(body).unwrap();
                json_patch::patch(&mut old, &patch).map_err(|_| StatusCode::CONFLICT)?;
                old
            }
            ("PATCH", Some(old)) => {
                assert!(
                    query.contains("force=true") && query.contains("fieldManager=redis-operator"),
                    "{query}"
                );
                if body["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"] {
                    return Err(StatusCode::CONFLICT);
                }
                owned_by(applied(old, &body), "Apply")
            }
            other => panic!("{other:?} is not expected"),
        };
        self.write(method.as_str(), &path, new)
    }

    fn may_write(&self, path: &str) -> Result<(), StatusCode> {
        let refused = self.refused.iter().find(|(ending, _)| path.ends_with(ending));
        refused.map_or(Ok(()), |(_, code)| Err(*code))
    }

    /// A merge patch; a uid in it is a precondition. One that changes nothing writes nothing.
    fn merge(&mut self, path: &str, patch: &Value) -> Result<(StatusCode, Value), StatusCode> {
        self.may_write(path)?;
        let before = self.objects.get(path).ok_or(StatusCode::NOT_FOUND)?;
        check(&patch["metadata"], before)?;
        let mut object = before.clone();
        json_patch::merge(&mut object, patch);
        if object == *before {
            return Ok((StatusCode::OK, object));
        }
        self.write("PATCH", path, object)
    }

    fn delete(&mut self, path: &str, preconditions: &Value) -> Result<(StatusCode, Value), StatusCode> {
        self.may_write(path)?;
        let object = self.objects.get(path).ok_or(StatusCode::NOT_FOUND)?;
        check(preconditions, object)?;
        let object = self.objects.remove(path).unwrap_or_default();
        self.writes.push(format!("DELETE {}", name(path)));
        Ok((StatusCode::OK, object))
    }

    fn write(&mut self, method: &str, path: &str, mut object: Value) -> Result<(StatusCode, Value), StatusCode> {
        for (_, pointer, value) in self.webhooks.iter().filter(|(ending, ..)| path.ends_with(ending)) {
            if let Some(place) = object.pointer_mut(pointer) {
                place.clone_from(value);
            }
        }
        valid(&object)?;
        self.writes.push(format!("{method} {}", name(path)));
        Ok((StatusCode::OK, self.store(path, object)))
    }

    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The uid and the resource version that a write names must be those of the object.
fn check(wanted: &Value, object: &Value) -> Result<(), StatusCode> {
    let differs = |field: &str| !wanted[field].is_null() && wanted[field] != object["metadata"][field];
    match ["uid", "resourceVersion"].into_iter().any(differs) {
        true => Err(StatusCode::CONFLICT),
        false => Ok(()),
    }
}

/// What is not applied stays, whoever set it; a list is taken whole.
fn applied(mut object: Value, patch: &Value) -> Value {
    json_patch::merge(&mut object, patch);
    object
}

/// Fields of which the API server takes no more than one.
fn valid(object: &Value) -> Result<(), StatusCode> {
    let (spec, update) = (&object["spec"], &object["spec"]["updateStrategy"]);
    let has = |of: &Value, field: &str| !of[field].is_null();
    let shared = |key: &String| has(&object["binaryData"], key);
    let keys = object["data"].as_object().map(|data| data.keys());
    let impossible = has(update, "rollingUpdate") && update["type"] != "RollingUpdate"
        || has(spec, "minAvailable") && has(spec, "maxUnavailable")
        || has(spec, "loadBalancerSourceRanges") && spec["type"] != "LoadBalancer"
        || keys.is_some_and(|mut keys| keys.any(shared));
    match impossible {
        true => Err(StatusCode::UNPROCESSABLE_ENTITY),
        false => Ok(()),
    }
}

fn owned_by(mut object: Value, operation: &str) -> Value {
    object["metadata"]["managedFields"] = json!([{ "manager": "redis-operator", "operation": operation }]);
    object
}
