//! Placeholder until drift is here: its interface, applying nothing.
use crate::controller::Context;
use redis_operator_core::{resources::Resources, status::Trouble};
pub async fn converge(_: &Context, _: Resources) -> Vec<Trouble> {
    vec![]
}
