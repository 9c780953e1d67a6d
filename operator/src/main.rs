//! The operator.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    redis_operator::process::run().await
}
