//! Which data is the right one where nobody lives who could say so.

use super::view::Living;
use crate::observed::Observed;
use crate::replication::Replication;
use std::cmp::Reverse;

/// The one that a person named, `redis-operator.dev/elect: <pod>`, if it may be promoted. Asked only where the evidence
/// leaves open who it is: an annotation that was forgotten must not decide what is clear.
pub(super) fn named<'a>(name: Option<&String>, ready: &[Living<'a>]) -> Option<Living<'a>> {
    let name = name?;
    let named = ready.iter().copied().find(|it| &it.instance.pod == name);
    named.filter(|it| it.instance.priority() > 0)
}

/// What is ambiguous, and why the name that a person gave does not decide it.
pub(super) fn undecided(text: String, name: Option<&String>, ready: &[Living]) -> String {
    let Some(name) = name else { return text };
    let why = if ready.iter().any(|it| &it.instance.pod == name) {
        "whose priority is 0 (spec.priorities)"
    } else {
        "and no pod of that name answers"
    };
    format!("{text}. The annotation redis-operator.dev/elect names {name}, {why}")
}

/// Whoever is there when a person names one with data: that one's copy is to replace what they hold.
pub(super) fn given_up(ready: &[Living], named: Living) -> impl Iterator<Item = String> {
    let holds = named.answer.replication.keys > 0;
    ready.iter().filter(move |_| holds).map(|it| it.instance.pod.clone())
}

/// Whoever holds keys.
pub(super) fn holders<'a>(ready: &[Living<'a>]) -> Vec<Living<'a>> {
    let holds = |it: &&Living| it.answer.replication.keys > 0;
    ready.iter().filter(holds).copied().collect()
}

/// The most advanced of those with a place in a history that `in_history` admits; ties by who may be promoted at all,
/// then by the lowest ordinal.
pub(super) fn most<'a>(all: &[Living<'a>], in_history: impl Fn(&Replication) -> bool) -> Option<Living<'a>> {
    let placed = all
        .iter()
        .filter(|it| it.answer.replication.placed && in_history(&it.answer.replication));
    let order = |it: &&Living| {
        let r = &it.answer.replication;
        (r.offset, it.instance.priority() > 0, Reverse(it.instance.ordinal))
    };
    placed.max_by_key(order).copied()
}

/// They hold data of one history: the most advanced; or only one holds any: that one. Else a sentence.
pub(super) fn of_one_history<'a>(holders: &[Living<'a>]) -> Result<Living<'a>, String> {
    if let [one] = holders {
        return Ok(*one);
    }
    let id = holders.first().map(|it| &it.answer.replication.id);
    let same = |it: &Living| it.answer.replication.placed && Some(&it.answer.replication.id) == id;
    if holders.iter().all(same)
        && let Some(most) = most(holders, |_| true)
    {
        return Ok(most);
    }
    Err(unrelated(holders))
}

/// Their ids are lost, but all that hold data were members to the end and hold as many keys: they followed one master,
/// and any of them will do.
pub(super) fn alike<'a>(members: &[Living<'a>]) -> Option<Living<'a>> {
    let keys = |it: &Living| it.answer.replication.keys;
    let first = members.iter().min_by_key(|it| it.instance.ordinal)?;
    let lost = |it: &Living| !it.answer.replication.placed && keys(it) == keys(first);
    members.iter().all(lost).then_some(*first)
}

/// What the holders of unrelated data hold, and the way out.
pub(super) fn unrelated(holders: &[Living]) -> String {
    let counts: Vec<_> = holders
        .iter()
        .map(|it| format!("{} has {} keys", it.instance.pod, it.answer.replication.keys))
        .collect();
    format!(
        "there is data of unknown or unrelated histories and nothing says which is the right one: {}. {NAME_ONE}",
        counts.join(", ")
    )
}

/// Where nobody holds data: the lowest ordinal of those that may be promoted and stay.
pub(super) fn first<'a>(seen: &Observed, ready: &[Living<'a>]) -> Result<Living<'a>, String> {
    let eligible = ready.iter().filter(|it| it.instance.priority() > 0);
    let order = |it: &&Living| {
        let surplus = it.instance.ordinal >= seen.desired.replicas;
        (it.instance.deleting, surplus, it.instance.ordinal)
    };
    let first = eligible.min_by_key(order).copied();
    first
        .ok_or_else(|| "no instance answers that may be promoted (priority 0 never is, see spec.priorities)".to_owned())
}

/// Whoever holds the right data can only be promoted if it may be.
pub(super) fn promotable(chosen: Living) -> Result<Living, String> {
    if chosen.instance.priority() > 0 {
        return Ok(chosen);
    }
    let (pod, keys) = (&chosen.instance.pod, chosen.answer.replication.keys);
    Err(format!(
        "{pod} holds the data ({keys} keys), and its priority is 0: give it another one in spec.priorities. {NAME_ONE}"
    ))
}

/// The way out.
pub(super) const NAME_ONE: &str = "Name the one to go on with: kubectl annotate --overwrite redis NAME redis-operator.dev/elect=POD. The others' data is then replaced by a copy of its";
