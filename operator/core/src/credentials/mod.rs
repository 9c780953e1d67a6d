//! Users and passwords of the servers.
//!
//! Generated passwords are derived from the operator's key and from uids, so that a Secret that somebody deleted comes
//! back identical and no running server has to be told. Servers get hashes only.

mod application;

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use k8s_openapi::ByteString;
use sha2::{Digest, Sha256};

use crate::api::ApplicationCommands;
use crate::names;

pub use application::{PasswordProblem, application_password};

/// Key of the operator's password in the Secret `redis-<n>`.
pub const OPERATOR_PASSWORD: &str = "operator-password";
/// Key of the probes' password.
pub const PROBE_PASSWORD: &str = "probe-password";
/// Key of the exporter's password.
pub const EXPORTER_PASSWORD: &str = "exporter-password";

/// What the operator needs, and no key of the data: watching, replication, guard, members, clients.
const OPERATOR_RULES: &str = "resetkeys resetchannels -@all +ping +info +role +hello +command +select +client +replicaof \
+multi +exec +discard +config|get +config|set +acl|whoami +acl|users +acl|list +acl|getuser +acl|setuser \
+acl|deluser";
/// Enough to see whether a server lives and follows.
const PROBE_RULES: &str = "resetkeys resetchannels -@all +ping +info +role";
/// What redis_exporter asks by default; no key of the data.
const EXPORTER_RULES: &str = "resetkeys resetchannels -@all +ping +info +select +config|get +client|setname +client|list \
+slowlog|get +slowlog|len +latency|latest +latency|histogram";
/// What a replica needs to follow.
const REPLICATION_RULES: &str = "resetkeys resetchannels -@all +psync +replconf +ping";
/// Everything but what imitates a replica, changes the replication or the users, or stops a server.
const RESTRICTED_RULES: &str = "~* &* +@all -psync -sync -replconf -replicaof -slaveof -failover -shutdown -debug -module \
-cluster -config|set -config|rewrite -acl|setuser -acl|deluser -acl|load -acl|save";
/// Everything.
const ALL_RULES: &str = "~* &* +@all";

/// The generated passwords of one resource.
#[derive(Clone, PartialEq, Eq)]
pub struct Passwords {
    /// Of [`names::USER_OPERATOR`].
    pub operator: String,
    /// Of [`names::USER_PROBE`].
    pub probe: String,
    /// Of [`names::USER_EXPORTER`].
    pub exporter: String,
}

/// Never shows a password.
impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(…)")
    }
}

impl Passwords {
    /// The passwords of the resource with this uid; the same for the same key and uid, always.
    pub fn derive(key: &[u8], redis_uid: &str) -> Self {
        Self {
            operator: derived(key, &["operator", redis_uid]),
            probe: derived(key, &["probe", redis_uid]),
            exporter: derived(key, &["exporter", redis_uid]),
        }
    }

    /// The same, but what an existing Secret `redis-<n>` holds wins: running servers know that one. Values that no
    /// server can know (empty, several words) are replaced.
    #[must_use]
    pub fn or_existing(self, existing: Option<&BTreeMap<String, ByteString>>) -> Self {
        let keep = |key: &str, derived: String| {
            let found = existing
                .and_then(|data| data.get(key))
                .and_then(|bytes| std::str::from_utf8(&bytes.0).ok());
            let usable = |value: &&str| !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic());
            found.filter(usable).map_or(derived, str::to_owned)
        };
        Self {
            operator: keep(OPERATOR_PASSWORD, self.operator),
            probe: keep(PROBE_PASSWORD, self.probe),
            exporter: keep(EXPORTER_PASSWORD, self.exporter),
        }
    }
}

/// The password of a member's replication user, by the uid of its pod.
pub fn replication_password(key: &[u8], redis_uid: &str, pod_uid: &str) -> String {
    derived(key, &["replication", redis_uid, pod_uid])
}

/// The words after `ACL SETUSER` that make a member's replication user what it has to be, whatever it was.
pub fn replication_acl(pod_uid: &str, password: &str) -> Vec<String> {
    let rules = ["reset", "on"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("#{}", sha256(password))]);
    let rules = rules.chain(REPLICATION_RULES.split_whitespace().map(str::to_owned));
    [names::replication_user(pod_uid)].into_iter().chain(rules).collect()
}

/// `auth.conf`: every user of the file, with hashes in place of passwords. The members' users are not here; the
/// operator creates them on the master.
pub fn auth_conf(passwords: &Passwords, application: Option<&str>, commands: ApplicationCommands) -> String {
    let hashed = |password: &str| format!("#{}", sha256(password));
    let rules = match commands {
        ApplicationCommands::Restricted => RESTRICTED_RULES,
        ApplicationCommands::All => ALL_RULES,
    };
    let users = [
        (names::USER_OPERATOR, hashed(&passwords.operator), OPERATOR_RULES),
        (names::USER_PROBE, hashed(&passwords.probe), PROBE_RULES),
        (names::USER_EXPORTER, hashed(&passwords.exporter), EXPORTER_RULES),
        (
            names::USER_DEFAULT,
            application.map_or_else(|| "nopass".to_owned(), hashed),
            rules,
        ),
    ];
    let lines = users.map(|(name, password, rules)| format!("user {name} on {password} {rules}\n"));
    lines.concat()
}

/// HMAC-SHA256 over the parts, each ended by a byte that none of them contains.
fn derived(key: &[u8], parts: &[&str]) -> String {
    // a block of fixed length, because only that is accepted without a possible error
    let digest = Sha256::digest(key);
    let block: [u8; 64] = std::array::from_fn(|i| digest.get(i).copied().unwrap_or_default());
    let mut mac = Hmac::<Sha256>::new(&block.into());
    for part in parts {
        mac.update(part.as_bytes());
        mac.update(&[0]);
    }
    hex(&mac.finalize().into_bytes())
}

/// SHA-256 in hexadecimal, as ACL rules write it.
pub(crate) fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::derive(b"key", "uid")
    }

    fn data(pairs: &[(&str, &[u8])]) -> BTreeMap<String, ByteString> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec())))
            .collect()
    }

    #[test]
    fn passwords_come_back_identical_and_differ_from_each_other() {
        assert_eq!(passwords(), Passwords::derive(b"key", "uid"));
        let Passwords {
            operator,
            probe,
            exporter,
        } = passwords();
        let other = Passwords::derive(b"key", "uid2");
        let foreign = Passwords::derive(b"key2", "uid");
        let member = replication_password(b"key", "uid", "pod");
        let elsewhere = replication_password(b"key", "ui", "dpod");
        let mut all = vec![
            operator,
            probe,
            exporter,
            other.operator,
            foreign.operator,
            member,
            elsewhere,
        ];
        assert!(all.iter().all(|password| password.len() == 64));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn the_existing_value_wins_if_a_server_can_know_it() {
        let existing = data(&[
            (OPERATOR_PASSWORD, b"old"),
            (PROBE_PASSWORD, b""),
            (EXPORTER_PASSWORD, b"a b"),
        ]);
        let kept = passwords().or_existing(Some(&existing));
        assert_eq!(kept.operator, "old");
        assert_eq!(kept.probe, passwords().probe);
        assert_eq!(kept.exporter, passwords().exporter);
        assert_eq!(passwords().or_existing(None), passwords());
    }

    #[test]
    fn no_password_is_readable_in_the_file_or_in_a_log() {
        let text = auth_conf(&passwords(), Some("secret-of-mine"), ApplicationCommands::Restricted);
        let Passwords {
            operator,
            probe,
            exporter,
        } = passwords();
        for password in [operator.as_str(), &probe, &exporter, "secret-of-mine"] {
            assert!(!text.contains(password));
            assert!(text.contains(&format!("#{}", sha256(password))));
            assert!(!format!("{:?}", passwords()).contains(password));
        }
    }

    #[test]
    fn applications_cannot_pass_for_a_replica_unless_told_to() {
        let line = |text: String| {
            text.lines()
                .find(|line| line.starts_with("user default "))
                .unwrap()
                .to_owned()
        };
        let restricted = line(auth_conf(&passwords(), None, ApplicationCommands::Restricted));
        assert!(restricted.contains(" nopass "));
        for command in "psync sync replconf replicaof slaveof failover shutdown debug module cluster config|set \
            config|rewrite acl|setuser acl|deluser acl|load acl|save"
            .split_whitespace()
        {
            assert!(
                restricted.split(' ').any(|rule| rule == format!("-{command}")),
                "{command}"
            );
        }
        assert!(!line(auth_conf(&passwords(), None, ApplicationCommands::All)).contains('-'));
    }
}
