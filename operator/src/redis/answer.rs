//! A probe's replies as an answer.

use super::CallError;
use super::reply::Reply;
use redis_operator_core::observed::{Answer, Moment};
use redis_operator_core::replication::Replication;
use redis_operator_core::version::is_too_old;

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
    let replication = replication(Some(info))?;
    if is_too_old(&replication.version) {
        return Err(CallError::TooOld(replication.version));
    }
    let config = Config::of(config);
    Ok(Answer {
        asked,
        still_since: asked,
        replication,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b04_a_server_that_is_too_old_has_not_answered() {
        let probe = |version: &str| {
            let info =
                format!("redis_version:{version}\nrun_id:r\nrole:master\nmaster_replid:a\nmaster_repl_offset:1\n");
            let config = [(GUARD, "0"), (GUARD_LAG, "1"), (SERVES, "no"), (ATTACHES_AS, "")];
            let words = config.iter().flat_map(|(key, value)| [*key, *value]);
            let list = |words: Vec<&str>| Reply::List(words.into_iter().map(|it| Reply::Text(it.to_owned())).collect());
            read(Moment(0), &[Reply::Text(info), list(words.collect()), list(vec![])])
        };
        assert_eq!(probe("7.0.0").unwrap().replication.version, "7.0.0");
        let error = probe("6.2.14").unwrap_err();
        assert_eq!(error, CallError::TooOld("6.2.14".to_owned()));
        let said = error.to_string();
        assert!(said.contains("6.2.14") && said.contains("7.0 or later"), "{said}");
    }
}
