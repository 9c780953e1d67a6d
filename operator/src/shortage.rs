//! Files that this process may open: each instance takes three of them, for its connection and the two ends of a relay.
//!
//! The limit is that of the process, so what is counted here is counted once for all resources.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::atomic::{AtomicU64, Ordering};

const OWN: [Errno; 5] = [
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOBUFS,
    Errno::NOMEM,
    Errno::ADDRNOTAVAIL,
];

static ATTEMPTS: AtomicU64 = AtomicU64::new(0);

/// Raises the limit of open files as far as this process may. Container runtimes often start with 1024, for the sake of
/// select(2), and allow many more.
///
/// # Errors
/// The system refused.
pub fn raise_limit() -> std::io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(());
    }
    let current = maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

/// Whether it is this process or its node that has too little of something: the numbers that socket(2) and connect(2) give
/// for that.
pub fn is_own(error: &std::io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    number.is_some_and(|number| OWN.contains(&number))
}

/// An instance could not be asked, for want of sockets of the operator's own.
pub fn note() {
    ATTEMPTS.fetch_add(1, Ordering::Relaxed);
}

/// How often that was so since the process began.
pub fn count() -> u64 {
    ATTEMPTS.load(Ordering::Relaxed)
}
