//! Defaults of the spec. They are part of the schema, so that `kubectl get -o yaml` shows what is in force and a later
//! operator's defaults change nothing that exists.

use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SeccompProfile, SecurityContext};

/// User and group that the images of Redis and Valkey know as `redis` and `valkey`.
const SERVER_ID: i64 = 999;

pub(super) fn replicas() -> i32 {
    3
}

pub(super) fn down_after() -> String {
    "2s".to_owned()
}

pub(super) fn termination_grace_period_seconds() -> i64 {
    30
}

/// The hardened default of the pods: non-root, own group on the volumes, seccomp.
pub fn pod_security_context() -> PodSecurityContext {
    PodSecurityContext {
        fs_group: Some(SERVER_ID),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        run_as_group: Some(SERVER_ID),
        run_as_non_root: Some(true),
        run_as_user: Some(SERVER_ID),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// The hardened default of the containers: no capabilities, no new privileges, read-only root.
pub fn security_context() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}
