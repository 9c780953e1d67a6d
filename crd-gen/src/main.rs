//! Prints the CustomResourceDefinition of redis-operator, or compares a file with it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use kube::CustomResourceExt;
use redis_operator_core::api::Redis;
use serde_json::{Number, Value};

const HEADER: &str = "# Generated from operator/core/src/api by crd-gen; do not edit.\n";

/// Prints the CustomResourceDefinition of redis-operator as YAML.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Print nothing; fail if FILE says something else than the code.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "manifests/10-crd.yaml")]
    check: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let crd = generated()?;
    let Some(path) = Args::parse().check else {
        print!("{}", yaml(&crd)?);
        return Ok(ExitCode::SUCCESS);
    };
    let shown = path.display();
    if let Err(problem) = check(&path, &crd) {
        eprintln!("{shown} {problem}\nto regenerate it: cargo run -q -p crd-gen > {shown}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn check(path: &Path, crd: &Value) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let found: Value = serde_saphyr::from_str(&text).map_err(|error| format!("is not YAML: {error}"))?;
    difference("", crd, &normal(found)).map_or(Ok(()), |place| Err(format!("differs from the code at {place}")))
}

fn generated() -> Result<Value> {
    Ok(normal(serde_json::to_value(Redis::crd())?))
}

fn yaml(crd: &Value) -> Result<String> {
    let body = serde_saphyr::to_string(crd)?;
    // the printer leaves blanks at the end of folded lines
    let lines = body.lines().map(|line| format!("{}\n", line.trim_end()));
    Ok(std::iter::once(HEADER.to_owned()).chain(lines).collect())
}

/// The same with `0` where the schema library writes `0.0`, for which the API server has no use.
fn normal(value: Value) -> Value {
    match value {
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, normal(value))).collect(),
        Value::Array(list) => list.into_iter().map(normal).collect(),
        Value::Number(number) => Value::Number(integral(&number).unwrap_or(number)),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

fn integral(number: &Number) -> Option<Number> {
    number
        .is_f64()
        .then(|| number.to_string())
        .and_then(|text| text.strip_suffix(".0")?.parse::<i64>().ok())
        .map(Number::from)
}

/// Where two values differ first.
fn difference(place: &str, a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let absent = b
                .keys()
                .find(|key| !a.contains_key(*key))
                .map(|key| format!("{place}/{key}"));
            let inner = || {
                a.iter().find_map(|(key, value)| {
                    let place = format!("{place}/{key}");
                    b.get(key)
                        .map_or(Some(place.clone()), |other| difference(&place, value, other))
                })
            };
            absent.or_else(inner)
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(i, (a, b))| difference(&format!("{place}/{i}"), a, b)),
        _ => (a != b).then(|| {
            if place.is_empty() {
                "/".to_owned()
            } else {
                place.to_owned()
            }
        }),
    }
}
