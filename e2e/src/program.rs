//! The programs that tests start.

use anyhow::{Context, Result};
use std::env;
use std::path::PathBuf;

/// A program of this workspace, which `cargo build` makes with these arguments: beside this one, or one folder up when this
/// is a test.
pub(crate) fn program(name: &str, built_with: &str) -> Result<PathBuf> {
    let own = env::current_exe()?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.exists());
    found.with_context(|| {
        format!(
            "no {name} beside {}: build it with `cargo build {built_with}`",
            own.display()
        )
    })
}

/// The operator as it is deployed, which `E2E_OPERATOR` names; else one that was built beside this.
pub(crate) fn operator() -> Result<PathBuf> {
    match env::var_os("E2E_OPERATOR") {
        Some(file) => Ok(file.into()),
        None => program("redis-operator", "-p redis-operator"),
    }
}
