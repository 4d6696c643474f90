"""Every path, name and address of the lab, decided once, so that `down` knows what `up` made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_NAME = "vmclone-lab"
NODE_NAME = "vmclone-lab"
NODE_BRIDGE = "vmclone-node"
NODE_ADDRESS = "10.90.0.1"
NODE_PREFIX = 24
POD_BRIDGE = "vmclone-pods"
POD_CIDR = "10.90.16.0/24"
SERVICE_CIDR = "10.90.32.0/24"
SERVICE_API_ADDRESS = "10.90.32.1"
GUEST_NETWORK = "default"
GUEST_BRIDGE = "virbr0"
GUEST_ADDRESS = "10.90.64.1"
GUEST_NETMASK = "255.255.252.0"
GUEST_DHCP_RANGE = ("10.90.64.50", "10.90.67.250")
API_PORT = 6443
LIBVIRT_TLS_PORT = 16514
POOL_NAME = "default"
POOL_PATH = "/var/lib/libvirt/images"
BOOT_PATH = "/var/lib/libvirt/boot"

# Directories of the machine that lab processes see replaced by directories of the lab.
PRIVATE_DIRECTORIES = (
    "/etc/libvirt",
    "/var/lib/libvirt",
    "/run/libvirt",
    "/var/cache/libvirt",
    "/var/log/libvirt",
    "/run/containerd",
    "/var/lib/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/pods",
    "/var/log/containers",
)
# Covered only where it is: no service manager of the machine learns of our guests.
OPTIONAL_DIRECTORIES = ("/run/dbus",)


@dataclass(frozen=True)
class Layout:
    """Where the lab keeps what lives (`state`) and what survives `down` (`cache`)."""

    state: Path
    cache: Path
    name: str = DEFAULT_NAME
    """Of the network namespace and the pods' cgroup; another name is another lab beside this one."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Layout:
        """Read VMCLONE_LAB_NAME, VMCLONE_LAB_STATE, VMCLONE_CACHE, XDG_CACHE_HOME and HOME."""
        xdg = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "/root")) / ".cache")
        cache = environment.get("VMCLONE_CACHE") or str(Path(xdg) / "vmclone")
        name = environment.get("VMCLONE_LAB_NAME") or DEFAULT_NAME
        state = environment.get("VMCLONE_LAB_STATE") or f"/var/lib/{name}"
        return cls(
            state=Path(os.path.abspath(state)),  # noqa: PTH100 - a link stays a link
            cache=Path(os.path.abspath(cache)),  # noqa: PTH100
            name=name,
        )

    @property
    def record_file(self) -> Path:
        """The state file: processes, created directories, changed sysctls."""
        return self.state / "lab.json"

    @property
    def lock_file(self) -> Path:
        """Held by `up`, `down` and `source`; in the cache because `down` removes the state."""
        return self.cache / f"{self.name}.lock"

    @property
    def bin(self) -> Path:
        """Links to the cached commands of this lab; first on the PATH of `exec`."""
        return self.state / "bin"

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.state / "logs"

    @property
    def pki(self) -> Path:
        """Certificates of the cluster."""
        return self.state / "pki"

    @property
    def client_pki(self) -> Path:
        """What a libvirt TLS client needs, under the names that `pkipath=` expects."""
        return self.state / "libvirt-client-pki"

    @property
    def config(self) -> Path:
        """Rendered configuration files."""
        return self.state / "config"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, JSON lines."""
        return self.logs / "audit.log"

    @property
    def keys(self) -> Path:
        """SSH key of the sources' user."""
        return self.state / "keys"

    @property
    def sources(self) -> Path:
        """One JSON file per source VM."""
        return self.state / "sources"

    @property
    def netns_file(self) -> Path:
        """The name under which `ip netns` pins the lab's network namespace."""
        return Path("/run/netns") / self.name

    def private(self, directory: str) -> Path:
        """The directory of the lab that covers `directory` of the machine."""
        return self.state / "private" / directory.strip("/").replace("/", "-")

    @property
    def pool(self) -> Path:
        """The storage pool as the machine sees it (inside the lab it is POOL_PATH)."""
        return self.private("/var/lib/libvirt") / "images"
