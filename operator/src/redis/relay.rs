//! What stands between fred and a server: it owns the server's socket and lets only bounded, well-formed RESP2 through.
//!
//! fred's parser recurses once per nested array, so a reply of a few kilobytes of `*1\r\n` would overflow the stack and
//! end this process with everything that it manages. It has no limit to the size of a reply, and it begins anew with every
//! piece that arrives, so long lines and lists would keep a thread busy for seconds. Owning the socket says
//! exactly when it broke, too, and whether anything was heard on it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

/// A transaction's results hold lists, and nothing else is nested.
const DEPTH: usize = 4;
/// Bytes of one reply. A probe's has some thousand, and a few hundred for each user. An application can inflate INFO's
/// list of errors, and whoever reads the reply needs several times its size: one resource must not take the memory that
/// all the others need as well.
const SIZE: usize = 1 << 20;
const TOO_LARGE: &str = "a reply of more than 1 MiB (CONFIG RESETSTAT empties INFO's list of errors)";
/// Bytes of one line, such as an error.
const LINE: usize = 64 << 10;
/// Items of one reply, in all its lists. A probe's has some twenty, and one for each user.
const ITEMS: i64 = 20_000;

/// Why a relay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Closed before the server said anything.
    Unheard,
    /// Closed later.
    Closed,
    /// The server said this instead of RESP, or too much.
    Nonsense(String),
    /// This side gave it up: a reply did not come in time.
    GivenUp,
}

/// Carries bytes both ways until either side closes or the server talks nonsense.
pub(super) async fn relay(local: &mut TcpStream, server: &mut TcpStream) -> End {
    let mut heard = false;
    let (from_local, to_local) = local.split();
    let (from_server, to_server) = server.split();
    let end = tokio::select! {
        () = up(from_local, to_server) => None,
        end = down(from_server, to_local, &mut heard) => end,
    };
    end.unwrap_or(if heard { End::Closed } else { End::Unheard })
}

/// Ends with the local side only: what the server said before it closed must still be read.
async fn up(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) {
    let mut buffer = Vec::with_capacity(4096);
    while from.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
        if to.write_all(&buffer).await.is_err() {
            std::future::pending::<()>().await;
        }
        buffer.clear();
    }
}

async fn down(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, heard: &mut bool) -> Option<End> {
    let mut gate = Gate::new();
    let mut buffer = Vec::with_capacity(16 << 10);
    while from.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
        *heard = true;
        if let Err(what) = gate.admit(&buffer) {
            let said: Vec<u8> = buffer.iter().copied().take(40).collect();
            return Some(End::Nonsense(format!("{what}: {}", said.escape_ascii())));
        }
        to.write_all(&buffer).await.ok()?;
        buffer.clear();
    }
    None
}

/// Follows the frames of RESP2 without keeping them.
struct Gate {
    /// Items that each open array still lacks.
    open: Vec<i64>,
    at: At,
    previous: u8,
    size: usize,
    items: i64,
}

/// What the next byte belongs to.
enum At {
    Kind,
    Line(usize),
    Number(u8, Vec<u8>),
    Bulk(i64),
}

impl Gate {
    fn new() -> Self {
        Self {
            open: Vec::new(),
            at: At::Kind,
            previous: 0,
            size: 0,
            items: 0,
        }
    }

    fn admit(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        bytes.iter().try_for_each(|&byte| self.step(byte))
    }

    fn step(&mut self, byte: u8) -> Result<(), &'static str> {
        self.size += 1;
        if self.size > SIZE {
            return Err(TOO_LARGE);
        }
        let line_ends = self.previous == b'\r' && byte == b'\n';
        self.previous = byte;
        match &mut self.at {
            At::Kind => {
                self.at = match byte {
                    b'+' | b'-' => At::Line(0),
                    b':' | b'$' | b'*' => At::Number(byte, Vec::new()),
                    _ => return Err("not RESP"),
                }
            }
            At::Line(_) if line_ends => self.complete(),
            At::Line(length) if *length > LINE => return Err("a line without end"),
            At::Line(length) => *length += 1,
            At::Number(kind, digits) if line_ends => {
                let number = str::from_utf8(digits)
                    .ok()
                    .and_then(|text| text.trim_end_matches('\r').parse().ok());
                let (kind, number) = (*kind, number.ok_or("not a number")?);
                self.number(kind, number)?;
            }
            At::Number(_, digits) if digits.len() > 20 => return Err("not a number"),
            At::Number(_, digits) => digits.push(byte),
            At::Bulk(left) if *left > 1 => *left -= 1,
            At::Bulk(_) => self.complete(),
        }
        Ok(())
    }

    fn number(&mut self, kind: u8, number: i64) -> Result<(), &'static str> {
        match (kind, number) {
            (b':', _) | (_, -1) | (b'*', 0) => self.complete(),
            (_, ..0) => return Err("a negative length"),
            // before any of it is passed on
            (b'$', length) if usize::try_from(length).is_ok_and(|length| length > SIZE) => return Err(TOO_LARGE),
            (b'$', length) => self.at = At::Bulk(length.saturating_add(2)),
            (_, items) => {
                self.items = self.items.saturating_add(items);
                if self.open.len() >= DEPTH {
                    return Err("a reply nested too deeply");
                }
                if self.items > ITEMS {
                    return Err("a list that is too long");
                }
                self.open.push(items);
                self.at = At::Kind;
            }
        }
        Ok(())
    }

    /// A frame is complete, and with it every array whose last item it was.
    fn complete(&mut self) {
        self.at = At::Kind;
        while let Some(lacking) = self.open.last_mut() {
            *lacking -= 1;
            if *lacking > 0 {
                return;
            }
            self.open.pop();
        }
        (self.size, self.items) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(text: &str) -> bool {
        // In pieces or at once: the same.
        let whole = Gate::new().admit(text.as_bytes());
        let mut gate = Gate::new();
        let pieces = text.bytes().try_for_each(|byte| gate.admit(&[byte]));
        assert_eq!(whole, pieces);
        whole.is_ok()
    }

    #[test]
    fn replies_pass() {
        for text in [
            "+OK\r\n",
            "-ERR no\r\n:5\r\n:-5\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n",
            "$8\r\n*1\r\n*1\r\n\r\n+OK\r\n",
            "*3\r\n$3\r\nabc\r\n*2\r\n+a\r\n*0\r\n:1\r\n+next\r\n",
            "+a\rb\nc\r\n",
        ] {
            assert!(admits(text), "{text:?}");
        }
    }

    #[test]
    fn anything_else_does_not() {
        for text in [
            "HTTP/1.1 200 OK\r\n",
            "%1\r\n",
            "_\r\n",
            "+OK\r\nx",
            ":five\r\n",
            ":5\n6\r\n",
            "$-2\r\n",
            "*?\r\n",
            "$123456789012345678901234567890",
            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        ] {
            assert!(!admits(text), "{text:?}");
        }
    }

    #[test]
    fn each_reply_has_limits_of_its_own() {
        let nested = "*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n";
        assert!(admits(&nested.repeat(10)));
        let list = format!("*10000\r\n{}", ":1\r\n".repeat(10_000));
        assert!(admits(&list.repeat(3)));
        assert!(!admits(&format!("*3\r\n{}", list.repeat(3))));
        assert!(!admits("*9999999999\r\n"));
        let line = "x".repeat(LINE);
        assert!(admits(&format!("+{line}\r\n+{line}\r\n")));
        assert!(!admits(&format!("+{line}{line}")));
    }

    #[test]
    fn a_reply_has_a_limit_of_bytes() {
        let mut gate = Gate::new();
        let half = "x".repeat(SIZE / 2 - 100);
        let bulk = format!("${}\r\n{half}\r\n", half.len());
        for _ in 0..3 {
            assert_eq!(gate.admit(bulk.as_bytes()), Ok(()));
        }
        assert_eq!(gate.admit(format!("*3\r\n{bulk}{bulk}").as_bytes()), Ok(()));
        assert_eq!(gate.admit(bulk.as_bytes()), Err(TOO_LARGE));
    }

    /// Scripts that return ever new errors let INFO grow: hundreds of such instances fit into the operator's memory.
    #[test]
    fn an_inflated_list_of_errors_is_refused_before_any_of_it_is_read() {
        assert!(admits(&format!("${0}\r\n{1}\r\n", 1 << 19, "x".repeat(1 << 19))));
        assert!(!admits(&format!("*3\r\n${}\r\n", (1 << 20) + 1)));
    }
}
