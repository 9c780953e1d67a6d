//! What cargo-mutants would change.

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// A place in a file, as cargo-mutants counts: lines and columns from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: Place,
}

/// What kind of thing is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Genre {
    /// A function returns `replacement`.
    FnValue,
    /// Another operator.
    BinaryOperator,
    /// No operator.
    UnaryOperator,
    /// An arm is not there.
    MatchArm,
    /// A guard is `replacement`.
    MatchArmGuard,
    /// A field is as in the base of the expression.
    StructField,
}

/// The function around the change.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Function {
    pub(crate) return_type: String,
}

/// One change.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mutant {
    /// Its number in this build, from 1.
    #[serde(skip)]
    pub(crate) id: u32,
    /// What cargo-mutants calls it.
    pub(crate) name: String,
    /// Path from the root of the workspace.
    pub(crate) file: String,
    pub(crate) genre: Genre,
    pub(crate) replacement: String,
    pub(crate) span: Span,
    pub(crate) function: Option<Function>,
}

impl Mutant {
    /// A function that returns `impl Trait` cannot return two types.
    pub(crate) fn is_opaque(&self) -> bool {
        self.genre == Genre::FnValue
            && self
                .function
                .as_ref()
                .is_some_and(|function| function.return_type.contains("impl "))
    }
}

pub(crate) fn read(path: &str) -> Result<Vec<Mutant>> {
    let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
    let mut mutants: Vec<Mutant> = serde_json::from_str(&text).context("this is no list of cargo-mutants")?;
    for (id, mutant) in (1..).zip(&mut mutants) {
        mutant.id = id;
    }
    Ok(mutants)
}
