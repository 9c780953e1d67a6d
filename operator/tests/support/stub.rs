//! Servers that are no Redis.

use super::{PORT, free_address};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

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
    /// Answers whatever arrives first with the first of these, and so on; the last one again and again.
    Answer(Vec<Vec<u8>>),
    /// Reads the first request, answers with this and closes.
    AnswerAndClose(Vec<u8>),
}

impl Stub {
    pub(crate) async fn start(habit: Habit) -> Self {
        let address = SocketAddr::new(free_address(), PORT);
        let listener = TcpListener::bind(address).await.unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, habit.clone()));
            }
        });
        Self { address, task }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, habit: Habit) {
    let mut buffer = vec![0; 65_536];
    match habit {
        Habit::Close => {}
        Habit::Say(text) => {
            let _ = stream.write_all(&text).await;
        }
        Habit::AnswerAndClose(text) => {
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(&text).await;
        }
        Habit::Answer(texts) => {
            let mut index = 0;
            while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                if stream.write_all(&texts[index]).await.is_err() {
                    break;
                }
                index = (index + 1).min(texts.len() - 1);
            }
        }
    }
}
