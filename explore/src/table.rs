//! The configurations, and their results as a table.

use crate::config::{Beginning, Config, Fault, Rule};
use crate::search::{Explored, Verdict};
use redis_operator_core::observed::Policy;
use redis_operator_core::rule::Rule as Core;

const CRASHES: &[Fault] = &[Fault::Crash, Fault::CrashKeeping];
const EVERY: &[Fault] = &[
    Fault::Crash,
    Fault::CrashKeeping,
    Fault::Hang,
    Fault::Cut,
    Fault::Force,
    Fault::Operator,
];
const NO_CUT: &[Fault] = &[
    Fault::Crash,
    Fault::CrashKeeping,
    Fault::Hang,
    Fault::Force,
    Fault::Operator,
];

const STEADY: Config = Config::steady();
const JOIN: Config = Config {
    beginning: Beginning::Joining,
    ..STEADY
};
const LEAVE: Config = Config {
    beginning: Beginning::Leaving,
    ..STEADY
};
const LATE: Config = Config {
    sessions: 1,
    ticks: &[6_100],
    lags: false,
    live: false,
    small: false,
    ..STEADY
};
const LATE_PASSES: Config = Config {
    late_passes: true,
    ..LATE
};

const WITHOUT: Config = Config {
    holds: false,
    live: false,
    lags: false,
    small: false,
    ..STEADY
};
const WITHOUT_JOIN: Config = Config {
    beginning: Beginning::Joining,
    ..WITHOUT
};
const WITHOUT_LEAVE: Config = Config {
    beginning: Beginning::Leaving,
    ..WITHOUT
};

/// All of them, the small ones first.
pub const ALL: &[Config] = &[
    Config {
        name: "steady",
        lags: false,
        ..STEADY
    },
    Config {
        name: "steady, hang",
        kinds: &[Fault::Hang, Fault::Force, Fault::Operator],
        lags: false,
        ..STEADY
    },
    Config {
        name: "steady, cut",
        kinds: &[Fault::Cut],
        lags: false,
        ..STEADY
    },
    Config {
        name: "join",
        kinds: &[Fault::Crash],
        ticks: &[6_100],
        lags: false,
        live: false,
        ..JOIN
    },
    Config {
        name: "leave",
        kinds: &[Fault::Crash],
        ticks: &[6_100],
        small: false,
        lags: false,
        live: false,
        ..LEAVE
    },
    Config {
        name: "roll",
        beginning: Beginning::Rolling,
        kinds: &[Fault::Crash],
        ticks: &[6_100],
        lags: false,
        small: false,
        ..STEADY
    },
    Config {
        name: "roll, every fault",
        beginning: Beginning::Rolling,
        kinds: EVERY,
        lags: false,
        small: false,
        live: false,
        ..STEADY
    },
    Config {
        name: "switchover, crash",
        beginning: Beginning::Asking,
        kinds: &[Fault::Crash],
        ticks: &[6_100],
        lags: false,
        small: false,
        ..STEADY
    },
    Config {
        name: "switchover, every fault",
        beginning: Beginning::Asking,
        kinds: EVERY,
        lags: false,
        small: false,
        ..STEADY
    },
    Config {
        name: "first start",
        beginning: Beginning::First,
        kinds: NO_CUT,
        writes: 1,
        small: false,
        ..STEADY
    },
    Config {
        name: "steady, every fault",
        kinds: EVERY,
        small: false,
        ..STEADY
    },
    Config {
        name: "join, every fault",
        kinds: EVERY,
        lags: false,
        small: false,
        ..JOIN
    },
    Config {
        name: "leave, every fault",
        kinds: EVERY,
        lags: false,
        small: false,
        ..LEAVE
    },
    Config {
        name: "durable",
        policy: Policy::Durability,
        kinds: EVERY,
        lags: false,
        small: false,
        ..STEADY
    },
    Config {
        name: "by hand",
        kinds: &[Fault::Hand],
        lags: false,
        small: false,
        ..STEADY
    },
    Config {
        name: "two faults",
        kinds: EVERY,
        faults: 2,
        lags: false,
        small: false,
        live: false,
        ..STEADY
    },
    Config {
        name: "late, crash",
        ..LATE
    },
    Config {
        name: "late, hang",
        kinds: &[Fault::Hang],
        ..LATE
    },
    Config {
        name: "late, cut",
        kinds: &[Fault::Cut],
        cuts: &[0, 2, 4, 7, 8],
        ..LATE
    },
    Config {
        name: "late, passing, crash",
        ..LATE_PASSES
    },
    Config {
        name: "late, passing, hang",
        kinds: &[Fault::Hang],
        ..LATE_PASSES
    },
    Config {
        name: "late, passing, cut",
        kinds: &[Fault::Cut],
        cuts: &[8],
        ..LATE_PASSES
    },
    Config {
        name: "late, join",
        beginning: Beginning::Joining,
        ..LATE
    },
    Config {
        name: "no_cut_pred",
        without: &[Rule::CutPredecessors],
        kinds: &[Fault::Hang],
        holds: false,
        ..LATE
    },
    Config {
        name: "read_first",
        without: &[Rule::ReadFirst],
        beginning: Beginning::Asking,
        holds: false,
        ..LATE_PASSES
    },
    Config {
        name: "slice_after_record",
        without: &[Rule::SliceTells],
        kinds: &[Fault::Cut],
        cuts: &[8],
        holds: false,
        ..LATE_PASSES
    },
    Config {
        name: "late_slice",
        without: &[Rule::Slice],
        beginning: Beginning::Asking,
        holds: false,
        ..LATE
    },
    Config {
        name: "late_delete",
        without: &[Rule::Delete],
        beginning: Beginning::Rolling,
        holds: false,
        ..LATE
    },
    Config {
        name: "no_touch",
        core: Some(Core::Touch),
        kinds: &[Fault::Hang],
        holds: false,
        ..LATE
    },
    Config {
        name: "no_quorum",
        core: Some(Core::Quorum),
        kinds: CRASHES,
        ..WITHOUT_JOIN
    },
    Config {
        name: "no_freeze",
        core: Some(Core::Freeze),
        kinds: EVERY,
        ..WITHOUT
    },
    Config {
        name: "no_barrier",
        core: Some(Core::Caught),
        kinds: CRASHES,
        ..WITHOUT_JOIN
    },
    Config {
        name: "leave_at_once",
        core: Some(Core::Left),
        kinds: CRASHES,
        ..WITHOUT_LEAVE
    },
    Config {
        name: "no_cut_off",
        core: Some(Core::CutOff),
        kinds: CRASHES,
        ..WITHOUT_LEAVE
    },
    Config {
        name: "e_first",
        core: Some(Core::GuardFirst),
        kinds: CRASHES,
        ..WITHOUT_JOIN
    },
    Config {
        name: "act_first",
        core: Some(Core::RecordFirst),
        kinds: CRASHES,
        ..WITHOUT
    },
    Config {
        name: "forced_ended",
        core: Some(Core::Departed),
        kinds: &[Fault::Force],
        ..WITHOUT
    },
    Config {
        name: "past_p",
        core: Some(Core::Diverged),
        kinds: &[Fault::Hand, Fault::Hang, Fault::Crash],
        writes: 3,
        ..WITHOUT
    },
    Config {
        name: "full_only",
        core: Some(Core::Joining),
        kinds: CRASHES,
        ..WITHOUT
    },
];

/// The table's head.
pub const HEAD: &str = "| Configuration | Faults | States | Depth | Time | |\n|---|---|---|---|---|---|";

/// One line of the table.
pub fn line(config: &Config, found: &Explored) -> String {
    let verdict = match &found.verdict {
        Verdict::Holds => "holds".to_owned(),
        Verdict::CutOff(limit) => format!("nothing wrong as far as it went (limit: {limit})"),
        Verdict::Wrong(what) => what.clone(),
        Verdict::Stuck(n) => format!("STUCK: from {n} worlds nothing leads to quiescence"),
    };
    format!(
        "| {} | {} | {} | {} | {:.0} s | {verdict} |",
        config.name,
        config.faults,
        found.states,
        found.depth,
        found.took.as_secs_f32()
    )
}
