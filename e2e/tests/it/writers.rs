//! Others write to our Nodes: what we own is put right, what we do not is kept.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use nodling_e2e::lab::{LIMIT, Lab, condition};
use nodling_e2e::wait;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn what_we_own_is_put_right_and_what_we_do_not_is_kept() -> Result<()> {
    let lab = Lab::start().await?;
    let _agent = lab.agent("pi-1")?;
    let node = lab.ready_is("pi-1", "True").await?;
    let cpu = node.status.as_ref().unwrap().capacity.as_ref().unwrap()["cpu"].clone();
    let nodes = Api::<Node>::all(lab.client().await?);
    let foreign = json!({"status": {
        "capacity": {"cpu": "4096"},
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "Sabotage", "message": "no"},
            {"type": "KernelDeadlock", "status": "False", "reason": "KernelHasNoDeadlock",
             "message": "kernel has no deadlock"},
        ],
    }});
    let parameters = PatchParams::default();
    nodes
        .patch_status("pi-1", &parameters, &Patch::Strategic(foreign))
        .await?;
    lab.ready_is("pi-1", "True").await?;
    let ask = || async { lab.node("pi-1").await };
    let is_right =
        |node: &Node| node.status.as_ref().unwrap().capacity.as_ref().unwrap()["cpu"] == cpu;
    wait::until("capacity put right", LIMIT, ask, is_right).await?;

    let label = json!({"metadata": {"labels": {"kubernetes.io/arch": "vax", "room": "attic"}}});
    nodes
        .patch("pi-1", &parameters, &Patch::Merge(label))
        .await?;
    let is_right =
        |node: &Node| node.metadata.labels.as_ref().unwrap()["kubernetes.io/arch"] != "vax";
    wait::until("label put right", LIMIT, ask, is_right).await?;
    let keeps = |node: &Node| {
        condition(node, "KernelDeadlock").is_some_and(|it| it.status == "False")
            && node
                .metadata
                .labels
                .as_ref()
                .is_some_and(|labels| labels["room"] == "attic")
    };
    wait::throughout("kept", Duration::from_secs(3), ask, keeps).await
}
