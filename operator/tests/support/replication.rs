//! What tests of two or more servers do and ask by the operator's own connections.

use super::{PORT, wait_for};
use redis_operator::redis::Connection;
use redis_operator_core::observed::Moment;
use redis_operator_core::record::{Claim, Process};
use redis_operator_core::replication::Replication;

/// What a server says of its replication.
pub(crate) async fn ask(connection: &Connection) -> Replication {
    connection.probe(Moment(0)).await.unwrap().replication
}

/// A claim on what was frozen.
pub(crate) fn claim(frozen: &Replication) -> Claim {
    Claim {
        process: Process {
            pod: "redis-example-0".to_owned(),
            uid: "uid".to_owned(),
            run_id: frozen.run_id.clone(),
            address: "10.0.0.1".to_owned(),
            node: String::new(),
            container: None,
            ended: false,
        },
        id: frozen.id.clone(),
        offset: frozen.offset,
    }
}

/// Has a server follow a master, with a user of its own there.
pub(crate) async fn attach(replica: &Connection, master: &Connection, host: &str, user: &str) {
    master.add_user(user, "members-password").await.unwrap();
    replica.follow(host, PORT, user, "members-password").await.unwrap();
}

/// Waits until the replica shows what the master showed before.
pub(crate) async fn synced(replica: &Connection, master: &Connection) {
    wait_for("the replica to be synced", async || {
        let (goal, found) = (ask(master).await, ask(replica).await);
        (found.link_is_up() && found.id == goal.id && found.offset >= goal.offset).then_some(())
    })
    .await;
}
