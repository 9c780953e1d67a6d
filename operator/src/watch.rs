//! Placeholder until the watcher is here: its interface, seeing nothing.
use crate::redis::{Connection, Login};
use redis_operator_core::observed::{Answer, Moment, Reach};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};
pub struct Target {
    pub pod: String,
    pub uid: String,
    pub address: IpAddr,
}
pub struct Seen {
    pub reach: Reach,
    pub last: Option<Answer>,
    pub attached: bool,
}
#[derive(Clone)]
pub struct Clock;
impl Clock {
    pub fn new() -> Self {
        Clock
    }
    pub fn now(&self) -> Moment {
        Moment(0)
    }
}
pub struct Settings {
    pub probe_every: Duration,
    pub call_limit: Duration,
    pub port: u16,
}
pub struct Watch;
impl Watch {
    pub fn new(_: Login, _: Settings, _: Clock, _: Arc<dyn Fn() + Send + Sync>) -> Self {
        Watch
    }
    pub fn set_targets(&self, _: &[Target]) {}
    pub async fn observe(&self, _: Option<&str>) -> BTreeMap<String, Seen> {
        BTreeMap::new()
    }
    pub fn connection_to(&self, _: &str, _: &str) -> Option<Arc<Connection>> {
        None
    }
    pub fn unattached(&self) -> Vec<String> {
        vec![]
    }
    pub async fn attach(&self, _: &[String]) {}
}
