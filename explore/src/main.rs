//! `explore list | names [small] | head | config NAME | row NAME | run NAME [faults=N] [writes=N] [states=N] [sessions=N] [minutes=N]`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use explore::config::Config;
use explore::search::{Explored, Limits, Verdict, explore};
use explore::walk::walk;
use explore::{table, tell};
use mimalloc::MiMalloc;
use std::process::ExitCode;
use std::time::Duration;

/// Most of the work is to copy and compare small worlds.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Enough for every configuration of the table, in 12 GB.
const STATES: usize = 60_000_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["list"] => list(|config| Some(format!("{:28} {}", config.name, config.about()))),
        ["names"] => list(|config| Some(config.name.to_owned())),
        // what `make test` runs: all of them come to their end
        ["names", "small"] => list(|config| config.small.then(|| config.name.to_owned())),
        ["head"] => {
            println!("{}", table::HEAD);
            Ok(true)
        }
        ["config", name] => named(name).map(|config| {
            println!("{config:?} within {:?}", limits(config).time);
            true
        }),
        ["row", name] => named(name).and_then(row),
        ["run", name, options @ ..] => run_one(name, options),
        _ => Err(
            "MINUTES=10 for each that is too broad to see its end; usage: explore list | names [small] | head | config NAME | row NAME | run NAME [faults=N] [writes=N] [sessions=N] [states=N] [minutes=N]"
                .to_owned(),
        ),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            eprintln!("explore: {text}");
            ExitCode::from(2)
        }
    }
}

fn limits(config: &Config) -> Limits {
    let given = std::env::var("MINUTES").ok().and_then(|text| text.parse().ok());
    let minutes = if config.broad { given.unwrap_or(10) } else { 360 };
    Limits {
        states: STATES,
        time: Duration::from_secs(60 * minutes),
        threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(8)),
        progress: true,
    }
}

fn list(told: impl Fn(&Config) -> Option<String>) -> Result<bool, String> {
    for line in table::ALL.iter().filter_map(told) {
        println!("{line}");
    }
    Ok(true)
}

fn named(name: &str) -> Result<&'static Config, String> {
    let found = table::ALL.iter().find(|config| config.name == name);
    found.ok_or_else(|| format!("no configuration {name}; see: explore list"))
}

/// One configuration, with the way to what is wrong, and why plans were made.
fn run_one(name: &str, options: &[&str]) -> Result<bool, String> {
    let mut config = named(name)?.clone();
    let mut limits = limits(&config);
    for option in options {
        let parsed = option
            .split_once('=')
            .and_then(|(key, n)| Some((key, n.parse::<u32>().ok()?)));
        let small = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
        match parsed {
            Some(("faults", n)) => config.faults = small(n),
            Some(("writes", n)) => config.writes = small(n),
            Some(("sessions", n)) => config.sessions = small(n),
            Some(("live", n)) => config.live = n > 0,
            Some(("lags", n)) => config.lags = n > 0,
            Some(("prompt", n)) => config.prompt = n > 0,
            Some(("walks", n)) => config.walks = n > 0,
            Some(("late", n)) => config.late_passes = n > 0,
            Some(("states", n)) => limits.states = usize::try_from(n).unwrap_or(STATES),
            Some(("minutes", n)) => limits.time = Duration::from_secs(60 * u64::from(n)),
            _ => return Err(format!("{option} is no option")),
        }
    }
    let found = search(&config, limits)?;
    println!("{}", table::line(&config, &found));
    if !found.way.is_empty() {
        for line in tell::tell(&config, &found.way)? {
            println!("{line}");
        }
    }
    for (why, times) in &found.reasons {
        println!("{times:>10}  {why}");
    }
    Ok(as_expected(&config, &found))
}

/// One line of the table, and the way to what was not expected.
fn row(config: &Config) -> Result<bool, String> {
    eprintln!("{}: {}", config.name, config.about());
    let found = search(config, limits(config))?;
    println!("{}", table::line(config, &found));
    let good = as_expected(config, &found);
    if !good {
        for line in tell::tell(config, &found.way)? {
            println!("    {line}");
        }
    }
    Ok(good)
}

/// Breadth first, or by walks; both where nobody sees the end of it.
fn search(config: &Config, limits: Limits) -> Result<Explored, String> {
    if config.walks {
        return walk(config, limits);
    }
    let broadly = explore(config, limits)?;
    if !config.broad || !matches!(broadly.verdict, Verdict::CutOff(_)) {
        return Ok(broadly);
    }
    let deeply = walk(config, limits)?;
    Ok(match deeply.verdict {
        Verdict::Wrong(_) => deeply,
        _ => Explored {
            walked: deeply.walked,
            ..broadly
        },
    })
}

fn as_expected(config: &Config, found: &Explored) -> bool {
    match found.verdict {
        Verdict::Holds => config.holds,
        Verdict::CutOff(_) => config.holds && config.broad,
        Verdict::Wrong(_) | Verdict::Stuck(_) => !config.holds,
    }
}
