//! A broker that hoards, repeats and drips: between the agent's broker and the gateway's stands
//! a forwarder that does what the test says.

use std::time::{Duration, Instant};

use anyhow::Result;
use nodling_e2e::broker::Broker;
use nodling_e2e::lab::{GRACE, LIMIT, Lab};
use nodling_e2e::mqtt::Mqtt;
use nodling_e2e::wait;

#[tokio::test(flavor = "multi_thread")]
async fn repeated_and_dripped_beats_keep_no_dead_agent_alive() -> Result<()> {
    let lab = Lab::start().await?;
    let board_side = tempfile::tempdir()?;
    let board_side = Broker::start(board_side.path()).await?;
    let mut ears = Mqtt::connect(board_side.port(), "ears", &["nodling/#"]).await?;
    let mouth = Mqtt::connect(lab.broker.port(), "mouth", &[]).await?;
    let url = board_side.url();
    let mut agent = lab.agent_with("pi-1", "pi-1", &["--broker", &url])?;

    // Forward until Ready, and remember everything.
    let mut hoard = Vec::new();
    let start = Instant::now();
    while hoard.len() < 8 {
        assert!(start.elapsed() < LIMIT, "only {} frames came", hoard.len());
        let (topic, payload) = ears.next(LIMIT).await?;
        mouth.publish(&topic, payload.clone()).await?;
        hoard.push((topic, payload));
    }
    lab.ready_is("pi-1", "True").await?;
    agent.process.kill().await?;
    let killed = Instant::now();

    // The dead agent's frames, over and over, in both orders.
    let drip = async {
        let mut reverse = false;
        loop {
            let mut frames: Vec<_> = hoard.iter().collect();
            if reverse {
                frames.reverse();
            }
            for (topic, payload) in frames {
                mouth.publish(topic, payload.clone()).await?;
                tokio::task::yield_now().await;
            }
            reverse = !reverse;
            let ask = || async { lab.metric("nodling_heartbeats_received_total").await };
            let count = ask().await?;
            wait::until("taken", LIMIT, ask, |now| *now > count).await?;
        }
    };
    tokio::select! {
        ended = drip => { let ended: Result<()> = ended; ended?; }
        node = lab.ready_is("pi-1", "Unknown") => { node?; }
    }
    let took = killed.elapsed();
    assert!(
        took < GRACE + Duration::from_secs(3),
        "kept alive for {took:?}"
    );
    Ok(())
}
