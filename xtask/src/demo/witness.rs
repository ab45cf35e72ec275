//! Sees whether the Node is Ready: with `kubectl`, as the user will, or without it in the
//! gateway's metrics.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::shell;

/// The number of nodes that are Ready, as the gateway counts them.
const READY_NODES: &str = "nodling_nodes{state=\"ready\"}";

/// Who looks.
pub(crate) enum Witness {
    Kubectl {
        program: PathBuf,
        kubeconfig: PathBuf,
    },
    Metrics(SocketAddr),
}

impl Witness {
    pub(crate) fn find(kubeconfig: PathBuf, admin: SocketAddr) -> Self {
        match shell::find("kubectl") {
            Some(program) => Self::Kubectl {
                program,
                kubeconfig,
            },
            None => Self::Metrics(admin),
        }
    }

    /// Whether the Node is there and Ready; whatever goes wrong on the way is "not yet".
    pub(crate) fn sees_ready(&self, node: &str) -> bool {
        match self {
            Self::Kubectl {
                program,
                kubeconfig,
            } => {
                let status = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
                let mut get = kubectl(program, kubeconfig);
                kubeconfig.exists()
                    && shell::output(get.args(["get", "node", node, "--output", status]))
                        .is_ok_and(|is| is == "True")
            }
            Self::Metrics(address) => page(*address).is_some_and(|page| has_ready_node(&page)),
        }
    }

    /// The Nodes as `kubectl get nodes` shows them, where there is a `kubectl`.
    pub(crate) fn table(&self) -> Option<String> {
        match self {
            Self::Kubectl {
                program,
                kubeconfig,
            } => shell::output(kubectl(program, kubeconfig).args(["get", "nodes"])).ok(),
            Self::Metrics(_) => None,
        }
    }
}

fn kubectl(program: &PathBuf, kubeconfig: &PathBuf) -> Command {
    let mut command = Command::new(program);
    command
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--request-timeout=2s");
    command
}

fn page(address: SocketAddr) -> Option<String> {
    let timeout = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, timeout).ok()?;
    stream.set_read_timeout(Some(timeout)).ok()?;
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

fn has_ready_node(page: &str) -> bool {
    let count = page
        .lines()
        .find_map(|line| line.strip_prefix(READY_NODES)?.trim().parse::<f64>().ok());
    count.is_some_and(|count| count >= 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_node_is_seen_in_the_metrics() {
        assert!(has_ready_node(
            "# HELP x\nnodling_nodes{state=\"ready\"} 1\n"
        ));
        assert!(!has_ready_node(
            "nodling_nodes{state=\"ready\"} 0\nnodling_nodes{state=\"silent\"} 1\n"
        ));
    }
}
