"""QEMU guests of the lab behind the VMs of the double: a run command is a script that the guest itself runs.

    world = World(time.monotonic)
    world.guests = LabGuests(Machines.of_lab(lab))

A disk, snapshot or disk restore point is a file of the lab's pool. What Azure gives its guests over its own channels
(vmId, user data, osProfile with custom data) is put into a NoCloud seed, for the lab's guests know that alone.
Addresses are reserved at the lab's DHCP server. Azure's agent is played by the QEMU guest agent: it stores the script
below /var/lib/waagent/run-command-handler, as Azure's does, and runs it with bash as root, without any input.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.doubles.arm.guests import Hardware, Outcome
from tests.doubles.machines import Build, Machines, NoAnswer, Plug

from vmclone_lab.commands import run

_RUN = """
set -eu
umask 077
folder=/var/lib/waagent/run-command-handler/download/$1/0
mkdir -p "$folder"
cat >"$folder/script.sh"
exec bash "$folder/script.sh" </dev/null
"""


@dataclass(slots=True)
class LabRun:
    """A script in a real guest: it has ended when the guest's agent says so."""

    ask: Callable[[], dict[str, Any]]
    now: Callable[[], float]
    began: float

    def look(self) -> Outcome | None:
        try:
            told = self.ask()
        except NoAnswer:
            return None  # no answer, no result
        if not told["exited"]:
            return None
        return Outcome(
            exit_code=int(told.get("exitcode", 128 + int(told.get("signal", 0)))),
            stdout=_text(told.get("out-data", "")),
            stderr=_text(told.get("err-data", "")),
            seconds=self.now() - self.began,
        )


@dataclass(slots=True)
class LabGuests:
    """Guests that really boot."""

    machines: Machines
    now: Callable[[], float]
    given: dict[str, Path] = field(default_factory=dict)
    """By id in lower case, files that were there before; the double never removes them."""
    names: dict[str, str] = field(default_factory=dict)
    """By id in lower case, machines that the lab itself has defined."""
    images: dict[str, Path] = field(default_factory=dict)
    """By urn, the disk of an image."""
    cards: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By id in lower case, the MACs for which addresses are reserved."""

    def boot(self, hardware: Hardware) -> None:
        name = self._name(hardware.vm)
        if hardware.vm in self.names:
            if not self.machines.runs(name):
                self.machines.resume(name)
            return
        plugs = _plugs(hardware)
        for card, (_, address) in zip(plugs, hardware.cards, strict=True):
            self.machines.reserve(card.mac, address)
        self.cards[hardware.vm] = tuple(card.mac for card in plugs)
        seed = self.machines.file(f"{name}-seed.img")
        write_seed(seed, hardware)
        disks = [self._file(disk) for disk in hardware.disks]
        self.machines.start(Build(name=name, uuid=hardware.vm_id, disks=disks, seeds=[seed], cards=plugs))

    def end(self, vm: str) -> None:
        self.machines.stop(self._name(vm))
        for mac in self.cards.pop(vm, ()):
            self.machines.release(mac)
        if vm not in self.names:
            self.machines.file(f"{self._name(vm)}-seed.img").unlink(missing_ok=True)

    def relink(self, hardware: Hardware) -> None:
        self.machines.plug(self._name(hardware.vm), _plugs(hardware))

    def copied(self, source: str, target: str) -> None:
        self.machines.copy(self._file(source), self._file(target), linked=False)

    def installed(self, image: str, disk: str) -> None:
        self.machines.copy(self.images[image], self._file(disk), linked=True)

    def freed(self, disk: str) -> None:
        if disk not in self.given:
            self._file(disk).unlink(missing_ok=True)

    def agent_ready(self, vm: str) -> bool:
        return self.machines.answers(self._name(vm))

    def run(self, vm: str, script: str) -> LabRun:
        name = self._name(vm)
        digest = hashlib.sha256(script.encode()).hexdigest()[:16]
        pid = self.machines.execute(name, ["/bin/sh", "-c", _RUN, "sh", digest], script.encode())
        return LabRun(lambda: dict(self.machines.ask(name, "guest-exec-status", pid=pid)), self.now, self.now())

    def _name(self, vm: str) -> str:
        return self.names.get(vm, f"arm-{vm.rsplit('/', 1)[-1]}")

    def _file(self, disk: str) -> Path:
        """Return the file of a disk: ids are too long for names of files."""
        digest = hashlib.sha256(disk.encode()).hexdigest()[:12]
        last = re.sub(r"[^a-z0-9-]+", "-", disk.rsplit("/", 1)[-1])[:40]
        return self.given.get(disk) or self.machines.file(f"arm-{last}-{digest}.qcow2")


def seed_files(hardware: Hardware) -> dict[str, str]:
    """Return what a guest finds of its platform at boot, as NoCloud has it."""
    profile = hardware.os_profile
    encoded = hardware.custom_data or hardware.user_data
    user = base64.b64decode(encoded).decode() if encoded else "#cloud-config\n{}\n"
    meta = {"instance-id": hardware.vm_id, "local-hostname": profile.get("computerName", hardware.name)}
    if not profile:
        meta["dsmode"] = "local"  # a copied disk boots without a network
    return {"meta-data": json.dumps(meta) + "\n", "user-data": user}


def write_seed(target: Path, hardware: Hardware) -> None:
    """Write a NoCloud image."""
    folder = target.with_name(target.name + ".files")
    folder.mkdir(exist_ok=True)
    files = [folder / name for name in seed_files(hardware)]
    try:
        for file, text in zip(files, seed_files(hardware).values(), strict=True):
            file.write_text(text)
        options = ["-quiet", "-volid", "cidata", "-joliet", "-rock", "-output", str(target)]
        run(["genisoimage", *options, *map(str, files)])
    finally:
        for file in files:
            file.unlink(missing_ok=True)
        folder.rmdir()


def _plugs(hardware: Hardware) -> list[Plug]:
    return [Plug(mac=mac.replace("-", ":"), up=hardware.connected) for mac, _ in hardware.cards]


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode(errors="replace")
