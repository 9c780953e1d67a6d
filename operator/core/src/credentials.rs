//! Users and passwords of the servers.
//!
//! Generated passwords are derived from the operator's key and from uids, so that a Secret that somebody deleted comes
//! back identical and no running server has to be told. Servers get hashes only.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use k8s_openapi::ByteString;
use sha2::{Digest, Sha256};

use crate::api::{ApplicationCommands, SecretKeyRef};
use crate::names;

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

/// Why a Secret does not give the applications a password; each is a sentence that names Secret and key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordProblem {
    /// There is no such Secret.
    #[error("spec.password.secretKeyRef: there is no Secret {0:?} in this namespace: create it, or name another one")]
    NoSecret(String),
    /// The Secret lacks the key.
    #[error("spec.password.secretKeyRef: Secret {0:?} has no key {1:?}: add it, or name another key")]
    NoKey(String, String),
    /// The value is unusable.
    #[error("spec.password.secretKeyRef: key {1:?} of Secret {0:?} {2}")]
    Value(String, String, &'static str),
}

/// The applications' password from a Secret's data (`None`: no such Secret). Newlines are refused rather than cut: the
/// applications read the same Secret, and would send them.
pub fn application_password(
    reference: &SecretKeyRef,
    secret: Option<&BTreeMap<String, ByteString>>,
) -> Result<String, PasswordProblem> {
    let (name, key) = (reference.name.clone(), reference.key.clone());
    let Some(data) = secret else {
        return Err(PasswordProblem::NoSecret(name));
    };
    let Some(ByteString(bytes)) = data.get(&reference.key) else {
        return Err(PasswordProblem::NoKey(name, key));
    };
    let problem = match std::str::from_utf8(bytes) {
        Err(_) => "is not text: use UTF-8",
        Ok("") => "is empty: give it a value, or remove spec.password for servers without a password",
        Ok(text) if text.ends_with('\n') || text.ends_with('\r') => {
            "ends with a newline: write it without one, for example with printf '%s' or kubectl create secret --from-literal"
        }
        Ok(text) if text.chars().any(char::is_control) => {
            "contains a newline or another control character: choose a password on one line"
        }
        Ok(text) => return Ok(text.to_owned()),
    };
    Err(PasswordProblem::Value(name, key, problem))
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

    #[test]
    fn b02_an_unusable_password_is_named_with_its_secret_and_key() {
        let reference = SecretKeyRef {
            name: "my-secret".to_owned(),
            key: "my-key".to_owned(),
        };
        assert!(
            application_password(&reference, None)
                .unwrap_err()
                .to_string()
                .contains("my-secret")
        );
        assert!(application_password(&reference, Some(&data(&[("other", b"x")]))).is_err());
        for value in [&b""[..], b"x\n", b"x\r\n", b"x\ny", b"x\0", b"\xff", b"\n"] {
            let message = application_password(&reference, Some(&data(&[("my-key", value)])))
                .unwrap_err()
                .to_string();
            assert!(message.contains("my-secret") && message.contains("my-key"), "{message}");
            assert!(!message.contains("x\n"));
        }
        let good = application_password(&reference, Some(&data(&[("my-key", "pass wörd".as_bytes())])));
        assert_eq!(good.as_deref(), Ok("pass wörd"));
    }
}
