//! A probe's replies as an answer.

use super::CallError;
use super::reply::Reply;
use redis_operator_core::observed::{Answer, Moment};
use redis_operator_core::replication::Replication;

pub(super) const GUARD: &str = "min-replicas-to-write";
pub(super) const GUARD_LAG: &str = "min-replicas-max-lag";
pub(super) const SERVES: &str = "replica-serve-stale-data";
pub(super) const ATTACHES_AS: &str = "masteruser";
pub(super) const CONFIG_GET: [&str; 6] = ["CONFIG", "GET", GUARD, GUARD_LAG, SERVES, ATTACHES_AS];

/// Replication users are named after the member's pod: `r-<pod uid>`.
const MEMBER: &str = "r-";

pub(super) fn read(asked: Moment, replies: &[Reply]) -> Result<Answer, CallError> {
    let [info, config, users] = replies else {
        return Err(unreadable("not three replies to a probe"));
    };
    let config = Config::of(config);
    Ok(Answer {
        asked,
        replication: replication(Some(info))?,
        guard: config.number(GUARD)?,
        guard_lag: config.number(GUARD_LAG)?,
        serves: config.get(SERVES)? == "yes",
        users: texts(users)
            .filter(|user| user.starts_with(MEMBER))
            .map(str::to_owned)
            .collect(),
        attaches_as: config.get(ATTACHES_AS)?.to_owned(),
    })
}

pub(super) fn replication(info: Option<&Reply>) -> Result<Replication, CallError> {
    match info {
        Some(Reply::Text(text)) => Replication::parse(text).map_err(|error| unreadable(&error.to_string())),
        _ => Err(unreadable("INFO was not answered with text")),
    }
}

/// The reply to CONFIG GET: names and values in turn.
struct Config<'a>(Vec<&'a str>);

impl<'a> Config<'a> {
    fn of(reply: &'a Reply) -> Self {
        Self(texts(reply).collect())
    }

    fn get(&self, name: &str) -> Result<&'a str, CallError> {
        let mut pairs = self.0.chunks_exact(2);
        let found = pairs.find_map(|pair| match pair {
            [key, value] if *key == name => Some(*value),
            _ => None,
        });
        found.ok_or_else(|| unreadable(&format!("CONFIG GET has no {name}")))
    }

    fn number(&self, name: &str) -> Result<u32, CallError> {
        let value = self.get(name)?;
        value
            .parse()
            .map_err(|_| unreadable(&format!("CONFIG GET says {name} is not a number")))
    }
}

fn texts(reply: &Reply) -> impl Iterator<Item = &str> {
    let items = match reply {
        Reply::List(items) => items.as_slice(),
        _ => &[],
    };
    items.iter().filter_map(|item| match item {
        Reply::Text(text) => Some(text.as_str()),
        _ => None,
    })
}

fn unreadable(what: &str) -> CallError {
    CallError::Unreadable(what.to_owned())
}
