//! The operator with one rule of its protocol left out, so that a test can see that the checker notices.

use anyhow::{Context, anyhow};
use redis_operator::{process, rules_out};
use std::env;

/// Names the rule: `fence` or `freeze`.
const VARIABLE: &str = "REDIS_OPERATOR_WITHOUT";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let name = env::var(VARIABLE).with_context(|| format!("{VARIABLE} names the rule to leave out"))?;
    let rule = name.parse().map_err(|error: String| anyhow!("{VARIABLE}: {error}"))?;
    rules_out::leave_out(rule);
    process::run().await
}
