//! Leaves a rule of the protocol out of this process. Built with the feature `rules-out` alone, which only the binary
//! `operator-without-rules` asks for.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use redis_operator_core::resources::Resources;
use redis_operator_core::rule::{self, Rule};
use redis_operator_core::{config, names};
use std::str::FromStr;
use std::sync::OnceLock;

/// What can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// A process that starts follows nobody and serves nothing.
    Fence,
    /// Members are frozen before they are compared.
    Freeze,
}

static OUT: OnceLock<Without> = OnceLock::new();

impl FromStr for Without {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "fence" => Ok(Self::Fence),
            "freeze" => Ok(Self::Freeze),
            other => Err(format!("{other:?} cannot be left out; write fence or freeze")),
        }
    }
}

/// Leaves it out of this process, once and for good.
pub fn leave_out(rule: Without) {
    if OUT.set(rule).is_ok() && rule == Without::Freeze {
        rule::take_out(Some(Rule::Freeze));
    }
}

/// The objects as they would be if servers were not fenced: each process starts as a master that serves.
pub(crate) fn unfenced(mut built: Resources) -> Resources {
    if OUT.get() == Some(&Without::Fence)
        && let Some(set) = &mut built.stateful_set.spec
    {
        open(&mut set.template);
    }
    built
}

fn open(template: &mut PodTemplateSpec) {
    let closed = |line: &&str| line.starts_with("replicaof ") || line.starts_with("replica-serve-stale-data ");
    let annotations = template
        .metadata
        .get_or_insert_default()
        .annotations
        .get_or_insert_default();
    if let Some(conf) = annotations.get_mut(names::ANNOTATION_CONFIG) {
        let lines: Vec<_> = conf.lines().filter(|line| !closed(line)).collect();
        *conf = lines.join("\n");
    }
    let containers = template.spec.iter_mut().flat_map(|spec| &mut spec.containers);
    for container in containers.filter(|container| container.name == names::CONTAINER_REDIS) {
        let fenced = config::command();
        container.command = Some(fenced.into_iter().take_while(|word| !word.starts_with("--")).collect());
    }
}
