"""What makes the demo's clones: the lab's libvirtd, or a double of another API with guests of that libvirtd behind it.

A place is the only thing in which the demos differ: the block of the CloneBackend, its Secret, and what an image is
called there. The double runs beside the operator in the lab and ends with it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmclone_demo import release
from vmclone_demo.cluster import ROOT
from vmclone_lab.lab import Lab
from vmclone_lab.layout import Layout
from vmclone_lab.progress import wait_for

_START_SECONDS = 60
_HYPERVISORS = ("libvirt", "proxmox", "azure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What makes clones, and how many the demo shows of it."""

    block: Mapping[str, Any]
    """What names it in a CloneBackend; empty: as the example has it."""
    secret: str
    image: str
    disk_clones: int
    clean_clones: int
    told: str = ""
    """What is other than in the examples, for people."""

    def backend(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return the spec of a CloneBackend with this place in it."""
        if not self.block:
            return dict(spec)
        kept = {key: value for key, value in spec.items() if key not in _HYPERVISORS}
        return {**kept, **self.block, "credentials": {"secretRef": {"name": self.secret}}}


def libvirt(source: str, image: str) -> Place:  # noqa: ARG001 - it has its own VMs
    """Use the lab's libvirtd."""
    release.prepare()
    return Place(block={}, secret=release.HYPERVISOR, image=f"{image}.qcow2", disk_clones=3, clean_clones=2)


def proxmox(source: str, image: str) -> Place:
    """Start the double of Proxmox VE with the source as a VM of it, and give the operator a token."""
    told = _double("pve", source, image)
    token = {"token-id": told["tokenID"].encode(), "token-secret": told["tokenSecret"].encode()}
    release.give_secret("lab-proxmox", token)
    print(
        f"== a double of Proxmox VE at {told['endpoint']}, its VMs real guests: VM 100 {source}, template 200 {image}"
    )
    return Place(
        block={"proxmox": {"endpoints": [told["endpoint"]], "fingerprint": told["fingerprint"]}},
        secret="lab-proxmox",  # noqa: S106 - a name
        image=image,
        disk_clones=2,
        clean_clones=1,
        told=", its CloneBackend with the block proxmox",
    )


def azure(source: str, image: str) -> Place:
    """Start the double of Azure with the source as a VM of it, and give the operator an application's secret."""
    told = _double("arm", source, image)
    release.give_secret("lab-azure", {"client-secret": told["secret"].encode()})
    block = told["block"]
    where = f"{block['endpoint']}, its VMs real guests"
    print(f"== a double of Azure at {where}: VM {source} in the group {block['resourceGroup']}, image {told['image']}")
    return Place(
        block={"azure": block},
        secret="lab-azure",  # noqa: S106 - a name
        image=told["image"],
        disk_clones=2,
        clean_clones=1,
        told=", its CloneBackend with the block azure",
    )


def _double(name: str, source: str, image: str) -> dict[str, Any]:
    """Start a double in the lab unless it runs, and return what it says of itself."""
    lab = Lab(Layout.from_environment(os.environ))
    process = f"{name}-double"
    facts = lab.paths.state / f"{process}.json"
    if not lab.is_running(process):
        facts.unlink(missing_ok=True)
        path = f"PYTHONPATH={ROOT}:{os.environ.get('PYTHONPATH', '')}"
        serve = ["-m", f"tests.doubles.{name}.lab_site", "--source", source, "--image", image, "--facts", str(facts)]
        lab.start(process, ["env", path, sys.executable, *serve])
    return wait_for(
        f"the double {name}",
        lambda: _read(facts),
        _START_SECONDS,
        log=lab.log(process),
        alive=lambda: lab.is_running(process),
    )


def _read(facts: Path) -> dict[str, Any] | None:
    if not facts.exists():
        return None
    told: dict[str, Any] = json.loads(facts.read_text())
    return told


PLACES: dict[str, Callable[[str, str], Place]] = {"libvirt": libvirt, "proxmox": proxmox, "azure": azure}
