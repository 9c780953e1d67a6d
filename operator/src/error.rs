//! What can go wrong between this process and the API server. The answer is always the same: observe again.

use kube::core::Status;
use std::time::Duration;
use thiserror::Error;

/// A call to the API server that did not succeed. States such as "not ready" are no errors.
#[derive(Debug, Error)]
pub enum Error {
    /// It was answered with an error, or could not be sent.
    #[error("could not {what}: {source}")]
    Api {
        /// What was tried, such as `read Secret a/b`.
        what: String,
        /// Why not.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time. A write may have happened all the same, or may still happen.
    #[error("could not {what}: no answer within {limit:?}; it may still happen")]
    Deadline {
        /// What was tried.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// Something that the API server or this process should never produce.
    #[error("{0}")]
    Unexpected(String),
}

impl Error {
    /// For metrics: one of a handful of words.
    pub fn label(&self) -> &'static str {
        if self.is_conflict() {
            return "conflict";
        }
        match self {
            Self::Deadline { .. } => "deadline",
            Self::Unexpected(_) => "unexpected",
            Self::Api { .. } => match self.status().map(|status| status.code) {
                Some(401 | 403) => "forbidden",
                Some(404) => "absent",
                Some(400..=499) => "refused",
                Some(_) => "server",
                None => "unreachable",
            },
        }
    }

    /// Somebody else wrote first: 409, or 422 of a failed `test` in a JSON patch. Nothing was written.
    ///
    /// A schema violation is a 422 too, but names the object and the field.
    pub fn is_conflict(&self) -> bool {
        self.status()
            .is_some_and(|status| status.code == 409 || (status.code == 422 && is_failed_patch(status)))
    }

    /// The API server says that the object would be invalid.
    pub fn is_refused(&self) -> bool {
        self.status().is_some_and(|status| status.code == 422) && !self.is_conflict()
    }

    /// Whether the call was served is not known: it may still be.
    pub fn is_open(&self) -> bool {
        !self.status().is_some_and(|status| (400..500).contains(&status.code))
    }

    /// The namespace is being deleted, which lets nothing new be created, and never ends otherwise.
    pub fn is_terminating(&self) -> bool {
        let causes = self
            .status()
            .and_then(|status| status.details.as_ref())
            .map(|it| &it.causes);
        causes.is_some_and(|causes| causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
    }

    /// The object does not exist.
    pub fn is_absent(&self) -> bool {
        self.status().is_some_and(|status| status.code == 404)
    }

    /// What the API server answered, if it did.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Deadline { .. } | Self::Unexpected(_) => None,
        }
    }
}

/// The API server says no more about a failed patch than that there are details, and leaves them empty.
fn is_failed_patch(status: &Status) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|details| details.kind.is_empty() && details.causes.is_empty())
}

/// Waits for a call to the API server, but not longer than `limit`. `what` completes the sentence "could not …".
pub async fn within<T>(
    limit: Duration,
    what: impl Into<String>,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(Error::Api {
            what: what.into(),
            source: Box::new(source),
        }),
        Err(_) => Err(Error::Deadline {
            what: what.into(),
            limit,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn answered(status: Value) -> Error {
        let status: Status = serde_json::from_value(status).unwrap();
        Error::Api {
            what: "write".to_owned(),
            source: Box::new(kube::Error::Api(Box::new(status))),
        }
    }

    /// As Kubernetes 1.34 answers a JSON patch whose `test` fails or has nothing to look at.
    #[test]
    fn a_failed_test_of_a_patch_is_a_conflict() {
        let error = answered(json!({
            "metadata": {}, "status": "Failure", "reason": "Invalid", "details": {}, "code": 422,
            "message": "the server rejected our request due to an error in our request"
        }));
        assert!(error.is_conflict());
        assert_eq!(error.label(), "conflict");
    }

    #[test]
    fn a_violated_schema_or_a_webhook_is_none() {
        let schema = answered(json!({
            "status": "Failure", "reason": "Invalid", "code": 422, "message": "Redis \"x\" is invalid",
            "details": { "name": "x", "kind": "Redis", "causes": [{ "field": "spec.replicas", "message": "no" }] }
        }));
        let webhook = answered(json!({
            "status": "Failure", "code": 422, "message": "admission webhook \"w\" denied the request: no"
        }));
        for error in [schema, webhook] {
            assert!(!error.is_conflict());
            assert_eq!(error.label(), "refused");
        }
    }

    /// As Kubernetes 1.34 answers whoever creates something in a namespace that is being deleted.
    #[test]
    fn a_namespace_that_is_being_deleted_is_told_from_a_missing_right() {
        let ending = answered(json!({
            "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": "secrets \"x\" is forbidden: unable to create new content in namespace n because it is being terminated",
            "details": { "name": "x", "kind": "secrets", "causes": [
                { "reason": "NamespaceTerminating", "message": "namespace n is being terminated", "field": "metadata.namespace" }
            ] }
        }));
        assert!(ending.is_terminating());
        let forbidden = answered(json!({ "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no" }));
        assert!(!forbidden.is_terminating());
    }

    #[tokio::test]
    async fn a_call_without_an_answer_ends_in_time() {
        let limit = Duration::from_millis(5);
        let error = within::<()>(limit, "read", std::future::pending()).await.unwrap_err();
        assert_eq!(error.label(), "deadline");
        assert!(error.to_string().contains("within 5ms"), "{error}");
    }
}
