//! The operator's key: from it and from uids every generated password is derived, so that a Secret that was deleted
//! comes back identical.

use crate::error::{Error, within};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Name of the Secret, in the operator's namespace.
pub const SECRET: &str = "redis-operator-key";
const FIELD: &str = "key";
const LENGTH: usize = 32;
const PAUSE: Duration = Duration::from_secs(1);

/// 32 random bytes. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; LENGTH]);

impl Key {
    /// What passwords are derived from.
    pub fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key")
    }
}

/// The key, created if there is none. Tries until it works: without it nothing can be done.
pub async fn obtain(client: &Client, namespace: &str, limit: Duration) -> Key {
    let mut last = String::new();
    loop {
        match try_obtain(client, namespace, limit).await {
            Ok(key) => return key,
            Err(error) => {
                let error = error.to_string();
                if error != last {
                    tracing::warn!(error, "no key yet; trying again until it works");
                    last = error;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One attempt. What exists is never overwritten, and what is used was read back: of two that create it at once, both
/// use the same.
pub async fn try_obtain(client: &Client, namespace: &str, limit: Duration) -> Result<Key, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let what = |verb| format!("{verb} Secret {namespace}/{SECRET}");
    if within(limit, what("read"), api.get_opt(SECRET)).await?.is_none() {
        let created = within(limit, what("create"), api.create(&PostParams::default(), &fresh()?)).await;
        // a conflict: another one was faster
        created
            .map(drop)
            .or_else(|error| if error.is_conflict() { Ok(()) } else { Err(error) })?;
    }
    let secret = within(limit, what("read"), api.get(SECRET)).await?;
    let bytes = secret.data.and_then(|mut data| data.remove(FIELD)).unwrap_or_default();
    let bytes = <[u8; LENGTH]>::try_from(bytes.0).map_err(|found| {
        Error::Unexpected(format!(
            "Secret {namespace}/{SECRET} must hold {LENGTH} bytes under `{FIELD}`, not {}: restore it; without the same \
             bytes, deleted Secrets of resources cannot come back identical. Delete it only if no resource exists",
            found.len()
        ))
    })?;
    Ok(Key(bytes))
}

fn fresh() -> Result<Secret, Error> {
    let mut bytes = vec![0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| Error::Unexpected(format!("no random numbers to be had: {error}")))?;
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(FIELD.to_owned(), ByteString(bytes))])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_api::FakeApi;
    use serde_json::json;

    const LIMIT: Duration = Duration::from_secs(60);
    const PATH: &str = "/api/v1/namespaces/a/secrets/redis-operator-key";

    #[tokio::test]
    async fn two_that_race_end_with_one_key() {
        let api = FakeApi::default();
        let client = api.client();
        let (one, two) = tokio::join!(try_obtain(&client, "a", LIMIT), try_obtain(&client, "a", LIMIT));
        let key = one.unwrap();
        assert!(key == two.unwrap());
        assert!(key.bytes().iter().any(|byte| *byte != 0));
        assert_eq!(api.writes().len(), 1);
        assert!(key == try_obtain(&client, "a", LIMIT).await.unwrap());
    }

    #[tokio::test]
    async fn a_damaged_key_is_not_replaced() {
        let api = FakeApi::default();
        api.put(
            PATH,
            json!({ "metadata": { "name": SECRET }, "data": { "key": "c2hvcnQ=" } }),
        );
        let error = try_obtain(&api.client(), "a", LIMIT).await.unwrap_err();
        assert!(error.to_string().contains("restore it"), "{error}");
        assert!(api.writes().is_empty());
    }
}
