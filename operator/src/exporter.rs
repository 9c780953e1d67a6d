//! An exporter that cannot run: nothing waits for it, and yet its pod is not ready without it.

use crate::controller::Context;
use crate::pods;
use crate::resource::Resource;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use redis_operator_core::names;
use redis_operator_core::observed::Observed;
use redis_operator_core::status::Trouble;

/// The first that cannot run, and what that costs.
pub(crate) fn explain(context: &Context, resource: &Resource, seen: &Observed) -> Option<Trouble> {
    let pods = seen.instances.keys().filter_map(|pod| {
        let pod = ObjectRef::<Pod>::new(pod).within(&resource.namespace);
        context.mirrors.pods.get(&pod)
    });
    pods.into_iter().find_map(|pod| trouble(&pod))
}

fn trouble(pod: &Pod) -> Option<Trouble> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let exporter = statuses.iter().find(|it| it.name == names::CONTAINER_EXPORTER)?;
    let (reason, words) = pods::held_up(exporter)?;
    let name = pod.name_any();
    Some(Trouble {
        reason: "ExporterFailing".to_owned(),
        message: format!(
            "the exporter of {name} does not run, so the pod is not ready, and not behind the Service of replicas: {reason}: {words}; check image {} (spec.exporter.image), and kubectl logs --previous pod/{name} -c {}",
            exporter.image, exporter.name
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(name: &str, state: &Value) -> Option<Trouble> {
        let status = json!({ "name": name, "image": "exporter:1", "imageID": "", "ready": false, "restartCount": 5, "state": state });
        let pod = json!({ "metadata": { "name": "redis-a-0" }, "status": { "containerStatuses": [status] } });
        trouble(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn b04_an_exporter_whose_image_does_not_exist_is_named() {
        let state = |reason: &str| json!({ "waiting": { "reason": reason, "message": "no such image" } });
        let it = told("exporter", &state("ErrImagePull")).unwrap();
        assert_eq!(it.reason, "ExporterFailing");
        assert!(
            it.message.contains("redis-a-0")
                && it
                    .message
                    .contains("no such image; check image exporter:1 (spec.exporter.image)"),
            "{}",
            it.message
        );
        assert_eq!(told("exporter", &state("ContainerCreating")), None);
        assert_eq!(told("exporter", &json!({ "running": {} })), None);
        assert_eq!(
            told("redis", &state("ErrImagePull")),
            None,
            "the server has its own sentence"
        );
    }
}
