"""The fake backend's guest behind the double: it knows our own scripts, so an operator's whole life runs on it.

    client.guests.disks[volume] = vmclone_disk(Guest(machine_id=..., hostname=..., host_key=...))
    use_vmclone_guests(world.guests)

A copy of the disk is a copy of the guest: a clone is its source until our identity reset ran in it. Scripts are
recognised by their text, given to `/bin/sh -c` with the parameters on standard input; an adapter that packs them
otherwise passes its own `recognise`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tests.doubles.pve.guests import BOOT_SECONDS, Disk, Machine, MissingBinary, ModelledGuests, Run

from vmclone_operator.domain import guest as scripts
from vmclone_operator.domain import guest_access, guest_keys
from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.providers.fake.guest import Guest

SETTLE_SECONDS = 2.0
"""From an agent that answers to a system that says it is up."""
Recognise = Callable[[Sequence[str], str], GuestCommand | None]
_OURS = {
    scripts.PROBE.script: "probe",
    scripts.RELEASE_NETWORK_WAIT.script: "release-network-wait",
    scripts._IDENTITY_SCRIPT: "identity",
    guest_access._SCRIPT: "copy-access",
    guest_keys.SCRIPT: "access-keys",
}


def vmclone_disk(guest: Guest, *, boot_seconds: float = BOOT_SECONDS) -> Disk:
    """Return a disk with this guest on it."""
    return Disk(state={"guest": guest}, boot_seconds=boot_seconds)


def use_vmclone_guests(guests: ModelledGuests, recognise: Recognise | None = None) -> None:
    """Let every guest that was put on a disk with `vmclone_disk` do what ours do."""
    guests.program = partial(_execute, recognise or plain_shell)
    guests.booted, guests.ended = _booted, _ended


def plain_shell(command: Sequence[str], stdin: str) -> GuestCommand | None:
    """Recognise a script of ours that is passed to a shell as it is."""
    if len(command) != 3 or list(command[:2]) != ["/bin/sh", "-c"] or command[2] not in _OURS:
        return None
    return GuestCommand(name=_OURS[command[2]], script=command[2], stdin=stdin)


def _execute(recognise: Recognise, machine: Machine, command: Sequence[str], stdin: bytes) -> Run:
    if command[0] != "/bin/sh":
        raise MissingBinary(command[0])
    ours = recognise(command, stdin.decode("latin-1"))
    if ours is None:
        return Run(done_at=machine.now(), exit_code=127, err=b"sh: not known to the modelled guest\n")
    result = _guest(machine).execute(
        ours,
        now=machine.now(),
        machine_id=_machine_id(machine),
        connected=any(card.up for card in machine.hardware.cards),
        settled=machine.now() >= machine.ready_at + SETTLE_SECONDS,
    )
    out, err = result.stdout.encode(), result.stderr.encode()
    return Run(done_at=machine.now(), exit_code=result.exit_code, out=out, err=err)


def _guest(machine: Machine) -> Guest:
    guest = machine.disk.state["guest"]
    assert isinstance(guest, Guest)
    return guest


def _machine_id(machine: Machine) -> str:
    """Return what systemd makes of the VM's UUID."""
    return machine.hardware.uuid.replace("-", "")


def _booted(machine: Machine) -> None:
    """Give a guest that has none its machine id, as the first boot of an image does."""
    if "guest" in machine.disk.state:
        guest = _guest(machine)
        guest.machine_id = guest.machine_id or _machine_id(machine)


def _ended(machine: Machine) -> None:
    """Let a guest lose what only its memory held."""
    if "guest" in machine.disk.state:
        _guest(machine).power_off(machine.now(), _machine_id(machine))
