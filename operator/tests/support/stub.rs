//! Servers that are no Redis.

use super::{PORT, free_address};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Listens and treats every connection alike; ends when it is dropped.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

/// What a stub does with a connection.
#[derive(Clone)]
pub(crate) enum Habit {
    /// Closes it at once.
    Close,
    /// Says this without being asked, and closes.
    Say(Vec<u8>),
    /// Reads commands and answers each; closes instead if there is no answer.
    Answer(Reply),
}

type Reply = Arc<dyn Fn(&[String]) -> Option<Vec<u8>> + Send + Sync>;

impl Stub {
    pub(crate) async fn start(habit: Habit) -> Self {
        Self::at(SocketAddr::new(free_address(), PORT), habit).await
    }

    /// One where somebody else was before.
    pub(crate) async fn at(address: SocketAddr, habit: Habit) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new(); // which end with it
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, habit.clone()));
            }
        });
        Self { address, task }
    }

    /// One that answers each command, by its first word, with these bytes.
    pub(crate) async fn answering(answer: impl Fn(&[String]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::start(Habit::Answer(Arc::new(answer))).await
    }

    /// One that lets the operator in and answers its transactions; EXEC with these bytes.
    pub(crate) async fn executing(results: Vec<u8>) -> Self {
        let info = b"$20\r\nredis_version:7.0.15\r\n".to_vec();
        Self::answering(move |words| {
            Some(match words[0].as_str() {
                "AUTH" | "MULTI" => b"+OK\r\n".to_vec(),
                "INFO" if words.len() == 2 => info.clone(),
                "CLIENT" => b":1\r\n".to_vec(),
                "EXEC" => results.clone(),
                _ => b"+QUEUED\r\n".to_vec(),
            })
        })
        .await
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, habit: Habit) {
    match habit {
        Habit::Close => {}
        Habit::Say(text) => {
            let _ = stream.write_all(&text).await;
        }
        Habit::Answer(answer) => {
            let mut stream = BufReader::new(stream);
            while let Some(words) = command(&mut stream).await {
                let Some(text) = answer(&words) else { return };
                if stream.write_all(&text).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let count = number(stream).await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; number(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned());
    }
    Some(words)
}

async fn number(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}
