//! What is known of one instance, and how each event changes it. No I/O here.

use super::Seen;
use crate::redis::{CallError, Connection, OpenError};
use redis_operator_core::observed::{Answer, Moment, Reach};
use redis_operator_core::replication::Upstream;
use std::sync::Arc;
use std::time::Duration;

/// Events come several times a second. After so long without one this process was not running, or was short of time, and
/// has listened to nobody: a silence begins anew.
pub const ASLEEP: Duration = Duration::from_secs(5);

/// A connection, as far as the state of a post depends on it.
pub trait Line {
    /// It is broken, or was given up.
    fn is_closed(&self) -> bool;
}

impl Line for Connection {
    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}

/// What is known of one instance. Each event says whether it is worth a wake-up.
///
/// Generic over the connection, so that a simulation can run it over its own network.
pub struct State<C = Connection> {
    connection: Option<Arc<C>>,
    attached: bool,
    /// The last answer came on this very connection.
    answered: bool,
    reach: Reach,
    last: Option<Answer>,
    /// When it was tried first, and heard last.
    tried: Option<Moment>,
    heard: Option<Moment>,
    /// When anything was known last, be it that nothing answers.
    touched: Option<Moment>,
    /// What the first attempt to open a connection finds is not known yet; nor, after a break, what the next one does.
    reopening: bool,
}

impl<C: Line> Default for State<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Line> State<C> {
    /// Nothing is known.
    pub fn new() -> Self {
        Self {
            connection: None,
            attached: false,
            answered: false,
            reach: Reach::Untried,
            last: None,
            tried: None,
            heard: None,
            touched: None,
            reopening: true,
        }
    }

    /// An attempt to connect begins.
    pub fn trying(&mut self, now: Moment) {
        self.touch(now);
        self.tried.get_or_insert(now);
    }

    /// A connection is open; what it says is not known yet.
    pub fn opened(&mut self, connection: Arc<C>, now: Moment) {
        self.touch(now);
        self.heard = Some(now);
        self.connection = Some(connection);
        (self.attached, self.answered) = (false, false);
    }

    /// The attempt failed.
    pub fn not_opened(&mut self, error: &OpenError, now: Moment) -> bool {
        self.touch(now);
        self.reopening = false;
        match error {
            OpenError::Refused => {
                let since = match self.reach {
                    Reach::Refused { since } => since,
                    _ => now,
                };
                self.turn(Reach::Refused { since })
            }
            OpenError::Unreachable(_) => self.silent(false),
            // whoever cannot ask has listened to nobody
            OpenError::Own(_) => {
                self.begin_anew(now);
                false
            }
            OpenError::Hung => self.silent(true),
            OpenError::Alive(text) | OpenError::Garbage(text) => self.alive(text, now),
        }
    }

    /// It answered on this connection.
    pub fn answered(&mut self, connection: &Arc<C>, answer: Answer, now: Moment) -> bool {
        if !self.holds(connection) {
            return false;
        }
        self.touch(now);
        let answer = self.since_still(answer, now);
        let news = self.last.as_ref().is_none_or(|last| gist(last) != gist(&answer));
        self.reopening = false;
        self.answered = true;
        self.heard = Some(now);
        self.last = Some(answer.clone());
        self.turn(Reach::Answers(Box::new(answer))) || news
    }

    /// What was said in an answer was true when that came, at the latest: nothing arrived since then.
    fn since_still(&self, answer: Answer, now: Moment) -> Answer {
        let stood = self
            .last
            .as_ref()
            .filter(|last| on_link(last).is_some() && on_link(last) == on_link(&answer));
        let still_since = stood.map_or(now, |last| last.still_since);
        Answer { still_since, ..answer }
    }

    /// A probe on this connection failed.
    pub fn failed(&mut self, connection: &Arc<C>, error: &CallError, now: Moment) -> bool {
        if !self.holds(connection) {
            return false;
        }
        self.touch(now);
        match error {
            CallError::Closed => self.broke(connection),
            CallError::TimedOut => {
                self.forget();
                self.silent(false)
            }
            CallError::Unreadable(_) => {
                self.forget();
                self.alive(&error.to_string(), now)
            }
            CallError::Alive(text) => self.alive(text, now),
            CallError::Denied(_) | CallError::TooOld(_) | CallError::NotAsClaimed(_) => {
                self.alive(&error.to_string(), now)
            }
        }
    }

    /// This connection broke: always worth a wake-up, unless that is known already.
    pub fn broke(&mut self, connection: &Arc<C>) -> bool {
        if !self.holds(connection) {
            return false;
        }
        self.forget();
        self.reopening = true;
        self.silent(false);
        true
    }

    /// This connection was attached.
    pub fn attached(&mut self, connection: &Arc<C>) {
        self.attached |= self.holds(connection);
    }

    /// What followed this connection is known; without one, what followed the last one.
    pub fn is_settled(&self, connection: Option<&Arc<C>>) -> bool {
        !self.reopening && connection.is_none_or(|connection| !self.holds(connection))
    }

    /// The connection, if there is one.
    pub fn connection(&self) -> Option<&Arc<C>> {
        self.connection.as_ref()
    }

    /// Its connection was attached.
    pub fn is_attached(&self) -> bool {
        self.attached
    }

    /// The attached connection, if this process answered on it.
    pub fn connection_to(&self, run_id: &str) -> Option<&Arc<C>> {
        let speaks = self.attached && self.answered;
        let last = self.last.as_ref().filter(|_| speaks)?;
        self.connection
            .as_ref()
            .filter(|it| last.replication.run_id == run_id && !it.is_closed())
    }

    /// Whether it can be reached.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// All that a pass is told.
    pub fn seen(&self) -> Seen {
        Seen {
            reach: self.reach.clone(),
            last: self.last.clone(),
            attached: self.attached && self.connection.as_ref().is_some_and(|it| !it.is_closed()),
        }
    }

    fn holds(&self, connection: &Arc<C>) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(held, connection))
    }

    fn touch(&mut self, now: Moment) {
        let before = self.touched.replace(now);
        if before.is_some_and(|before| now.since(before) >= ASLEEP) {
            self.begin_anew(now);
        }
    }

    /// Nobody listened up to now: a silence begins now at the earliest.
    fn begin_anew(&mut self, now: Moment) {
        (self.heard, self.tried) = (self.heard.and(Some(now)), self.tried.and(Some(now)));
        if let Reach::Refused { since } | Reach::Silent { since, .. } = &mut self.reach {
            *since = now;
        }
    }

    fn forget(&mut self) {
        self.connection = None;
        (self.attached, self.answered) = (false, false);
        self.reopening = false;
    }

    fn silent(&mut self, accepts: bool) -> bool {
        let since = self.heard.or(self.tried).unwrap_or_default();
        self.turn(Reach::Silent { since, accepts })
    }

    fn alive(&mut self, text: &str, now: Moment) -> bool {
        self.reopening = false;
        self.heard = Some(now);
        self.turn(Reach::Alive(text.to_owned()))
    }

    fn turn(&mut self, reach: Reach) -> bool {
        let turned = kind(&self.reach) != kind(&reach);
        self.reach = reach;
        turned
    }
}

/// The kind of a reach: a change of it is worth a wake-up.
pub(super) fn kind(reach: &Reach) -> &'static str {
    match reach {
        Reach::Untried => "untried",
        Reach::Answers(_) => "answers",
        Reach::Alive(_) => "alive",
        Reach::Refused { .. } => "refused",
        Reach::Silent { accepts: true, .. } => "hung",
        Reach::Silent { accepts: false, .. } => "silent",
    }
}

/// Which process has received how much, of what and from whom, over a link that is up.
fn on_link(answer: &Answer) -> Option<(&str, &str, &str, u64)> {
    let it = &answer.replication;
    let upstream = it.upstream.as_ref().filter(|upstream| upstream.link_up)?;
    Some((&it.run_id, &upstream.host, &it.id, upstream.read_offset))
}

/// An answer without what changes all the time: offsets, times and keys.
fn gist(answer: &Answer) -> Answer {
    let mut gist = answer.clone();
    (gist.asked, gist.still_since) = Default::default();
    gist.replication.started_micros = 0;
    gist.replication.offset = 0;
    gist.replication.keys = 0;
    gist.replication.upstream = gist.replication.upstream.map(|upstream| Upstream {
        down_seconds: None,
        heard_seconds: None,
        read_offset: 0,
        ..upstream
    });
    gist
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
