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
/// Without what only the small ones afford.
const LARGE: Config = Config {
    lags: false,
    live: false,
    small: false,
    ..STEADY
};
const LATE: Config = Config {
    sessions: 1,
    ticks: &[6_100],
    ..LARGE
};
const LATE_PASSES: Config = Config {
    late_passes: true,
    ..LATE
};

const WITHOUT: Config = Config { holds: false, ..LARGE };
const WITHOUT_JOIN: Config = Config {
    beginning: Beginning::Joining,
    ..WITHOUT
};
const WITHOUT_LEAVE: Config = Config {
    beginning: Beginning::Leaving,
    ..WITHOUT
};

const HELD_UP: Config = Config {
    held_up: true,
    faults: 2,
    kinds: &[Fault::Cut],
    cuts: &[0, 1],
    ticks: &[6_100],
    writes: 1,
    ..LARGE
};
const WITHOUT_HELD_UP: Config = Config {
    holds: false,
    ..HELD_UP
};

const WITHOUT_LATE: Config = Config { holds: false, ..LATE };
const WITHOUT_LATE_PASSES: Config = Config {
    holds: false,
    ..LATE_PASSES
};

const BROAD: Config = Config {
    kinds: EVERY,
    broad: true,
    ..LARGE
};
const BROAD_LATE: Config = Config { broad: true, ..LATE };
const BROAD_LATE_PASSES: Config = Config {
    broad: true,
    ..LATE_PASSES
};

/// All of them: the small ones, then those that take a rule out, then those that take long.
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
        ticks: &[6_100],
        lags: false,
        live: false,
        ..JOIN
    },
    Config {
        name: "join, hang",
        kinds: &[Fault::Hang, Fault::Force, Fault::Operator],
        ticks: &[6_100],
        lags: false,
        live: false,
        ..JOIN
    },
    Config {
        name: "join, cut",
        kinds: &[Fault::Cut],
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
        name: "no_cut_pred",
        walks: true,
        without: &[Rule::CutPredecessors],
        kinds: &[Fault::Hang],
        ..WITHOUT_LATE
    },
    Config {
        name: "no_fence",
        small: true,
        without: &[Rule::Fenced],
        ..WITHOUT
    },
    Config {
        name: "late_record",
        walks: true,
        without: &[Rule::Record],
        beginning: Beginning::Asking,
        ..WITHOUT_LATE
    },
    Config {
        name: "no_users",
        walks: true,
        without: &[Rule::Users],
        kinds: EVERY,
        ..WITHOUT_LEAVE
    },
    Config {
        name: "read_first",
        walks: true,
        without: &[Rule::ReadFirst],
        beginning: Beginning::Asking,
        ..WITHOUT_LATE_PASSES
    },
    Config {
        name: "slice_after_record",
        walks: true,
        without: &[Rule::SliceTells],
        kinds: &[Fault::Cut],
        cuts: &[8],
        ..WITHOUT_LATE_PASSES
    },
    Config {
        name: "late_slice",
        walks: true,
        without: &[Rule::Slice],
        beginning: Beginning::Asking,
        ..WITHOUT_LATE
    },
    Config {
        name: "late_delete",
        walks: true,
        without: &[Rule::Delete],
        beginning: Beginning::TakingBack,
        ..WITHOUT_LATE
    },
    Config {
        name: "no_touch",
        walks: true,
        core: Some(Core::Touch),
        beginning: Beginning::Asking,
        ..WITHOUT_LATE
    },
    Config {
        name: "no_doubt",
        walks: true,
        without: &[Rule::Doubt],
        ..WITHOUT_HELD_UP
    },
    Config {
        name: "no_newcomers",
        walks: true,
        core: Some(Core::Newcomers),
        beginning: Beginning::TakingBack,
        ..WITHOUT_LATE
    },
    Config {
        name: "no_quorum",
        walks: true,
        core: Some(Core::Quorum),
        kinds: EVERY,
        ..WITHOUT_JOIN
    },
    Config {
        name: "no_freeze",
        small: true,
        core: Some(Core::Freeze),
        kinds: EVERY,
        ..WITHOUT
    },
    Config {
        name: "no_barrier",
        walks: true,
        core: Some(Core::Caught),
        pods: 4,
        kinds: &[Fault::Cut],
        cuts: &[11],
        ..WITHOUT_JOIN
    },
    Config {
        name: "leave_at_once",
        small: true,
        core: Some(Core::Left),
        kinds: CRASHES,
        ..WITHOUT_LEAVE
    },
    Config {
        name: "no_cut_off",
        small: true,
        core: Some(Core::CutOff),
        kinds: CRASHES,
        ..WITHOUT_LEAVE
    },
    Config {
        name: "e_first",
        small: true,
        core: Some(Core::GuardFirst),
        kinds: CRASHES,
        ..WITHOUT_JOIN
    },
    Config {
        name: "act_first",
        small: true,
        core: Some(Core::RecordFirst),
        kinds: CRASHES,
        ..WITHOUT
    },
    Config {
        name: "forced_ended",
        small: true,
        holds: true,
        core: Some(Core::Departed),
        kinds: &[Fault::Force],
        ..WITHOUT
    },
    Config {
        name: "past_p",
        walks: true,
        core: Some(Core::Diverged),
        beginning: Beginning::ByHandFollowed,
        kinds: &[Fault::Cut],
        writes: 3,
        ..WITHOUT
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
        ..BROAD
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
        ..BROAD
    },
    Config {
        name: "first start",
        beginning: Beginning::First,
        kinds: NO_CUT,
        writes: 1,
        lags: true,
        ..BROAD
    },
    Config {
        name: "steady, every fault",
        lags: true,
        ..BROAD
    },
    Config {
        name: "join, every fault",
        beginning: Beginning::Joining,
        ..BROAD
    },
    Config {
        name: "leave, every fault",
        beginning: Beginning::Leaving,
        ..BROAD
    },
    Config {
        name: "durable",
        policy: Policy::Durability,
        ..BROAD
    },
    Config {
        name: "by hand",
        kinds: &[Fault::Hand],
        lags: false,
        small: false,
        ..STEADY
    },
    Config {
        name: "by hand, and a fault",
        beginning: Beginning::ByHand,
        kinds: NO_CUT,
        ..BROAD
    },
    Config {
        name: "by hand with a follower, and a fault",
        beginning: Beginning::ByHandFollowed,
        kinds: NO_CUT,
        writes: 3,
        ..BROAD
    },
    Config {
        name: "two faults",
        faults: 2,
        ..BROAD
    },
    Config {
        name: "four, and every fault",
        beginning: Beginning::Joining,
        pods: 4,
        cuts: &[0, 1, 4, 5, 6, 7, 9, 10, 11],
        ..BROAD
    },
    Config {
        name: "held up, cut",
        broad: true,
        ..HELD_UP
    },
    Config {
        name: "late, crash",
        ..BROAD_LATE
    },
    Config {
        name: "late, hang",
        kinds: &[Fault::Hang],
        ..BROAD_LATE
    },
    Config {
        name: "late, cut",
        kinds: &[Fault::Cut],
        cuts: &[0, 2, 4, 7, 8],
        ..BROAD_LATE
    },
    Config {
        name: "late, passing, crash",
        ..BROAD_LATE_PASSES
    },
    Config {
        name: "late, passing, hang",
        kinds: &[Fault::Hang],
        ..BROAD_LATE_PASSES
    },
    Config {
        name: "late, passing, cut",
        kinds: &[Fault::Cut],
        cuts: &[8],
        ..BROAD_LATE_PASSES
    },
    Config {
        name: "late, switchover",
        beginning: Beginning::Asking,
        ..BROAD_LATE
    },
    Config {
        name: "late, roll that is taken back",
        beginning: Beginning::TakingBack,
        ..BROAD_LATE
    },
    Config {
        name: "late, passing, roll that is taken back",
        beginning: Beginning::TakingBack,
        ..BROAD_LATE_PASSES
    },
    Config {
        name: "late, join",
        beginning: Beginning::Joining,
        ..BROAD_LATE
    },
];

/// The table's head.
pub const HEAD: &str = "| Configuration | Faults | States | Depth | Actions of walks | |\n|---|---|---|---|---|---|";

/// One line of the table.
pub fn line(config: &Config, found: &Explored) -> String {
    let verdict = match &found.verdict {
        Verdict::Holds => format!("holds ({:.0} s)", found.took.as_secs_f32()),
        Verdict::CutOff(_) if found.walked > 0 => "nothing wrong as far as it went".to_owned(),
        Verdict::CutOff(limit) => format!("nothing wrong as far as it went (limit: {limit})"),
        Verdict::Wrong(what) => what.clone(),
        Verdict::Stuck(n) => format!("STUCK: from {n} worlds nothing leads to quiescence"),
    };
    format!(
        "| {} | {} | {} | {} | {} | {verdict} |",
        config.name, config.faults, found.states, found.depth, found.walked
    )
}
