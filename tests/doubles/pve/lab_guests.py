"""QEMU guests of the lab behind the VMs of the double: its agent calls reach the agent that is in them.

    guests = LabGuests(Machines.of_lab(lab))
    world = World(time.monotonic, epoch=time.time(), guests=guests)
    guests.storages = world.storages

A volume is a file of the lab's pool. A linked clone stands on its template's file; the content of an ISO image, a
seed, is what was uploaded. A guest that is shut down is asked to end, and its plug is pulled when the double says that
it has ended; one that switches itself off stays "running" for the double.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.doubles.machines import Build, Machines, NoAnswer, Plug
from tests.doubles.pve.guests import AgentError, Hardware, MissingBinary, Run
from tests.doubles.pve.storages import Storages

_NO_BINARY = "Failed to execute child process"


@dataclass(slots=True, kw_only=True)
class LabRun(Run):
    """A command in a real guest: it has ended when the guest's agent says so."""

    ask: Callable[[], dict[str, Any]]

    def look(self) -> None:
        told = self.ask()
        if told["exited"]:
            self.done_at = 0.0
            self.exit_code, self.signal = int(told.get("exitcode", 0)), int(told.get("signal", 0))
            self.out = base64.b64decode(told.get("out-data", ""))
            self.err = base64.b64decode(told.get("err-data", ""))


class LabGuests:
    """Guests that really boot."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self.storages = Storages()
        """Those of the world."""
        self.given: dict[str, Path] = {}
        """By volume id, files that were there before; the double never removes them."""
        self.names: dict[int, str] = {}
        """By VM id, machines that the lab itself has defined."""

    def boot(self, hardware: Hardware) -> None:
        if hardware.vmid in self.names:
            self._machines.resume(self.names[hardware.vmid])
            return
        media = [self.storages.volumes[volume] for volume in hardware.disks]
        disks = [one for one in media if one.content == "images"]
        for one in disks:
            self._machines.grow(self._file(one.id), one.size)
        seeds = [one for one in media if one.content == "iso"]
        for one in seeds:
            self._file(one.id).write_bytes(one.data)
        self._machines.start(
            Build(
                name=f"pve-{hardware.vmid}",
                uuid=hardware.uuid,
                disks=[self._file(one.id) for one in disks],
                seeds=[self._file(one.id) for one in seeds],
                cards=_plugs(hardware),
                memory_mib=hardware.memory_mib,
            )
        )

    def end(self, vmid: int) -> None:
        self._machines.stop(self._name(vmid))

    def relink(self, hardware: Hardware) -> None:
        self._machines.plug(self._name(hardware.vmid), _plugs(hardware))

    def copied(self, source: str, target: str) -> None:
        linked = bool(self.storages.volumes[target].parent)
        if source in self.storages.volumes:
            self._machines.copy(self._file(source), self._file(target), linked=linked)
        else:  # it is being renamed to a template's disk
            self._file(target).hardlink_to(self._file(source))

    def freed(self, volume: str) -> None:
        if volume not in self.given:
            self._file(volume).unlink(missing_ok=True)

    def agent_answers(self, vmid: int) -> bool:
        return self._machines.answers(self._name(vmid))

    def shuts_down(self, vmid: int) -> bool:
        if not self.agent_answers(vmid):
            return False
        self._machines.execute(self._name(vmid), ["/bin/systemctl", "poweroff", "--no-block"])
        return True

    def execute(self, vmid: int, command: Sequence[str], stdin: bytes) -> Run:
        pid = self._told(self._machines.execute, vmid, command, stdin)
        return LabRun(done_at=float("inf"), ask=lambda: self._told(self._status, vmid, pid))

    def read(self, vmid: int, path: str) -> bytes:
        content: bytes = self._told(self._machines.read, vmid, path)
        return content

    def write(self, vmid: int, path: str, content: bytes) -> None:
        self._told(self._machines.write, vmid, path, content)

    def interfaces(self, vmid: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._told(self._machines.ask, vmid, "guest-network-get-interfaces")
        return rows

    def os_info(self, vmid: int) -> dict[str, Any]:
        row: dict[str, Any] = self._told(self._machines.ask, vmid, "guest-get-osinfo")
        return row

    def freeze(self, vmid: int, *, frozen: bool) -> int:
        count: int = self._told(self._machines.ask, vmid, f"guest-fsfreeze-{'freeze' if frozen else 'thaw'}")
        return count

    def frozen(self, vmid: int) -> bool:
        return bool(self._told(self._machines.ask, vmid, "guest-fsfreeze-status") == "frozen")

    def _status(self, name: str, pid: int) -> dict[str, Any]:
        told: dict[str, Any] = self._machines.ask(name, "guest-exec-status", pid=pid)
        return told

    def _told(self, call: Callable[..., Any], vmid: int, *given: object) -> Any:
        """Return what a machine answers; what it refuses reads as the server says it."""
        try:
            return call(self._name(vmid), *given)
        except NoAnswer as error:
            if _NO_BINARY in str(error):
                raise MissingBinary(str(error)) from error
            raise AgentError(str(error)) from error

    def _name(self, vmid: int) -> str:
        return self.names.get(vmid, f"pve-{vmid}")

    def _file(self, volume: str) -> Path:
        return self.given.get(volume) or self._machines.file("pve-" + re.sub(r"[^A-Za-z0-9.]+", "-", volume))


def _plugs(hardware: Hardware) -> list[Plug]:
    return [Plug(mac=card.address, up=card.up) for card in hardware.cards]
