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
    /// A schema violation is a 422 too, but names the offending field; a failed patch does not.
    pub fn is_conflict(&self) -> bool {
        self.status()
            .is_some_and(|status| status.code == 409 || (status.code == 422 && is_failed_patch(status)))
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

fn is_failed_patch(status: &Status) -> bool {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice());
    causes.unwrap_or_default().iter().all(|cause| cause.field.is_empty())
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
