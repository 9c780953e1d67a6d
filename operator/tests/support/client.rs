//! A client for tests that owes nothing to the code under test.

use super::PATIENCE;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A blocking connection that speaks RESP2.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    pub(crate) fn try_connect(address: SocketAddr) -> Option<Self> {
        TcpStream::connect(address).ok().map(Self::over)
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Does not wait longer than this for a reply.
    pub(crate) fn hurry(self, limit: Duration) -> Self {
        self.stream.get_ref().set_read_timeout(Some(limit)).unwrap();
        self
    }

    /// The reply as text: an error with its `-`, an array as lines, `(nil)`; empty if the connection was closed, or is silent.
    pub(crate) fn call(&mut self, words: &[&str]) -> String {
        self.send(words);
        self.reply()
    }

    /// Sends and does not wait.
    pub(crate) fn send(&mut self, words: &[&str]) {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        // A closed connection shows when the reply is read.
        let _ = self.stream.get_mut().write_all(text.as_bytes());
    }

    pub(crate) fn reply(&mut self) -> String {
        let mut line = String::new();
        if self.stream.read_line(&mut line).is_err() || line.is_empty() {
            return String::new();
        }
        let line = line.trim_end().to_owned();
        let rest = line[1..].to_owned();
        match &line[..1] {
            "$" | "*" if rest == "-1" => "(nil)".to_owned(),
            "$" => {
                let mut data = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut data).unwrap();
                String::from_utf8_lossy(&data[..data.len() - 2]).into_owned()
            }
            "*" => {
                let items: Vec<String> = (0..rest.parse().unwrap()).map(|_| self.reply()).collect();
                items.join("\n")
            }
            "-" => line,
            _ => rest,
        }
    }

    /// What is scheduled comes to be in progress, perhaps between these two questions: in this order.
    pub(crate) fn rewrites_its_log(&mut self) -> bool {
        let mut is = |field| self.info(field).as_deref() != Some("0");
        is("aof_rewrite_scheduled") || is("aof_rewrite_in_progress")
    }

    /// A field of INFO.
    pub(crate) fn info(&mut self, field: &str) -> Option<String> {
        let info = self.call(&["INFO", "everything"]);
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
        line.map(|value| value.trim().to_owned())
    }
}
