//! A thousand simulated nodes at one second for half a minute, over a real Mosquitto, into the
//! real gateway with its embedded API: every beat arrives, every Node is Ready.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use nodling_agent::publish::broker::Broker;
use tokio::sync::watch;

use super::{Bound, Row};
use crate::fleet::{self, Counters, Options, Tally};
use crate::lab::{self, Lab};
use crate::wait;

const NODES: usize = 1_000;
const INTERVAL: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(30);
const ACCEPTED: &str = "nodling_heartbeats_received_total";

/// Measures.
#[tokio::main]
pub(super) async fn measure() -> Result<Vec<Row>> {
    let mut lab = Lab::start_broker().await?;
    lab.start_gateway(&["--grace", "40s"]).await?;
    let tally = play(&lab).await?;
    let accepted = accepted(&lab, tally).await;
    let ready = ready(&lab).await;
    let lost = tally.beats_lost() as f64;
    let dropped = (tally.beats_acknowledged as f64 - accepted).max(0.0);
    let none = Bound::AtMost(0.0);
    Ok(vec![
        Row::new("fleet-arrival/beats-lost", lost + dropped, "").must(none),
        Row::new("fleet-arrival/nodes-not-ready", (NODES - ready) as f64, "").must(none),
        Row::new("fleet-arrival/beats-sent", tally.beats_sent as f64, ""),
        Row::new(
            "fleet-arrival/beats-acknowledged",
            tally.beats_acknowledged as f64,
            "",
        ),
        Row::new("fleet-arrival/beats-accepted", accepted, ""),
    ])
}

async fn play(lab: &Lab) -> Result<Tally> {
    let options = Options {
        nodes: NODES,
        interval: INTERVAL,
        broker: Broker::parse(&lab.broker.url())?,
        tls: None,
        fleet: "home".to_owned(),
        prefix: "bench".to_owned(),
        connections: 8,
        say: |_| {},
    };
    let (stop, stopped) = watch::channel(false);
    let playing = tokio::spawn(fleet::play(options, Arc::new(Counters::default()), stopped));
    tokio::time::sleep(TIME).await;
    stop.send_replace(true);
    playing.await?
}

/// Beats that the gateway took, once it has had time to take them all.
async fn accepted(lab: &Lab, tally: Tally) -> f64 {
    let ask = || lab.metric(ACCEPTED);
    let all = tally.beats_sent as f64;
    match wait::until("beats", lab::LIMIT, ask, |accepted| *accepted >= all).await {
        Ok(accepted) => accepted,
        Err(_) => lab.metric(ACCEPTED).await.unwrap_or(0.0),
    }
}

/// Nodes that are Ready, once the gateway has had time to say so of all.
async fn ready(lab: &Lab) -> usize {
    let ask = || count_ready(lab);
    match wait::until("nodes ready", lab::LIMIT, ask, |ready| *ready == NODES).await {
        Ok(ready) => ready,
        Err(_) => count_ready(lab).await.unwrap_or(0),
    }
}

async fn count_ready(lab: &Lab) -> Result<usize> {
    let nodes = Api::<Node>::all(lab.client().await?);
    let nodes = nodes.list(&ListParams::default()).await?;
    let is_ready =
        |node: &&Node| lab::condition(node, "Ready").is_some_and(|ready| ready.status == "True");
    Ok(nodes.items.iter().filter(is_ready).count())
}
