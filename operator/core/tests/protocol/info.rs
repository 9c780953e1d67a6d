//! What INFO says, and what is made of it: lines as redis 7.0 writes them.

use redis_operator_core::replication::{Replication, Role, Unreadable};

const MASTER: &str = "# Server\r
redis_version:7.0.15\r
run_id:92bb06127d04bd67a2109147c54caaf238e89397\r
server_time_usec:1795271520896493\r
uptime_in_seconds:4\r
# Persistence\r
loading:0\r
async_loading:0\r
aof_enabled:0\r
# Replication\r
role:master\r
connected_slaves:3\r
slave0:ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=0\r
slave1:ip=10.0.0.3,port=6379,state=online,offset=100,lag=0\r
slave2:ip=10.0.0.4,port=6379,state=online,offset=100,lag=1\r
master_replid:3bbe5f1c42e01db1694a8bcc0c4365eaddc5f005\r
master_replid2:0000000000000000000000000000000000000000\r
master_repl_offset:100\r
second_repl_offset:-1\r
# Keyspace\r
db0:keys=1,expires=0,avg_ttl=0\r
db3:keys=2,expires=1,avg_ttl=0\r
# Errorstats\r
errorstat_READONLY:count=5\r
errorstat_MASTERDOWN:count=2\r
";

const REPLICA: &str = "redis_version:7.0.15
run_id:92bb06127d04bd67a2109147c54caaf238e89397
role:slave
master_host:10.0.0.1
master_port:6379
master_link_status:up
master_last_io_seconds_ago:3
master_sync_in_progress:0
slave_read_repl_offset:120
slave_repl_offset:100
slave_priority:10
master_replid:3bbe5f1c42e01db1694a8bcc0c4365eaddc5f005
master_replid2:52ef9de867d032f43ae0c3708cf7800e79a3ba94
master_repl_offset:100
second_repl_offset:51
";

/// INFO with some of its lines changed.
fn with(info: &str, changes: &[(&str, &str)]) -> Replication {
    read(info, changes).unwrap()
}

fn read(info: &str, changes: &[(&str, &str)]) -> Result<Replication, Unreadable> {
    let change = |info: String, (from, to): &(&str, &str)| {
        assert!(info.contains(from), "{from}");
        info.replace(from, to)
    };
    Replication::parse(&changes.iter().fold(info.to_owned(), change))
}

#[test]
fn a_master_says_who_it_is_and_what_it_has() {
    let it = with(MASTER, &[]);
    assert_eq!(it.run_id, "92bb06127d04bd67a2109147c54caaf238e89397");
    assert_eq!((it.role, it.upstream.clone()), (Role::Master, None));
    assert_eq!(
        (it.version.as_str(), it.started_micros),
        ("7.0.15", 1_795_271_516_896_493)
    );
    assert_eq!(
        (it.id.as_str(), it.offset, it.placed),
        ("3bbe5f1c42e01db1694a8bcc0c4365eaddc5f005", 100, true)
    );
    assert_eq!((it.id2.clone(), it.forked_at), (None, None));
    assert_eq!((it.keys, it.misdirected), (3, 7));
    assert_eq!(it.online, 2, "one of three waits for its sync");
    assert!(!it.loading && !it.appendonly && !it.link_is_up() && !it.is_frozen());
    assert_eq!(it.priority, 100, "a master does not say it");
}

#[test]
fn a_promoted_one_says_where_it_was_promoted() {
    let id2 = "52ef9de867d032f43ae0c3708cf7800e79a3ba94";
    let before = [(
        "master_replid2:0000000000000000000000000000000000000000",
        "master_replid2:52ef9de867d032f43ae0c3708cf7800e79a3ba94",
    )];
    let it = with(MASTER, &[before[0], ("second_repl_offset:-1", "second_repl_offset:51")]);
    assert_eq!(
        (it.id2.as_deref(), it.forked_at),
        (Some(id2), Some(50)),
        "the last offset of the id before"
    );
    let it = with(MASTER, &[before[0], ("second_repl_offset:-1", "second_repl_offset:1")]);
    assert_eq!(it.forked_at, Some(0));
    let it = with(MASTER, &[before[0], ("second_repl_offset:-1", "second_repl_offset:0")]);
    assert_eq!(it.forked_at, None);
    let it = with(MASTER, &[("second_repl_offset:-1", "second_repl_offset:51")]);
    assert_eq!(
        (it.id2, it.forked_at),
        (None, None),
        "an offset without an id says nothing"
    );
}

#[test]
fn a_replica_says_whom_it_follows_and_how_far_it_is() {
    let it = with(REPLICA, &[]);
    let upstream = it.upstream.clone().unwrap();
    assert_eq!(
        (it.role, it.offset, it.placed, it.priority),
        (Role::Replica, 100, true, 10)
    );
    assert_eq!(
        (upstream.host.as_str(), upstream.port, upstream.read_offset),
        ("10.0.0.1", 6379, 120)
    );
    assert_eq!((upstream.heard_seconds, upstream.down_seconds), (Some(3), None));
    assert!(it.link_is_up() && !it.is_frozen() && !upstream.syncing);
    assert_eq!(it.forked_at, Some(50));
    assert_eq!(with(REPLICA, &[("role:slave", "role:replica")]).role, Role::Replica);
    let older = with(REPLICA, &[("slave_read_repl_offset:120\n", "")]);
    assert_eq!(
        older.upstream.unwrap().read_offset,
        100,
        "before 7.0 it does not say what it has read"
    );
}

#[test]
fn a_replica_without_a_link_says_since_when_and_may_have_kept_its_place() {
    let down = (
        "master_link_status:up",
        "master_link_status:down\nmaster_link_down_since_seconds:9",
    );
    let it = with(REPLICA, &[down]);
    let upstream = it.upstream.clone().unwrap();
    assert_eq!((upstream.heard_seconds, upstream.down_seconds), (None, Some(9)));
    assert!(!it.link_is_up() && it.placed);
    assert_eq!(it.offset, 100);
    let never = (
        "master_link_status:up",
        "master_link_status:down\nmaster_link_down_since_seconds:-1",
    );
    assert_eq!(with(REPLICA, &[never]).upstream.unwrap().down_seconds, None);
    let nothing = ("slave_repl_offset:100", "slave_repl_offset:1");
    let it = with(REPLICA, &[never, nothing]);
    assert_eq!((it.offset, it.placed), (0, false), "1 without a link is no place");
    let it = with(REPLICA, &[nothing]);
    assert_eq!((it.offset, it.placed), (1, true), "with one it is");
}

#[test]
fn a_replica_that_is_fenced_or_frozen_follows_nobody() {
    let nowhere = [("10.0.0.1", "127.0.0.1"), ("master_port:6379", "master_port:1")];
    assert!(with(REPLICA, &nowhere).is_frozen());
    assert!(!with(REPLICA, &nowhere[..1]).is_frozen() && !with(REPLICA, &nowhere[1..]).is_frozen());
}

#[test]
fn a_full_sync_and_a_dataset_that_is_loaded_are_seen() {
    let it = with(
        REPLICA,
        &[(
            "master_sync_in_progress:0",
            "master_sync_in_progress:1\nmaster_sync_last_io_seconds_ago:2",
        )],
    );
    let upstream = it.upstream.unwrap();
    assert_eq!((upstream.syncing, upstream.sync_heard_seconds), (true, Some(2)));
    assert!(with(MASTER, &[("\nloading:0", "\nloading:1")]).loading);
    assert!(with(MASTER, &[("async_loading:0", "async_loading:1")]).loading);
    assert!(with(MASTER, &[("aof_enabled:0", "aof_enabled:1")]).appendonly);
}

#[test]
fn valkey_says_its_own_version() {
    let it = with(
        MASTER,
        &[("redis_version:7.0.15", "redis_version:7.2.4\r\nvalkey_version:8.1.1")],
    );
    assert_eq!(it.version, "8.1.1");
}

#[test]
fn only_replicas_and_databases_with_a_number_are_counted() {
    let odd = "slave_x:state=online\r\nslave:state=online\r\ndb:keys=9\r\ndb_x:keys=9\r\ndbsize:keys=9\r\n";
    let it = Replication::parse(&format!("{MASTER}{odd}")).unwrap();
    assert_eq!((it.online, it.keys), (2, 3));
}

#[test]
fn b07_what_is_no_info_is_named() {
    assert_eq!(read("", &[]), Err(Unreadable::Missing("role")));
    assert_eq!(read("role:\n", &[]), Err(Unreadable::Missing("role")), "empty");
    let nonsense = |changes: &[(&str, &str)]| match read(REPLICA, changes) {
        Err(Unreadable::Nonsense { field, value }) => (field, value),
        other => panic!("{other:?}"),
    };
    assert_eq!(nonsense(&[("role:slave", "role:king")]), ("role", "king".to_owned()));
    assert_eq!(
        nonsense(&[("slave_repl_offset:100", "slave_repl_offset:x")]),
        ("slave_repl_offset", "x".to_owned())
    );
    assert_eq!(
        nonsense(&[("master_port:6379", "master_port:70000")]),
        ("master_port", "70000".to_owned())
    );
    let long = format!("role:{}", "a".repeat(100));
    assert_eq!(
        nonsense(&[("role:slave", &long)]),
        ("role", "a".repeat(40)),
        "shortened"
    );
    assert_eq!(
        read(REPLICA, &[("run_id:", "ran_id:")]),
        Err(Unreadable::Missing("run_id"))
    );
}

/// Both the flag of a rewrite that runs and that of one that waits for its turn; without the file neither means anything.
#[test]
fn an_append_only_file_is_written_anew_where_there_is_one() {
    let rewriting = |lines: &str| Replication::parse(&format!("{MASTER}{lines}")).unwrap().rewriting;
    assert!(rewriting(
        "aof_enabled:1\naof_rewrite_in_progress:1\naof_rewrite_scheduled:0\n"
    ));
    assert!(rewriting(
        "aof_enabled:1\naof_rewrite_in_progress:0\naof_rewrite_scheduled:1\n"
    ));
    assert!(!rewriting(
        "aof_enabled:1\naof_rewrite_in_progress:0\naof_rewrite_scheduled:0\n"
    ));
    assert!(!rewriting(
        "aof_enabled:0\naof_rewrite_in_progress:1\naof_rewrite_scheduled:1\n"
    ));
}
