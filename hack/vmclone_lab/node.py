"""Starts the one node: containerd, pod network, kubelet and kube-proxy (nftables)."""

from __future__ import annotations

import errno
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmclone_lab import layout, pauseimage, processes, toml
from vmclone_lab.controlplane import LEASE_SECONDS, kubectl
from vmclone_lab.progress import wait_for
from vmclone_lab.record import write_atomically

if TYPE_CHECKING:
    from vmclone_lab.lab import Lab
    from vmclone_lab.layout import Layout

CONTAINERD = "containerd"
KUBELET = "kubelet"
PROXY = "kube-proxy"
SOCKET = "/run/containerd/containerd.sock"
CGROUP_ROOT = Path("/sys/fs/cgroup")
START_SECONDS = 90
CGROUP_SECONDS = 10
"""What the kernel may take to let go of a cgroup whose processes were killed."""


def containerd_config(paths: Layout) -> dict[str, Any]:
    """Return containerd's configuration (format 2, as Debian 12 has 1.6)."""
    cri = {
        "sandbox_image": pauseimage.NAME,
        # Without CAP_SYS_RESOURCE a container's oom_score_adj can only go up.
        "restrict_oom_score_adj": True,
        "netns_mounts_under_state_dir": True,
        "cni": {"bin_dir": "/usr/lib/cni", "conf_dir": str(paths.config / "cni")},
    }
    return {
        "version": 2,
        "root": "/var/lib/containerd",
        "state": "/run/containerd",
        "oom_score": 0,
        "grpc": {"address": SOCKET},
        "plugins": {
            "io.containerd.grpc.v1.cri": cri,
            "io.containerd.internal.v1.opt": {"path": "/var/lib/containerd/opt"},
        },
    }


def cni_config() -> dict[str, Any]:
    """Return the pod network: a bridge whose address routes to the node and to the guests."""
    address_management = {
        "type": "host-local",
        "ranges": [[{"subnet": layout.POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": layout.POD_BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": address_management,
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "vmclone-lab", "plugins": [bridge, portmap]}


def kubelet_config(paths: Layout) -> dict[str, Any]:
    """Return the kubelet's configuration: quiet, no eviction, works on cgroup v1 and v2."""
    pki = paths.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "node.crt"),
        "tlsPrivateKeyFile": str(pki / "node.key"),
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{paths.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "oomScoreAdj": 0,
        "maxPods": 64,
        "registerNode": True,
        "nodeLeaseDurationSeconds": LEASE_SECONDS,
        "nodeStatusReportFrequency": "10m",
        "nodeStatusUpdateFrequency": "30s",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "resolvConf": "",
        "enableProfilingHandler": False,
    }


def proxy_config(paths: Layout) -> dict[str, Any]:
    """Return kube-proxy's configuration: nftables, no conntrack sysctls of the machine."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": layout.POD_CIDR,
        "hostnameOverride": layout.NODE_NAME,
        "oomScoreAdj": 0,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "clientConnection": {"kubeconfig": str(paths.config / "proxy.kubeconfig")},
    }


def write_configs(paths: Layout) -> None:
    """Render all configuration files of the node."""
    documents = {
        "cni/10-vmclone-lab.conflist": cni_config(),
        "kubelet.json": kubelet_config(paths),
        "kube-proxy.json": proxy_config(paths),
    }
    for name, document in documents.items():
        write_atomically(paths.config / name, json.dumps(document, indent=2) + "\n")
    write_atomically(paths.config / "containerd.toml", toml.render(containerd_config(paths)))


def ensure_cgroup(paths: Layout) -> None:
    """Make the cgroup under which all pods live: it tells `down` which processes are pods."""
    version_2 = (CGROUP_ROOT / "cgroup.controllers").exists()
    hierarchies = [CGROUP_ROOT] if version_2 else [p for p in CGROUP_ROOT.iterdir() if p.is_dir()]
    for hierarchy in hierarchies:
        if (hierarchy / "cgroup.procs").exists():
            (hierarchy / paths.name).mkdir(exist_ok=True)


def remove_cgroup(paths: Layout) -> None:
    """Remove the pods' cgroups, deepest first."""
    for top in processes.cgroup_directories(paths.name, CGROUP_ROOT):
        for listing in sorted(top.rglob("cgroup.procs"), key=lambda p: len(p.parts), reverse=True):
            wait_for(f"the end of {listing.parent}", partial(_removed, listing.parent), CGROUP_SECONDS)


def _removed(cgroup: Path) -> bool:
    """Remove an empty cgroup; it is busy for a moment after its last process was killed."""
    try:
        cgroup.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def start_runtime(lab: Lab) -> None:
    """Start containerd and give it the pause image."""
    paths = lab.paths
    write_configs(paths)
    ensure_cgroup(paths)
    lab.start(CONTAINERD, [CONTAINERD, "--config", str(paths.config / "containerd.toml")])
    ctr = ["ctr", "--address", SOCKET, "--namespace", "k8s.io"]
    wait_for(
        "containerd",
        lambda: lab.attempt_inside([*ctr, "version"], timeout_seconds=10).returncode == 0,
        START_SECONDS,
        log=lab.log(CONTAINERD),
        alive=lambda: lab.is_running(CONTAINERD),
    )
    if pauseimage.NAME not in lab.run_inside([*ctr, "images", "list", "--quiet"]).split():
        lab.run_inside([*ctr, "images", "import", str(pauseimage.archive(paths.cache))])


def start_agents(lab: Lab) -> None:
    """Start kubelet and kube-proxy."""
    config = lab.paths.config
    binaries = lab.paths.bin
    lab.start(
        KUBELET,
        [
            str(binaries / KUBELET),
            f"--config={config / 'kubelet.json'}",
            f"--kubeconfig={config / 'node.kubeconfig'}",
            f"--hostname-override={layout.NODE_NAME}",
            f"--node-ip={layout.NODE_ADDRESS}",
            f"--cert-dir={lab.paths.state / 'kubelet-pki'}",
        ],
    )
    lab.start(PROXY, [str(binaries / PROXY), f"--config={config / 'kube-proxy.json'}"])


def is_ready(lab: Lab) -> bool:
    """Tell whether the node's Ready condition is True."""
    path = '{.status.conditions[?(@.type=="Ready")].status}'
    query = kubectl(lab, "get", "node", layout.NODE_NAME, f"--output=jsonpath={path}")
    return lab.attempt_inside(query, timeout_seconds=20).stdout.strip() == "True"


def wait(lab: Lab) -> None:
    """Wait until the node is Ready and kube-proxy still runs."""
    wait_for(
        "the node",
        lambda: is_ready(lab),
        START_SECONDS,
        log=lab.log(KUBELET),
        alive=lambda: lab.is_running(KUBELET) and lab.is_running(CONTAINERD),
        pause_seconds=0.3,
    )
    wait_for("kube-proxy", lambda: lab.is_running(PROXY), 5, log=lab.log(PROXY))
