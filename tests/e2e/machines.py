"""The VMs as libvirt and they themselves tell it, so that no test has to believe the operator's status."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from tests.e2e.cluster import Document
from tests.support.cluster_cli import kubectl

from vmclone_demo.release import NAMESPACE
from vmclone_operator.domain import naming

ROOT = Path(__file__).parents[2]
POOL = Path("/var/lib/libvirt/images")
"""Where the lab keeps its pool, as seen from inside it."""
_LOOK = (
    "hostname; cat /etc/machine-id; cut -d' ' -f1-2 /etc/ssh/ssh_host_ed25519_key.pub;"
    " cat $(ls -d /sys/class/net/* | grep -v '/lo$' | head -1)/address; sudo cat /sys/class/dmi/id/product_uuid;"
    " cat /proc/sys/kernel/random/boot_id; cut -d. -f1 /proc/uptime"
)


def lab_source(*arguments: str) -> dict[str, Any]:
    """Boot (or find) a source VM with `hack/lab source` and return what it prints."""
    argv = [str(ROOT / "hack" / "lab"), "source", *arguments]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=1200, check=True)
    return dict(json.loads(done.stdout))


def virsh(*arguments: str) -> str:
    done = subprocess.run(["virsh", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"virsh {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def domains(state: str = "--all") -> set[str]:
    return set(virsh("list", state, "--name").split())


def volumes(prefix: str = "vmclone-") -> set[str]:
    """Return the files of the pool that begin so: the disk itself is asked, not libvirt's memory of it."""
    return {file.name for file in POOL.iterdir() if file.name.startswith(prefix)}


@cache
def installation() -> str:
    """Return what the operator's volumes are named after beside their owners: the uid of its namespace."""
    return kubectl("get", "namespace", NAMESPACE, "-o", "jsonpath={.metadata.uid}")


def disks_of(replica: Document) -> str:
    """Return what the names of all volumes of a replica's clone begin with."""
    return naming.volume_prefix(installation(), replica["metadata"]["uid"])


def bases_of(vmclone: Document) -> str:
    """Return what the names of all volumes of a VMClone's frozen points begin with."""
    return naming.frozen_prefix(installation(), vmclone["metadata"]["uid"])


def volumes_of(vmclone: Document, replicas: list[Document]) -> set[str]:
    """Return every file that was made for a VMClone or one of these incarnations."""
    return volumes(bases_of(vmclone)).union(*(volumes(disks_of(replica)) for replica in replicas))


def domains_of(replicas: list[Document]) -> set[str]:
    names = {naming.vm_name(r["spec"]["session"], r["metadata"]["uid"]) for r in replicas}
    return names & domains()


def copy_seconds(name: str) -> float:
    """Return what `qemu-img convert` takes to copy the disk of a source VM of ours, which may run meanwhile."""
    copy = POOL / f".{name}-copied.qcow2"
    begun = time.monotonic()
    argv = ["qemu-img", "convert", "-U", "-O", "qcow2", str(POOL / f"{name}.qcow2"), str(copy)]
    subprocess.run(argv, check=True, timeout=300)
    copy.unlink()
    return time.monotonic() - begun


def remove_machine(name: str) -> None:
    """Take a source VM of ours away, with its files."""
    if name in domains("--state-running"):
        virsh("destroy", name)
    virsh("undefine", name)
    for file in (POOL / f"{name}.qcow2", POOL / f"{name}-seed.img"):
        file.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Login:
    """How to reach a VM: only this host key is trusted."""

    address: str
    host_key: str
    key_file: str
    user: str = "dev"

    def argv(self, known_hosts: Path, command: str) -> list[str]:
        known_hosts.write_text(f"{self.address} {self.host_key}\n")
        options = {"UserKnownHostsFile": str(known_hosts), "GlobalKnownHostsFile": "/dev/null"}
        options |= {"StrictHostKeyChecking": "yes", "BatchMode": "yes", "ConnectTimeout": "30"}
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return ["ssh", *words, "-i", self.key_file, f"{self.user}@{self.address}", command]

    def run(self, command: str) -> str:
        done = self._ran(command)
        assert done.returncode == 0, f"ssh {self.address}: {done.stderr}"
        return done.stdout.strip()

    def boot_id(self) -> str:
        """Return which boot the VM is in; empty while it lets nobody in."""
        try:
            done = self._ran("cat /proc/sys/kernel/random/boot_id")
        except subprocess.TimeoutExpired:  # it went down while it was asked
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def reboot(self) -> None:
        """Reboot it from inside; the connection may break before it is answered."""
        self._ran("sudo systemctl --no-block reboot")

    def _ran(self, command: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as folder:
            argv = self.argv(Path(folder) / "known_hosts", command)
            return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def login_to_source(facts: Mapping[str, Any]) -> Login:
    return Login(address=facts["address"], host_key=facts["hostKey"], key_file=facts["keyFile"])


def login_to_clone(replica: Document, facts: Mapping[str, Any]) -> Login:
    """Return how to reach a Ready clone; its user keys came with the source's disk."""
    guest = replica["status"]["guest"]
    return Login(address=guest["addresses"][0], host_key=guest["sshHostKeys"][0], key_file=facts["keyFile"])


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who a running VM is, from inside and from its domain XML."""

    domain: str
    address: str
    hostname: str
    machine_id: str
    host_key: str
    mac: str
    uuid: str
    product_uuid: str
    boot_id: str
    uptime_seconds: int
    domain_macs: tuple[str, ...]

    def unique_parts(self) -> dict[str, str]:
        """Return what two VMs must never share."""
        names = ("domain", "address", "hostname", "machine_id", "host_key", "mac", "uuid", "product_uuid")
        return {name: str(getattr(self, name)).lower() for name in names}


def identity(domain: str, login: Login) -> Identity:
    hostname, machine_id, host_key, mac, product, boot_id, uptime = login.run(_LOOK).splitlines()
    document = ET.fromstring(virsh("dumpxml", domain))  # noqa: S314  - libvirt's own answer
    return Identity(
        domain=domain,
        address=login.address,
        hostname=hostname,
        machine_id=machine_id,
        host_key=host_key,
        mac=mac,
        uuid=document.findtext("uuid", ""),
        product_uuid=product,
        boot_id=boot_id,
        uptime_seconds=int(uptime),
        domain_macs=tuple(element.get("address", "") for element in document.findall(".//interface/mac")),
    )


class Starts:
    """Every start of every VM, as libvirt reports it while the tests run."""

    def __init__(self, file: Path) -> None:
        """Begin to listen; events go to the file."""
        self._file = file
        self._sink: IO[bytes] = file.open("wb")
        argv = ["virsh", "event", "--all", "--loop", "--timestamp"]
        self._listener = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._sink, stderr=self._sink)

    def of(self, domain: str) -> int:
        """Return how often this VM was started or rebooted."""
        return sum(name == domain for name in self.all())

    def all(self) -> list[str]:
        text = self._file.read_text()
        started = re.findall(r"event 'lifecycle' for domain '?([^':]+)'?: Started", text)
        return [*started, *re.findall(r"event 'reboot' for domain '?([^':\n]+)'?", text)]

    def close(self) -> None:
        self._listener.terminate()
        self._listener.wait(timeout=10)
        self._sink.close()
