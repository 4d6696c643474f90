"""Makes source VMs: what a developer's own machine is to the operator."""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmclone_lab import agent, domainxml, guestimage, layout, seed
from vmclone_lab.commands import run
from vmclone_lab.errors import LabError
from vmclone_lab.progress import say, step, wait_for
from vmclone_lab.record import write_atomically

if TYPE_CHECKING:
    from vmclone_lab.lab import Lab

DEFAULT_DISK_MIB = 4096
DEFAULT_MEMORY_MIB = 512
BOOT_SECONDS = 900
SHUTDOWN_SECONDS = 180
HOST_KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
NANOSECONDS = 1e9


@dataclass(frozen=True)
class SourceWish:
    """What the user asked for."""

    name: str
    profile: str = "slim"
    disk_mib: int = DEFAULT_DISK_MIB
    memory_mib: int = DEFAULT_MEMORY_MIB
    off: bool = False
    boot_once: bool = False


def _facts_file(lab: Lab, name: str) -> Path:
    return lab.paths.sources / f"{name}.json"


def read_facts(lab: Lab, name: str) -> dict[str, Any]:
    """Return what is known of a source; empty when it was never made."""
    file = _facts_file(lab, name)
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _write_facts(lab: Lab, facts: dict[str, Any]) -> None:
    write_atomically(_facts_file(lab, facts["name"]), json.dumps(facts, indent=2) + "\n")


def shown(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that concern others."""
    return {name: value for name, value in facts.items() if name != "defined"}


def ensure_user_key(lab: Lab) -> Path:
    """Make the SSH key of the sources' user; return the private key's path."""
    key = lab.paths.keys / "dev_ed25519"
    if not key.with_suffix(".pub").exists():
        lab.paths.keys.mkdir(parents=True, exist_ok=True)
        key.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vmclone-lab", "-f", key])
    return key


def state_of(lab: Lab, name: str) -> str:
    """Return libvirt's word for the domain's state; empty when there is no such domain."""
    answer = lab.attempt_inside(["virsh", "domstate", name])
    return answer.stdout.strip() if answer.returncode == 0 else ""


def define(lab: Lab, wish: SourceWish) -> None:
    """Make disk, seed and domain unless they exist; a half-made source is completed."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", wish.name):
        raise LabError(f"{wish.name!r} is no VM name: lower-case letters, digits, hyphens")
    if not lab.is_running("libvirtd"):
        raise LabError("the lab has no libvirtd: run `hack/lab up`")
    if state_of(lab, wish.name):
        return
    with step(f"define source {wish.name} ({wish.profile}, {wish.disk_mib} MiB)"):
        image = guestimage.stage(lab, wish.profile)
        facts = _new_facts(lab, wish)
        source = domainxml.SourceDomain(
            name=wish.name,
            uuid=facts["uuid"],
            memory_mib=wish.memory_mib,
            profile=wish.profile,
            kvm=lab.record.kvm,
        )
        _make_disks(lab, wish, image, facts["uuid"])
        file = lab.paths.config / f"domain-{wish.name}.xml"
        write_atomically(file, domainxml.render(source))
        lab.run_inside(["virsh", "pool-refresh", layout.POOL_NAME])
        lab.run_inside(["virsh", "define", str(file)])
        _write_facts(lab, {**facts, "defined": True})


def _new_facts(lab: Lab, wish: SourceWish) -> dict[str, Any]:
    """Choose the source's uuid and write it down before anything is made with it.

    A half-made source keeps its uuid; one whose domain was deleted is a new machine.
    """
    earlier = read_facts(lab, wish.name)
    kept = None if earlier.get("defined") else earlier.get("uuid")
    facts: dict[str, Any] = {
        "name": wish.name,
        "uuid": kept or str(uuid.uuid4()),
        "user": seed.USER,
        "keyFile": str(ensure_user_key(lab)),
        "profile": wish.profile,
        "diskMiB": wish.disk_mib,
        "booted": False,
    }
    _write_facts(lab, facts)
    return facts


def _make_disks(lab: Lab, wish: SourceWish, image: Path, identity: str) -> None:
    disk = lab.paths.pool / f"{wish.name}.qcow2"
    temporary = disk.with_name(f".{disk.name}.new")
    run(["qemu-img", "convert", "-O", "qcow2", image, temporary])
    if wish.disk_mib > guestimage.IMAGE_MIB:
        run(["qemu-img", "resize", "-q", temporary, f"{wish.disk_mib}M"])
    temporary.rename(disk)
    public_key = ensure_user_key(lab).with_suffix(".pub").read_text().strip()
    seed.write(lab.paths.pool / f"{wish.name}-seed.img", wish.name, identity, public_key)


def bring(lab: Lab, wish: SourceWish) -> dict[str, Any]:
    """Boot the source as wished and return what is known of it."""
    facts = read_facts(lab, wish.name)
    if not facts:
        raise LabError(f"a domain {wish.name} exists that `hack/lab source` did not make")
    running = state_of(lab, wish.name) == "running"
    wanted = not wish.off and not (wish.boot_once and facts["booted"])
    if wanted and not (running and facts.get("hostKey")):
        facts = _boot(lab, facts, running=running)
        running = True
    if wish.boot_once and running:
        _shut_down(lab, wish.name)
    return shown(facts) | {"state": state_of(lab, wish.name)}


def _boot(lab: Lab, facts: dict[str, Any], *, running: bool) -> dict[str, Any]:
    name = facts["name"]
    start = time.monotonic()
    if not running:
        lab.run_inside(["virsh", "start", name])
    with step(f"boot {name}"):
        _wait_for_boot(lab, name)
    if not running:
        facts["bootWallSeconds"] = round(time.monotonic() - start, 1)
        facts["bootCPUSeconds"] = cpu_seconds(lab.run_inside(["virsh", "domstats", name]))
    facts.update(_identity(lab, name))
    facts["booted"] = True
    _write_facts(lab, facts)
    return facts


def _wait_for_boot(lab: Lab, name: str) -> None:
    wait_for(
        f"the guest agent of {name}",
        lambda: agent.answers(lab, name),
        BOOT_SECONDS,
        log=lab.paths.private("/var/log/libvirt") / "qemu" / f"{name}-console.log",
        alive=lambda: state_of(lab, name) == "running",
        pause_seconds=0.5,
    )
    command = ["/usr/bin/systemctl", "is-system-running", "--wait"]
    verdict = agent.output_of(lab, name, command, BOOT_SECONDS).strip()
    if verdict != "running":
        failed = ["/usr/bin/systemctl", "--failed", "--no-legend", "--plain"]
        say(f"{name} is {verdict}: {agent.output_of(lab, name, failed, 60).strip()}")


def cpu_seconds(domain_statistics: str) -> float:
    """Return the CPU time in the output of `virsh domstats`."""
    found = re.search(r"^\s*cpu\.time=(\d+)$", domain_statistics, re.MULTILINE)
    if found is None:
        raise LabError("libvirt tells no CPU time of the guest")
    return round(int(found[1]) / NANOSECONDS, 1)


def _identity(lab: Lab, name: str) -> dict[str, str]:
    """Read the identity from the running guest, and check that sshd shows the same key."""
    address = wait_for(
        f"an address of {name}",
        lambda: agent.ipv4_address(agent.call(lab, name, "guest-network-get-interfaces") or []),
        60,
        pause_seconds=0.5,
    )
    files = agent.output_of(lab, name, ["/bin/cat", HOST_KEY_FILE, "/etc/machine-id"], 60)
    key_line, machine_id = files.splitlines()[:2]
    host_key = " ".join(key_line.split()[:2])
    scan = ["ssh-keyscan", "-T", "10", "-t", "ed25519", address]
    wait_for(
        f"sshd of {name}",
        lambda: host_key in lab.attempt_inside(scan, timeout_seconds=30).stdout,
        120,
        pause_seconds=0.5,
    )
    digest = hashlib.sha256(machine_id.strip().encode()).hexdigest()
    return {"address": address, "hostKey": host_key, "machineIDHash": digest}


def _shut_down(lab: Lab, name: str) -> None:
    with step(f"shut {name} down"):
        lab.run_inside(["virsh", "shutdown", "--mode", "agent", name])
        wait_for(f"the end of {name}", lambda: state_of(lab, name) == "shut off", SHUTDOWN_SECONDS)
