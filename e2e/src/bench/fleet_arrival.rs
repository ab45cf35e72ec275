//! A thousand simulated nodes at one second for half a minute, over a real Mosquitto, into the
//! real gateway with its embedded API: every beat arrives, every Node is Ready.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use nodling_agent::publish::broker::Broker;
use tokio::sync::watch;

use super::{Bound, Row};
use crate::fleet::{self, Counters, Options, Tally};
use crate::lab::{self, Lab};

const NODES: usize = 1_000;
const INTERVAL: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(30);
/// The last beats are under way when the fleet stops.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);
const ACCEPTED: &str = "nodling_heartbeats_received_total";

/// Measures.
#[tokio::main]
pub(super) async fn measure() -> Result<Vec<Row>> {
    // Six lines of log per beat would be half of what the broker does.
    let mut lab = Lab::start_broker_with("log_dest none\n").await?;
    lab.start_gateway(&["--grace", "40s"]).await?;
    let tally = play(&lab).await?;
    let accepted = accepted(&lab, tally).await?;
    let ready = ready(&lab).await?;
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
async fn accepted(lab: &Lab, tally: Tally) -> Result<f64> {
    let sent = tally.beats_sent as f64;
    settled(|| lab.metric(ACCEPTED), |accepted| *accepted >= sent).await
}

/// Nodes that are Ready, once the gateway has had time to say so of all.
async fn ready(lab: &Lab) -> Result<usize> {
    settled(|| count_ready(lab), |ready| *ready == NODES).await
}

/// The first answer that is as it should be, or the one after [`SETTLE_WITHIN`]: too few is a
/// result here, not an error.
async fn settled<T, F>(ask: impl Fn() -> F, is_so: impl Fn(&T) -> bool) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let start = Instant::now();
    loop {
        let answer = ask().await?;
        if is_so(&answer) || start.elapsed() > SETTLE_WITHIN {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn count_ready(lab: &Lab) -> Result<usize> {
    let nodes = Api::<Node>::all(lab.client().await?);
    let nodes = nodes.list(&ListParams::default()).await?;
    let is_ready =
        |node: &&Node| lab::condition(node, "Ready").is_some_and(|ready| ready.status == "True");
    Ok(nodes.items.iter().filter(is_ready).count())
}
