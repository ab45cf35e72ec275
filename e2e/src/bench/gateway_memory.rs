//! Resident memory per node in the gateway's core: its roster (Facts of some 500 bytes, the
//! last beat) and its watch cache.
//!
//! A first process registers 10,000 nodes with an embedded API and writes their Nodes and
//! Leases to a file; this one reads them object by object, as a watch does, and hears the
//! nodes, so that nothing else is in its heap.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use nodling_gateway::reconcile::Core;
use nodling_gateway::seen::{Collection, SeenChange, SeenLease, SeenNode};

use super::board::kilobytes;
use super::home::{Clock, Home, nodes, opening, settings, take};
use super::runner::ALONE;
use super::{Bound, Row};

const NODES: usize = 10_000;
/// The name of the first process's part.
pub(super) const DUMP: &str = "gateway-memory-dump";
/// Tells it where to write.
const DUMP_VARIABLE: &str = "NODLING_BENCH_DUMP";

/// Measures.
pub(super) fn measure() -> Result<Vec<Row>> {
    let dir = tempfile::tempdir()?;
    let dump = dir.path().join("objects");
    let status = Command::new(std::env::current_exe()?)
        .args([ALONE, DUMP])
        .env(DUMP_VARIABLE, &dump)
        .status()?;
    ensure!(status.success(), "registering {NODES} nodes: {status}");
    let clock = Clock::new();
    let mut core = Core::new(settings(), clock.now());
    core.broker_up(clock.now());
    let mut nodes = nodes(NODES)?;
    let facts_len = opening(nodes.first_mut().context("there are nodes")?, &clock)?.len();
    let before = resident()?;
    watch(&mut core, &clock, &dump)?;
    let watched = resident()?;
    // The nodes' own buffers are not the gateway's: a new one each, dropped after its beat.
    drop(nodes);
    let hearing = resident()?;
    let mut actions = 0;
    for mut node in super::home::nodes(NODES)? {
        let topic = node.topic().to_owned();
        let facts = opening(&mut node, &clock)?;
        actions += take(&mut core, clock.now(), &topic, &facts)?.1.len();
        let beat = node.beat(clock.since_start());
        actions += take(&mut core, clock.now(), &topic, &beat)?.1.len();
    }
    let heard = resident()?;
    std::hint::black_box((&core, actions));
    let per_node = |kib: f64| kib / NODES as f64;
    let watch_cache = per_node(watched - before);
    let roster = per_node(heard - hearing);
    Ok(vec![
        Row::new("gateway-memory/node", watch_cache + roster, "KiB")
            .must(Bound::AtMost(8.0))
            .aim(Bound::AtMost(6.0)),
        Row::new("gateway-memory/watch-cache", watch_cache, "KiB"),
        Row::new("gateway-memory/roster", roster, "KiB"),
        Row::new("gateway-memory/facts", facts_len as f64, "B"),
    ])
}

/// Feeds the core what a watch would list.
fn watch(core: &mut Core, clock: &Clock, dump: &Path) -> Result<()> {
    let mut lines = BufReader::new(std::fs::File::open(dump)?).lines();
    for collection in [Collection::Nodes, Collection::Leases] {
        core.seen(clock.now(), SeenChange::Relisting(collection));
        for line in lines.by_ref().take(NODES) {
            let line = line?;
            let change = match collection {
                Collection::Nodes => {
                    let node: Node = serde_json::from_str(&line)?;
                    SeenChange::Node(Box::new(SeenNode::trim(&node)))
                }
                Collection::Leases => {
                    let lease: Lease = serde_json::from_str(&line)?;
                    SeenChange::Lease(SeenLease::trim(&lease))
                }
            };
            core.seen(clock.now(), change);
        }
        core.seen(clock.now(), SeenChange::Relisted(collection));
    }
    Ok(())
}

fn resident() -> Result<f64> {
    kilobytes(std::process::id(), "status", "VmRSS:")
}

/// The first process's part.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn dump() -> Result<Vec<Row>> {
    let path = std::env::var_os(DUMP_VARIABLE).context("where to?")?;
    let dir = tempfile::tempdir()?;
    let mut home = Home::open(dir.path(), NODES)?;
    home.register().await?;
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let client = home.api.client();
    let everything = ListParams::default();
    let nodes = Api::<Node>::all(client.clone()).list(&everything).await?;
    for node in &nodes.items {
        writeln!(file, "{}", serde_json::to_string(node)?)?;
    }
    let leases = Api::<Lease>::namespaced(client, "kube-node-lease");
    let leases = leases.list(&everything).await?;
    for lease in &leases.items {
        writeln!(file, "{}", serde_json::to_string(lease)?)?;
    }
    ensure!(
        (nodes.items.len(), leases.items.len()) == (NODES, NODES),
        "some are missing"
    );
    file.flush()?;
    Ok(Vec::new())
}
