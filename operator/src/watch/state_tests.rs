use super::*;
use redis_operator_core::replication::Replication;
use std::collections::BTreeSet;

struct Open;

impl Line for Open {
    fn is_closed(&self) -> bool {
        false
    }
}

fn at(millis: u64) -> Moment {
    Moment(millis * 1000)
}

fn since(state: &State<Open>) -> Option<Moment> {
    match state.reach() {
        Reach::Silent { since, .. } | Reach::Refused { since } => Some(*since),
        Reach::Untried | Reach::Answers(_) | Reach::Alive(_) => None,
    }
}

#[test]
fn a_silence_lasts_since_it_was_heard_last() {
    let mut state = State::new();
    state.opened(Arc::new(Open), at(0));
    let line = state.connection().unwrap().clone();
    state.failed(&line, &CallError::TimedOut, at(900));
    assert_eq!(since(&state), Some(at(0)));
    state.not_opened(&OpenError::Hung, at(1_400));
    assert_eq!(since(&state), Some(at(0)));
}

/// One link, one offset: nothing came. Anything else begins anew, when the answer came that showed it.
#[test]
fn d02_an_offset_stands_still_since_the_first_answer_that_showed_it() {
    let answer = |asked: u64, run: &str, link: &str, offset: u64| {
        let info = format!(
            "redis_version:7.0.15\nrun_id:{run}\nrole:slave\nmaster_host:10.0.0.1\nmaster_port:6379\nmaster_link_status:{link}\nmaster_sync_in_progress:0\nmaster_replid:a\nmaster_repl_offset:{offset}\nslave_repl_offset:{offset}\nslave_read_repl_offset:{offset}\n"
        );
        Answer {
            asked: at(asked),
            still_since: at(asked),
            replication: Replication::parse(&info).unwrap(),
            guard: 0,
            guard_lag: 1,
            serves: true,
            users: BTreeSet::new(),
            attaches_as: String::new(),
        }
    };
    let mut state = State::new();
    state.opened(Arc::new(Open), at(0));
    let line = state.connection().unwrap().clone();
    let mut still = |asked: u64, run: &str, link: &str, offset: u64| {
        state.answered(&line, answer(asked, run, link, offset), at(asked + 10));
        state.seen().last.unwrap().still_since
    };
    assert_eq!(still(0, "r", "up", 7), at(10));
    assert_eq!(still(500, "r", "up", 7), at(10));
    assert_eq!(still(1_000, "r", "up", 7), at(10));
    assert_eq!(still(1_500, "r", "up", 21), at(1_510));
    assert_eq!(still(2_000, "r", "down", 21), at(2_010));
    assert_eq!(still(2_500, "r", "up", 21), at(2_510));
    assert_eq!(still(3_000, "s", "up", 21), at(3_010));
}

/// SIGSTOP, or a machine that was suspended: the first question after it is not answered in time either.
#[test]
fn whoever_slept_has_listened_to_nobody_meanwhile() {
    let mut state = State::new();
    state.opened(Arc::new(Open), at(0));
    let line = state.connection().unwrap().clone();
    state.failed(&line, &CallError::TimedOut, at(60_000));
    assert_eq!(since(&state), Some(at(60_000)));
    state.not_opened(&OpenError::Refused, at(61_000));
    state.not_opened(&OpenError::Refused, at(62_000));
    assert_eq!(since(&state), Some(at(61_000)));
    state.not_opened(&OpenError::Refused, at(120_000));
    assert_eq!(since(&state), Some(at(120_000)));
}

/// No file descriptor left: the operator cannot ask, and nothing follows from that.
#[test]
fn whoever_has_no_socket_has_listened_to_nobody_meanwhile() {
    let own = OpenError::Own("Too many open files".to_owned());
    let mut state = State::new();
    state.opened(Arc::new(Open), at(0));
    let line = state.connection().unwrap().clone();
    assert!(state.broke(&line));
    for second in 1..60 {
        assert!(!state.not_opened(&own, at(second * 1000)));
        assert_eq!(since(&state), Some(at(second * 1000)));
    }
    state.not_opened(&OpenError::Unreachable("timed out".to_owned()), at(60_000));
    assert_eq!(since(&state), Some(at(59_000)));

    let mut state = State::<Open>::new();
    state.trying(at(0));
    state.not_opened(&own, at(1));
    assert_eq!(*state.reach(), Reach::Untried);
}
