//! The Redis protocol as a plain client speaks it: one blocking socket, no pool, no retry, no recovery.
//!
//! On purpose not the library that the operator uses: a client that hides errors or reconnects by itself would hide
//! what the tests look for.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_millis(250);
/// How long a request or a reply may stand still.
const SOCKET_LIMIT: Duration = Duration::from_millis(500);
/// Nothing that a server answers here is nested deeper.
const MAX_DEPTH: u32 = 8;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status or a bulk string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// An absent value.
    Nil,
    /// A list.
    List(Vec<Reply>),
}

/// Why there is no reply. The connection is of no use any more, except after [`Trouble::Refusal`].
#[derive(Debug)]
pub enum Trouble {
    /// The server answered with an error.
    Refusal(String),
    /// The connection failed.
    Connection(io::Error),
    /// Bytes that are no reply.
    Nonsense(String),
}

/// One connection to one server process.
pub struct Connection {
    socket: BufReader<TcpStream>,
}

impl Connection {
    /// Connects, and logs in if a password is given.
    pub fn open(address: SocketAddr, password: Option<&str>) -> Result<Self, Trouble> {
        let socket = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SOCKET_LIMIT))?;
        socket.set_write_timeout(Some(SOCKET_LIMIT))?;
        let mut connection = Self {
            socket: BufReader::new(socket),
        };
        if let Some(password) = password {
            connection.call(&["AUTH", password])?;
        }
        Ok(connection)
    }

    /// Sends one command and reads its reply, each within the socket limit.
    pub fn call(&mut self, command: &[&str]) -> Result<Reply, Trouble> {
        self.call_within(command, Duration::ZERO)
    }

    /// As [`Connection::call`], for a command that the server may hold back for `patience`.
    pub fn call_within(&mut self, command: &[&str], patience: Duration) -> Result<Reply, Trouble> {
        let socket = self.socket.get_mut();
        socket.set_read_timeout(Some(SOCKET_LIMIT.saturating_add(patience)))?;
        let mut request = format!("*{}\r\n", command.len());
        for word in command {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        socket.write_all(request.as_bytes())?;
        self.reply(0)
    }

    /// One field of INFO.
    pub fn info(&mut self, section: &str, field: &str) -> Result<String, Trouble> {
        let Reply::Text(text) = self.call(&["INFO", section])? else {
            return Err(Trouble::Nonsense("INFO is no text".to_owned()));
        };
        info_field(&text, field).ok_or_else(|| Trouble::Nonsense(format!("no {field} in INFO {section}")))
    }

    fn reply(&mut self, depth: u32) -> Result<Reply, Trouble> {
        let line = self.line()?;
        let (kind, rest) = line
            .split_at_checked(1)
            .ok_or_else(|| Trouble::Nonsense("an empty line".to_owned()))?;
        match kind {
            "+" => Ok(Reply::Text(rest.to_owned())),
            "-" => Err(Trouble::Refusal(rest.to_owned())),
            ":" => Ok(Reply::Integer(number(rest)?)),
            "$" => match usize::try_from(number(rest)?) {
                Ok(length) => self.bulk(length),
                Err(_) => Ok(Reply::Nil),
            },
            "*" if depth < MAX_DEPTH => match usize::try_from(number(rest)?) {
                Ok(length) => (0..length)
                    .map(|_| self.reply(depth.saturating_add(1)))
                    .collect::<Result<_, _>>()
                    .map(Reply::List),
                Err(_) => Ok(Reply::Nil),
            },
            _ => Err(Trouble::Nonsense(line)),
        }
    }

    fn line(&mut self) -> Result<String, Trouble> {
        let mut bytes = Vec::new();
        self.socket.read_until(b'\n', &mut bytes)?;
        match bytes.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(Trouble::Connection(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn bulk(&mut self, length: usize) -> Result<Reply, Trouble> {
        let mut bytes = vec![0; length.saturating_add(2)];
        self.socket.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// One field of an INFO text.
pub fn info_field(text: &str, field: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(|value| value.trim_end().to_owned())
}

fn number(text: &str) -> Result<i64, Trouble> {
    text.parse()
        .map_err(|_| Trouble::Nonsense(format!("{text:?} is no number")))
}

impl Reply {
    /// The integer, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(_) | Self::Nil | Self::List(_) => None,
        }
    }

    /// The texts of a list; anything else in it is left out.
    pub fn texts(self) -> Vec<String> {
        let Self::List(replies) = self else {
            return Vec::new();
        };
        let text = |reply| match reply {
            Self::Text(text) => Some(text),
            Self::Integer(_) | Self::Nil | Self::List(_) => None,
        };
        replies.into_iter().filter_map(text).collect()
    }
}

impl Trouble {
    /// A short name for logs: the first word of an error reply, or what befell the connection.
    pub fn kind(&self) -> String {
        match self {
            Self::Refusal(text) => text.split_whitespace().next().unwrap_or("empty").to_owned(),
            Self::Connection(error) => match error.kind() {
                // a read limit that has passed shows as WouldBlock on Unix
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "timeout".to_owned(),
                io::ErrorKind::ConnectionRefused => "refused".to_owned(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset".to_owned(),
                io::ErrorKind::UnexpectedEof => "closed".to_owned(),
                other => other.to_string(),
            },
            Self::Nonsense(_) => "nonsense".to_owned(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refusal(text) => write!(out, "the server answered {text:?}"),
            Self::Connection(error) => write!(out, "the connection failed: {error}"),
            Self::Nonsense(what) => write!(out, "the server answered no RESP: {what}"),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// A server that answers whatever it is asked with these bytes and hangs up.
    fn answering(bytes: &'static [u8]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = [0; 64];
            assert!(socket.read(&mut request).unwrap() > 0);
            socket.write_all(bytes).unwrap();
        });
        Connection::open(address, None).unwrap()
    }

    fn asked(bytes: &'static [u8]) -> Result<Reply, String> {
        answering(bytes).call(&["PING"]).map_err(|trouble| trouble.kind())
    }

    #[test]
    fn every_kind_of_reply_is_read() {
        assert_eq!(asked(b"+PONG\r\n"), Ok(Reply::Text("PONG".to_owned())));
        assert_eq!(asked(b":-7\r\n"), Ok(Reply::Integer(-7)));
        assert_eq!(asked(b"$-1\r\n"), Ok(Reply::Nil));
        assert_eq!(asked(b"$4\r\na\r\nb\r\n"), Ok(Reply::Text("a\r\nb".to_owned())));
        let list = asked(b"*3\r\n$1\r\nx\r\n*0\r\n$1\r\ny\r\n").unwrap();
        assert_eq!(list.texts(), ["x", "y"]);
    }

    #[test]
    fn trouble_has_a_name() {
        assert_eq!(asked(b"-READONLY no\r\n"), Err("READONLY".to_owned()));
        assert_eq!(asked(b"$10\r\nabc"), Err("closed".to_owned()));
        assert_eq!(asked(b"+half a li"), Err("closed".to_owned()));
        assert_eq!(asked(b"hello\r\n"), Err("nonsense".to_owned()));
        assert_eq!(asked(b":x\r\n"), Err("nonsense".to_owned()));
    }

    #[test]
    fn a_silent_server_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection = Connection::open(listener.local_addr().unwrap(), None).unwrap();
        let begun = std::time::Instant::now();
        assert_eq!(connection.call(&["PING"]).unwrap_err().kind(), "timeout");
        assert!(begun.elapsed() < SOCKET_LIMIT * 2);
    }
}
