use super::*;

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
