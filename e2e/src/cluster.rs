//! The cluster that the tests run on: the one of `e2e/cluster` on this machine, or the one that `KUBECONFIG` names.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one call to the API server may take.
pub const API_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection within the cluster may take.
const NEAR: Duration = Duration::from_secs(2);
/// Where named network namespaces are.
const NAMESPACES: &str = "/run/netns";

/// A cluster, and what can be done to it.
#[derive(Clone)]
pub struct Cluster {
    /// Its API server.
    pub client: Client,
    /// The machine's own cluster, to whose nodes and processes faults can be done; none for a foreign one.
    pub local: Option<Local>,
    /// Pods and Services can be reached from here.
    pub reached: bool,
}

/// The cluster of `e2e/cluster`.
#[derive(Clone, Debug)]
pub struct Local {
    name: String,
}

impl Cluster {
    /// The cluster of `KUBECONFIG`, else the local one.
    pub async fn find() -> Result<Self> {
        let local = Local {
            name: env::var("CLUSTER").unwrap_or_else(|_| "ro".to_owned()),
        };
        let own = local.kubeconfig();
        let named = env::var_os("KUBECONFIG").map(PathBuf::from).filter(|file| *file != own);
        let file = named.as_ref().unwrap_or(&own);
        ensure!(
            file.exists(),
            "there is no cluster: bring one up with `make cluster`, or set KUBECONFIG ({} does not exist)",
            file.display()
        );
        if named.is_none() {
            local.ensure_inside()?;
        }
        let kubeconfig = Kubeconfig::read_from(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.connect_timeout = Some(API_LIMIT);
        let client = Client::try_from(config)?;
        let reached = named.is_none() || reaches(&client).await?;
        Ok(Self {
            client,
            local: named.is_none().then_some(local),
            reached,
        })
    }

    /// The local cluster, or why a test that needs it cannot run.
    pub fn local(&self) -> Result<&Local> {
        self.local
            .as_ref()
            .context("this needs the nodes of the local cluster (`make cluster`), not one that KUBECONFIG names")
    }
}

/// Whether this process is in the cluster's network: in a pod, or on a node. The API server's own Service is in every cluster.
async fn reaches(client: &Client) -> Result<bool> {
    let services = Api::<Service>::namespaced(client.clone(), "default");
    let service = timeout(API_LIMIT, services.get("kubernetes"))
        .await
        .context("the API server does not answer")??;
    let spec = service.spec.context("the API server's Service has no spec")?;
    let port = spec.ports.iter().flatten().next().map_or(443, |port| port.port);
    let address = (spec.cluster_ip.unwrap_or_default(), u16::try_from(port)?);
    let connected = timeout(NEAR, TcpStream::connect(address)).await;
    Ok(connected.is_ok_and(|connected| connected.is_ok()))
}

impl Local {
    /// How its administrator reaches the API server.
    pub fn kubeconfig(&self) -> PathBuf {
        PathBuf::from(format!("/run/{}/kubeconfig", self.name))
    }

    /// Pods and API server are reached only within the cluster's own network.
    fn ensure_inside(&self) -> Result<()> {
        let control_plane = self.network("cp");
        let inode = |path: &Path| fs::metadata(path).map(|found| found.ino());
        let there = inode(&control_plane).with_context(|| format!("no network of cluster {}", self.name))?;
        if inode(Path::new("/proc/self/ns/net"))? != there {
            bail!(
                "run this inside the cluster's network: e2e/cluster/in-node cp {}",
                env::args().collect::<Vec<_>>().join(" ")
            );
        }
        Ok(())
    }

    /// The network namespace of a node (`cp` is the control plane).
    pub fn network(&self, node: &str) -> PathBuf {
        Path::new(NAMESPACES).join(format!("{}-{node}", self.name))
    }

    /// The network of the switch, and the name of a node's port there.
    pub fn port(&self, node: &str) -> (PathBuf, String) {
        (self.network("lan"), format!("p-{}-{node}", self.name))
    }

    /// The process of a component, such as `kubelet` of `n1` or `kube-apiserver` of `cp`.
    pub fn component(&self, node: &str, name: &str) -> Result<u32> {
        let file = PathBuf::from(format!("/run/{}/{node}-{name}.pid", self.name));
        let pid = fs::read_to_string(&file).with_context(|| format!("no component {}", file.display()))?;
        Ok(pid.trim().parse()?)
    }

    /// Starts a component again that was killed.
    pub fn start(&self, node: &str, name: &str) -> Result<()> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/component");
        let started = Command::new(script)
            .env("CLUSTER", &self.name)
            .args([node, name])
            .status()?;
        ensure!(started.success(), "{name} of {node} cannot be started again: {started}");
        Ok(())
    }

    /// Takes a node's power, or gives it back.
    pub fn power(&self, node: &str, state: &str) -> Result<()> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/power");
        let set = Command::new(script)
            .env("CLUSTER", &self.name)
            .args([node, state])
            .status()?;
        ensure!(set.success(), "the power of {node} cannot be set {state}: {set}");
        Ok(())
    }

    /// Gives an image of a node another name as well.
    pub fn tag(&self, node: &str, image: &str, name: &str) -> Result<()> {
        let tagged = Command::new("ctr")
            .arg("--address")
            .arg(self.containerd(node))
            .args(["--namespace", "k8s.io", "images", "tag", "--force", image, name])
            .status()?;
        ensure!(
            tagged.success(),
            "image {image} of {node} gets no second name: {tagged}"
        );
        Ok(())
    }

    /// The socket of a node's containerd.
    pub fn containerd(&self, node: &str) -> PathBuf {
        PathBuf::from(format!("/run/{}/{node}/containerd.sock", self.name))
    }
}
