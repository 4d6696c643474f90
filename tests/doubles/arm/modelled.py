"""The fake backend's guest behind the double: it knows our own scripts, so an operator's whole life runs on it.

    world.guests.disks[boot_disk] = vmclone_disk(Guest(machine_id=..., hostname=..., host_key=...))
    use_vmclone_guests(world.guests)

A copy of the disk is a copy of the guest: a clone is its source until our identity reset ran in it. Scripts are
recognised by their text, as the adapter packs them (`providers.azure.guest.packed`).
"""

from __future__ import annotations

import base64
import gzip
import re
from typing import Any

import yaml
from tests.doubles.arm.guests import Disk, Machine, ModelledGuests, Outcome

from vmclone_operator.domain import guest as scripts
from vmclone_operator.domain import guest_access, guest_keys
from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.domain.guest_tasks import IDENTITY, composed
from vmclone_operator.providers.azure.guest import packed
from vmclone_operator.providers.fake.guest import Guest

_AT_ONCE = composed(
    release=scripts.RELEASE_NETWORK_WAIT.script, launch=scripts._IDENTITY_SCRIPT, probe=scripts.PROBE.script
)
_OURS = {_AT_ONCE: IDENTITY, guest_access._SCRIPT: "copy-access", guest_keys.SCRIPT: "access-keys"}
_HEREDOC = re.compile(r"<<'(VMCLONE_[0-9a-f]+)'[^\n]*\n(.*?)\n\1\n", re.DOTALL)


def vmclone_disk(guest: Guest, *, boot_seconds: float = 0) -> Disk:
    """Return a disk with this guest on it."""
    return Disk(state={"guest": guest}, boot_seconds=boot_seconds)


def use_vmclone_guests(guests: ModelledGuests) -> None:
    """Let every guest that was put on a disk with `vmclone_disk` do what ours do."""
    guests.program = _execute
    guests.booted, guests.ended = _booted, _ended


def unpacked(script: str) -> tuple[str, str]:
    """Return the script and the input that were packed; two empty texts for anything else."""
    parts = [gzip.decompress(base64.b64decode(code)).decode() for _, code in _HEREDOC.findall(script)]
    if len(parts) != 2 or packed(parts[0], parts[1]) != script:
        return "", ""
    return parts[0], parts[1]


def _execute(machine: Machine, script: str) -> Outcome:
    ours, stdin = unpacked(script)
    name = _OURS.get(ours, "")
    if not name:
        return Outcome(exit_code=127, stderr="sh: not known to the modelled guest\n")
    if name != IDENTITY:
        answer = _said(machine, GuestCommand(name=name, script="", stdin=stdin), at=machine.now())
        return Outcome(exit_code=answer.exit_code, stdout=answer.stdout, stderr=answer.stderr)
    started = _said(machine, GuestCommand(name="identity", script="", stdin=stdin), at=machine.now())
    if started.exit_code:
        return Outcome(exit_code=started.exit_code, stderr=started.stderr)
    seconds = _guest(machine).reset_seconds
    probe = _said(machine, GuestCommand(name="probe", script=""), at=machine.now() + seconds)
    return Outcome(exit_code=0, stdout=probe.stdout, seconds=seconds)


def _said(machine: Machine, command: GuestCommand, *, at: float) -> Any:
    return _guest(machine).execute(
        command, now=at, machine_id=_machine_id(machine), connected=machine.hardware.connected, settled=True
    )


def _guest(machine: Machine) -> Guest:
    guest = machine.disk.state["guest"]
    assert isinstance(guest, Guest)
    return guest


def _machine_id(machine: Machine) -> str:
    """Return what systemd makes of the VM's UUID."""
    return machine.hardware.vm_id.replace("-", "")


def _booted(machine: Machine) -> None:
    """Give a guest that has none its machine id, and what cloud-init takes from osProfile and custom data."""
    if "guest" not in machine.disk.state:
        return
    guest, profile = _guest(machine), machine.hardware.os_profile
    if guest.machine_id:
        return
    guest.machine_id = _machine_id(machine)
    guest.hostname = str(profile.get("computerName", ""))
    keys = ((profile.get("linuxConfiguration") or {}).get("ssh") or {}).get("publicKeys") or []
    guest.authorized_keys[str(profile.get("adminUsername", ""))] = [str(key["keyData"]) for key in keys]
    config = yaml.safe_load(base64.b64decode(machine.hardware.custom_data)) if machine.hardware.custom_data else {}
    own = (config.get("ssh_keys") or {}).get("ed25519_public", "")
    guest.host_key = " ".join(own.split()[:2]) or guest.host_key


def _ended(machine: Machine) -> None:
    """Let a guest lose what only its memory held."""
    if "guest" in machine.disk.state:
        _guest(machine).power_off(machine.now(), _machine_id(machine))
