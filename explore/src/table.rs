//! The configurations, and their results as a table.

use crate::config::{Beginning, Config, Fault, Rule};
use crate::search::{Explored, Verdict};
use redis_operator_core::observed::Policy;

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
    late_passes: true,
    kinds: EVERY,
    live: false,
    small: false,
    ..STEADY
};

/// All of them, the small ones first.
pub const ALL: &[Config] = &[
    Config {
        name: "steady",
        ..STEADY
    },
    Config {
        name: "steady, any fault",
        kinds: EVERY,
        ..STEADY
    },
    Config {
        name: "first start",
        beginning: Beginning::First,
        kinds: NO_CUT,
        writes: 1,
        ..STEADY
    },
    Config {
        name: "join",
        kinds: CRASHES,
        ..JOIN
    },
    Config {
        name: "leave",
        kinds: CRASHES,
        ..LEAVE
    },
    Config {
        name: "join, any fault",
        kinds: EVERY,
        small: false,
        ..JOIN
    },
    Config {
        name: "leave, any fault",
        kinds: EVERY,
        small: false,
        ..LEAVE
    },
    Config {
        name: "steady, two faults",
        kinds: EVERY,
        faults: 2,
        small: false,
        live: false,
        ..STEADY
    },
    Config {
        name: "durable",
        policy: Policy::Durability,
        kinds: EVERY,
        small: false,
        ..STEADY
    },
    Config {
        name: "by hand",
        kinds: &[Fault::Hand],
        small: false,
        ..STEADY
    },
    Config { name: "late", ..LATE },
    Config {
        name: "late, durable",
        policy: Policy::Durability,
        ..LATE
    },
    Config {
        name: "late, join",
        beginning: Beginning::Joining,
        ..LATE
    },
    Config {
        name: "late, leave",
        beginning: Beginning::Leaving,
        ..LATE
    },
    Config {
        name: "no_cut_pred",
        without: &[Rule::CutPredecessors],
        holds: false,
        ..LATE
    },
    Config {
        name: "read_first",
        without: &[Rule::ReadFirst],
        holds: false,
        ..LATE
    },
    Config {
        name: "late_slice",
        without: &[Rule::Slice],
        holds: false,
        ..LATE
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
