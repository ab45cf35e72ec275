//! A home: broker, gateway with its embedded API, agents, and views into them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use tempfile::TempDir;

use crate::broker::{Broker, free_port};
use crate::kubectl::Kubectl;
use crate::process::{Process, program};
use crate::wait;

/// Long enough for a slow machine, short enough to be a failure.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The grace in most tests; agents beat four times within it.
pub const GRACE: Duration = Duration::from_secs(4);

/// A home in a temporary directory.
#[derive(Debug)]
pub struct Lab {
    /// The broker.
    pub broker: Broker,
    gateway_arguments: Vec<String>,
    gateway: Option<Process>,
    listen: SocketAddr,
    /// Where the data directory is seen from, when it is on a disk of the gateway's own.
    view: PathBuf,
    // Last, so that the logs are there while the processes are dropped.
    dir: TempDir,
}

/// An agent of the lab.
#[derive(Debug)]
pub struct Agent {
    /// The process.
    pub process: Process,
    name: String,
}

impl Agent {
    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Lab {
    /// A broker and a gateway with the embedded API and a grace of [`GRACE`].
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with further arguments for the gateway.
    pub async fn start_with(arguments: &[&str]) -> Result<Self> {
        let mut lab = Self::start_broker().await?;
        lab.start_gateway(arguments).await?;
        Ok(lab)
    }

    /// A broker alone.
    pub async fn start_broker() -> Result<Self> {
        Self::start_broker_with("").await
    }

    /// A broker alone, with further lines of configuration.
    pub async fn start_broker_with(lines: &str) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir()?;
        let lines = format!("allow_anonymous true\n{lines}");
        let broker = Broker::start_with(dir.path(), &lines).await?;
        Ok(Self {
            dir,
            broker,
            gateway_arguments: Vec::new(),
            gateway: None,
            listen: SocketAddr::from(([127, 0, 0, 1], free_port()?)),
            view: PathBuf::from("/"),
        })
    }

    /// Starts the gateway and waits until it answers.
    pub async fn start_gateway(&mut self, arguments: &[&str]) -> Result<()> {
        self.gateway_arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        self.restart_gateway().await
    }

    /// Starts the gateway as it was started before, and waits until it answers.
    pub async fn restart_gateway(&mut self) -> Result<()> {
        self.spawn_gateway()?;
        self.answers().await
    }

    async fn answers(&self) -> Result<()> {
        let ask = || async { self.ready().await };
        wait::until("gateway ready", LIMIT, ask, |(status, _)| *status == 200).await?;
        Ok(())
    }

    /// Starts the gateway with these arguments without waiting for anything.
    pub fn spawn_gateway_with(&mut self, arguments: &[&str]) -> Result<()> {
        self.gateway_arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        self.spawn_gateway()
    }

    /// Starts the gateway with its data directory on a small disk of its own.
    ///
    /// The disk is mounted in a mount namespace that ends with the gateway.
    pub async fn start_gateway_on_small_disk(&mut self, size: &str) -> Result<()> {
        let data_dir = self.path().join("data");
        std::fs::create_dir_all(&data_dir)?;
        let gateway = self.gateway_command()?;
        let script = format!("mount -t tmpfs -o size={size} disk \"$0\" && exec \"$@\"");
        let is_root = rustix::process::getuid().is_root();
        let namespaces = if is_root { "-m" } else { "-rm" };
        let mut arguments = vec![
            namespaces.to_owned(),
            "sh".to_owned(),
            "-c".to_owned(),
            script,
        ];
        arguments.push(data_dir.display().to_string());
        arguments.extend(gateway);
        let process = Process::start("gateway", "unshare", &arguments, &[], self.path())?;
        self.view = PathBuf::from(format!("/proc/{}/root", process.id()?));
        self.gateway = Some(process);
        self.answers().await
    }

    /// Starts the gateway without waiting for anything.
    pub fn spawn_gateway(&mut self) -> Result<()> {
        let mut command = self.gateway_command()?;
        let program = command.remove(0);
        self.gateway = Some(Process::start(
            "gateway",
            program,
            &command,
            &[],
            self.path(),
        )?);
        Ok(())
    }

    fn gateway_command(&self) -> Result<Vec<String>> {
        let mut arguments = vec![program("nodling-gateway")?.display().to_string()];
        arguments.extend(["run", "--api-listen", "127.0.0.1:0"].map(str::to_owned));
        arguments.extend(["--listen".to_owned(), self.listen.to_string()]);
        arguments.push("--data-dir".to_owned());
        arguments.push(self.path().join("data").display().to_string());
        if !self
            .gateway_arguments
            .iter()
            .any(|argument| argument.contains("-broker"))
        {
            arguments.extend(["--broker".to_owned(), self.broker.url()]);
        }
        if !self
            .gateway_arguments
            .iter()
            .any(|argument| argument == "--grace")
        {
            arguments.extend(["--grace".to_owned(), format!("{}s", GRACE.as_secs())]);
        }
        arguments.extend(self.gateway_arguments.iter().cloned());
        Ok(arguments)
    }

    /// The gateway's process.
    pub fn gateway(&mut self) -> Result<&mut Process> {
        self.gateway.as_mut().context("the gateway is not running")
    }

    /// What the gateway logged.
    pub fn gateway_log(&self) -> String {
        std::fs::read_to_string(self.path().join("gateway.log")).unwrap_or_default()
    }

    /// Starts an agent on this machine's own `/proc`.
    pub fn agent(&self, name: &str) -> Result<Agent> {
        self.agent_with(name, name, &[])
    }

    /// Starts an agent with its state in `state`, so that a restart or a clone can share it.
    pub fn agent_with(&self, name: &str, state: &str, arguments: &[&str]) -> Result<Agent> {
        self.agent_configured(name, state, "", arguments)
    }

    /// The same with further lines of configuration.
    pub fn agent_configured(
        &self,
        name: &str,
        state: &str,
        lines: &str,
        arguments: &[&str],
    ) -> Result<Agent> {
        let configuration = self.path().join(format!("agent-{state}.toml"));
        let state_dir = self.path().join(format!("state-{state}"));
        let fleet = self.fleet();
        let text = format!(
            "fleet = \"{fleet}\"\nstate_dir = \"{}\"\n{lines}",
            state_dir.display()
        );
        std::fs::write(&configuration, text)?;
        let mut all: Vec<String> = vec![
            "run".to_owned(),
            "--config".to_owned(),
            configuration.display().to_string(),
            "--node-name".to_owned(),
            name.to_owned(),
        ];
        if !arguments.contains(&"--broker") {
            all.extend(["--broker".to_owned(), self.broker.url()]);
        }
        if !arguments.contains(&"--interval") {
            all.extend(["--interval".to_owned(), "1s".to_owned()]);
        }
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let log = format!("agent-{state}");
        let process = Process::start(&log, program("nodling-agent")?, &all, &[], self.path())?;
        Ok(Agent {
            process,
            name: name.to_owned(),
        })
    }

    /// The gateway's fleet.
    fn fleet(&self) -> &str {
        let mut arguments = self.gateway_arguments.iter();
        let named = arguments.find(|argument| *argument == "--fleet");
        named.and(arguments.next()).map_or("home", String::as_str)
    }

    /// The temporary directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The gateway's data directory.
    pub fn data_dir(&self) -> PathBuf {
        let data_dir = self.path().join("data");
        self.view
            .join(data_dir.strip_prefix("/").unwrap_or(&data_dir))
    }

    /// Where the embedded API listens.
    pub fn api_address(&self) -> Result<SocketAddr> {
        let kubeconfig = std::fs::read_to_string(self.data_dir().join("kubeconfig"))?;
        let server = kubeconfig
            .lines()
            .find_map(|line| line.split_once("https://"));
        let (_, address) = server.context("the kubeconfig names no server")?;
        Ok(address.trim_matches(['"', ' ']).parse()?)
    }

    /// `kubectl` against the embedded API.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(self.path(), &self.data_dir().join("kubeconfig"))
    }

    /// A client of the embedded API.
    pub async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.data_dir().join("kubeconfig"))?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(Client::try_from(config)?)
    }

    /// A Node as the API has it now.
    pub async fn node(&self, name: &str) -> Result<Node> {
        Ok(Api::<Node>::all(self.client().await?).get(name).await?)
    }

    /// When a Node's Lease was renewed; `None` without a Lease.
    pub async fn renewed(&self, name: &str) -> Result<Option<MicroTime>> {
        let leases = Api::<Lease>::namespaced(self.client().await?, "kube-node-lease");
        let lease = leases.get_opt(name).await?;
        Ok(lease.and_then(|lease| lease.spec?.renew_time))
    }

    /// Waits until a Node's Lease is renewed once more.
    pub async fn is_renewed_again(&self, name: &str, limit: Duration) -> Result<()> {
        let seen = self.renewed(name).await?;
        let ask = || async { self.renewed(name).await };
        let what = format!("{name}'s Lease is renewed again");
        wait::until(&what, limit, ask, |renewed| *renewed > seen).await?;
        Ok(())
    }

    /// The Events about a Node.
    pub async fn events(&self, name: &str) -> Result<Vec<Event>> {
        let events = Api::<Event>::all(self.client().await?);
        let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
        Ok(events.list(&about).await?.items)
    }

    /// Waits until the Event is there.
    pub async fn event(&self, name: &str, reason: &str) -> Result<Event> {
        let ask = || async { self.events(name).await };
        let is_there = |events: &Vec<Event>| events.iter().any(|event| is(event, reason));
        let events =
            wait::until(&format!("event {reason} on {name}"), LIMIT, ask, is_there).await?;
        events
            .into_iter()
            .find(|event| is(event, reason))
            .context("it was there a moment ago")
    }

    /// Waits until the Node's Ready has the status.
    pub async fn ready_is(&self, name: &str, status: &str) -> Result<Node> {
        self.condition_is(name, "Ready", status).await
    }

    /// Waits until a condition of the Node has the status.
    pub async fn condition_is(&self, name: &str, kind: &str, status: &str) -> Result<Node> {
        let ask = || async { self.node(name).await };
        let is_so = |node: &Node| condition(node, kind).is_some_and(|it| it.status == status);
        wait::until(&format!("{name} {kind}={status}"), LIMIT, ask, is_so).await
    }

    /// Status and body of `/readyz`.
    pub async fn ready(&self) -> Result<(u16, String)> {
        self.http("/readyz").await
    }

    /// The value of a metric with exactly these labels, 0 when it is not there.
    pub async fn metric(&self, name_and_labels: &str) -> Result<f64> {
        let (_, text) = self.http("/metrics").await?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name_and_labels));
        Ok(line.map_or(Ok(0.0), |value| value.trim().parse())?)
    }

    async fn http(&self, path: &str) -> Result<(u16, String)> {
        get(self.listen, path).await
    }
}

/// A plain HTTP request, by hand: no client is worth a dependency here.
async fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (head, body) = response
        .split_once("\r\n\r\n")
        .context("no HTTP response")?;
    let status = head
        .split(' ')
        .nth(1)
        .ok_or_else(|| anyhow!("no status in {head}"))?;
    Ok((status.parse()?, body.to_owned()))
}

/// A condition of a Node.
pub fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|it| it.type_ == kind)
}

/// Whether the Node carries a taint of this key and effect.
pub fn is_tainted(node: &Node, key: &str, effect: &str) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.is_some_and(|taints| taints.iter().any(|it| it.key == key && it.effect == effect))
}

fn is(event: &Event, reason: &str) -> bool {
    event.reason.as_deref() == Some(reason)
}
