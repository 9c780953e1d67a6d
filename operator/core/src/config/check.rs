//! What a user may write in `spec.config`, checked without a server: one sentence per mistake, naming the key and the
//! remedy. A file that a server refuses would stop every instance at its next start.

use std::collections::BTreeMap;

use super::{BACKLOG_BYTES, memory, owned};

/// Every mistake, in the order of the keys. Empty if the configuration can be used.
pub fn check(config: &BTreeMap<String, String>) -> Vec<String> {
    config
        .iter()
        .filter_map(|(key, value)| {
            directive(key, value)
                .or_else(|| backlog(key, value))
                .or_else(|| databases(key, value))
        })
        .collect()
}

fn directive(key: &str, value: &str) -> Option<String> {
    if key.is_empty() {
        return Some("spec.config has an empty key: name a directive, such as maxmemory".to_owned());
    }
    if let Some(reason) = owned::reason(key) {
        return Some(format!(
            "spec.config.{key} belongs to the operator: {reason}; remove it"
        ));
    }
    if !plain(key) {
        return Some(format!(
            "spec.config key {key:?} is no directive: use its name in lower-case letters, digits, '-' and '_'"
        ));
    }
    if value.chars().any(char::is_control) {
        return Some(format!(
            "spec.config.{key} contains a newline or another control character: put the value on one line"
        ));
    }
    if !balanced(value) {
        return Some(format!(
            "spec.config.{key} has unbalanced quotes: close each quote, and follow a closing one by a space"
        ));
    }
    None
}

/// Letters as servers spell directives. Upper case would work, but two spellings of one key would not.
fn plain(key: &str) -> bool {
    key.starts_with(|first: char| first.is_ascii_lowercase())
        && key
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
}

/// A smaller backlog turns every reconnection after a failover into a full sync.
fn backlog(key: &str, value: &str) -> Option<String> {
    if key != "repl-backlog-size" {
        return None;
    }
    match memory::bytes(value) {
        Some(bytes) if bytes >= BACKLOG_BYTES => None,
        Some(_) => Some(format!(
            "spec.config.{key} is {value}, too small for replicas to catch up after a failover: use 64mb or more, or remove it"
        )),
        None => Some(format!(
            "spec.config.{key} is {value:?}, which is no amount of memory: write for example 256mb"
        )),
    }
}

/// INFO has a line for each database in use, on every instance alike: far more of them, and nobody could be asked any more.
const MAX_DATABASES: u64 = 10_000;

fn databases(key: &str, value: &str) -> Option<String> {
    let many = key == "databases" && value.trim().parse::<u64>().is_ok_and(|number| number > MAX_DATABASES);
    many.then(|| format!("spec.config.databases is {value}: give at most {MAX_DATABASES}"))
}

/// Whether servers can split the value into words: `sdssplitargs` in `sds.c`. Quotes may open in the middle of a word,
/// but a closing one must end it.
fn balanced(value: &str) -> bool {
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '"' && c != '\'' {
            continue;
        }
        loop {
            match rest.next() {
                None => return false,
                Some('\\') if c == '"' || rest.peek() == Some(&'\'') => {
                    // an escaped character, whatever it is; none there means that the quote never closes
                    if rest.next().is_none() {
                        return false;
                    }
                }
                Some(end) if end == c => break,
                Some(_) => {}
            }
        }
        if rest.peek().is_some_and(|next| !next.is_whitespace()) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> Vec<String> {
        check(&[(key.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn b03_owned_directives_are_refused_in_any_case_and_by_any_alias() {
        for owned in owned::OWNED {
            for name in owned.directives {
                for spelling in [(*name).to_owned(), name.to_uppercase(), name.replace('r', "R")] {
                    let sentences = one(&spelling, "1");
                    assert_eq!(sentences.len(), 1, "{spelling}");
                    assert!(
                        sentences[0].contains(&spelling) && sentences[0].contains(owned.reason),
                        "{sentences:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn b03_nothing_gets_out_of_its_line() {
        for (key, value) in [
            ("maxmemory", "1gb\nreplicaof 10.0.0.1 6379"),
            ("maxmemory", "1gb\r"),
            ("maxmemory", "1gb\0"),
            ("maxmemory", "1\tgb"),
            ("maxmemory\nreplicaof", "1gb"),
            ("maxmemory replicaof", "1gb"),
            (" replicaof", "10.0.0.1 6379"),
            ("replicaof ", "10.0.0.1 6379"),
            ("#maxmemory", "1gb"),
            ("MaxMemory", "1gb"),
            ("", "1gb"),
            ("é", "1gb"),
        ] {
            assert_eq!(one(key, value).len(), 1, "{key:?} {value:?}");
        }
    }

    #[test]
    fn what_users_need_is_accepted() {
        for (key, value) in [
            ("maxmemory", "1gb"),
            ("maxmemory-policy", "allkeys-lru"),
            ("save", "900 1 300 10"),
            ("save", ""),
            ("save", "\"\""),
            ("appendonly", "yes"),
            ("client-output-buffer-limit", "replica 256mb 64mb 60"),
            ("notify-keyspace-events", "KEA"),
            ("proc-title-template", "\"{title} it's {listen-addr}\""),
            ("aof_rewrite_cpulist", "0-1"),
            ("repl-backlog-size", "256mb"),
            ("repl-backlog-size", "67108864"),
        ] {
            assert_eq!(one(key, value), Vec::<String>::new(), "{key} {value}");
        }
    }

    #[test]
    fn quotes_must_balance() {
        for value in ["\"", "'", "\"a\\\"", "'a\\'", "\"a\"b", "a \"b", "'a'b", "'a\\\\'"] {
            assert_eq!(one("logfile", value).len(), 1, "{value}");
        }
        for value in ["\"a\\\"b\"", "'it\\'s'", "\"a\" \"b\"", "\"a'b\""] {
            assert_eq!(one("logfile", value).len(), 0, "{value}");
        }
    }

    #[test]
    fn a_small_backlog_is_refused() {
        for value in ["1mb", "67108863", "64m", "much", "-1", ""] {
            assert_eq!(one("repl-backlog-size", value).len(), 1, "{value}");
        }
    }
}
