//! The applications' password, from the Secret that the user names.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use crate::api::SecretKeyRef;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &[u8])]) -> BTreeMap<String, ByteString> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec())))
            .collect()
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
