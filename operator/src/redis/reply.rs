//! Replies of a server, and what they mean for a transaction.

use super::CallError;
use fred::error::ErrorKind;
use fred::types::Resp3Frame;

/// A reply as fred hands it over.
pub(super) type Raw = Result<Resp3Frame, fred::error::Error>;

/// One command of a transaction.
pub(super) struct Command {
    /// Its name, for errors: `CONFIG SET`.
    pub(super) name: &'static str,
    /// Its words.
    pub(super) words: Vec<String>,
    /// A reply may quote a password.
    pub(super) secret: bool,
}

/// A reply of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Text(String),
    Number(i64),
    List(Vec<Reply>),
    Error(String),
    Other,
}

pub(super) fn read(raw: Raw) -> Result<Reply, CallError> {
    match raw {
        Ok(frame) => Ok(reply(frame)),
        Err(error) => match error.kind() {
            ErrorKind::Timeout => Err(CallError::TimedOut),
            ErrorKind::Protocol | ErrorKind::Parse => Err(CallError::Unreadable(shorten(error.details()))),
            _ => Err(CallError::Closed),
        },
    }
}

fn reply(frame: Resp3Frame) -> Reply {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match frame {
        Resp3Frame::SimpleString { data, .. } | Resp3Frame::BlobString { data, .. } => Reply::Text(text(&data)),
        Resp3Frame::SimpleError { data, .. } => Reply::Error(data.to_string()),
        Resp3Frame::BlobError { data, .. } => Reply::Error(text(&data)),
        Resp3Frame::Number { data, .. } => Reply::Number(data),
        Resp3Frame::Array { data, .. } => Reply::List(data.into_iter().map(reply).collect()),
        _ => Reply::Other,
    }
}

/// Reads the replies to MULTI, to each command and to EXEC.
pub(super) fn results(commands: &[Command], mut replies: Vec<Reply>) -> Result<Vec<Reply>, CallError> {
    let last = replies.pop();
    let names = || std::iter::once(("MULTI", false)).chain(commands.iter().map(|c| (c.name, c.secret)));
    // An error before EXEC: nothing ran.
    for ((name, secret), reply) in names().zip(&replies) {
        if let Reply::Error(text) = reply {
            return Err(said(name, text, secret));
        }
    }
    let results = match last {
        Some(Reply::List(results)) if results.len() == commands.len() => results,
        Some(Reply::Error(text)) => return Err(said("EXEC", &text, false)),
        other => {
            return Err(CallError::Unreadable(format!(
                "EXEC was answered with {}",
                kind(other.as_ref())
            )));
        }
    };
    for ((name, secret), reply) in names().skip(1).zip(&results) {
        if let Reply::Error(text) = reply {
            return Err(CallError::Denied(denial(name, text, secret)));
        }
    }
    Ok(results)
}

fn said(name: &str, text: &str, secret: bool) -> CallError {
    if is_busy(text) {
        CallError::Alive(shorten(text))
    } else {
        CallError::Denied(denial(name, text, secret))
    }
}

fn denial(name: &str, text: &str, secret: bool) -> String {
    if secret {
        // The server may quote the password.
        let code = text.split_whitespace().next().unwrap_or_default();
        format!("{name}: {}", shorten(code))
    } else {
        format!("{name}: {}", shorten(text))
    }
}

/// Errors of a server that lives but does not take commands now.
fn is_busy(text: &str) -> bool {
    let code = text.split_whitespace().next().unwrap_or_default();
    matches!(code, "BUSY" | "LOADING" | "NOAUTH" | "MASTERDOWN") || text.contains("max number of clients")
}

fn kind(reply: Option<&Reply>) -> String {
    match reply {
        Some(Reply::List(items)) => format!("{} results", items.len()),
        Some(Reply::Text(text)) => shorten(text),
        Some(Reply::Number(n)) => n.to_string(),
        Some(Reply::Error(text)) => shorten(text),
        Some(Reply::Other) => "something else".to_owned(),
        None => "nothing".to_owned(),
    }
}

pub(super) fn shorten(text: &str) -> String {
    text.chars().take(200).collect()
}
