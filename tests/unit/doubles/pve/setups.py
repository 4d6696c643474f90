"""How the recorded cluster was before each recording, and what happened on it that no exchange shows."""

from __future__ import annotations

from tests.doubles.pve.guests import Disk, Run
from tests.doubles.pve.hardware import switch_off
from tests.doubles.pve.locks import Lock, storage_file
from tests.doubles.pve.world import World
from tests.unit.doubles.pve.lab import (
    add_ended,
    add_listed,
    add_volume,
    adopt,
    adopt_listed,
    body_of,
    boots,
    known_task,
    recorded,
)
from tests.unit.doubles.pve.replay import Scenario, Setup

SNIPPET = "local:snippets/h.sh"
_BASE_DISK = "local:100/vm-100-disk-0.qcow2"


def _guest(world: World) -> None:
    """Give VM 100 the recorded guest."""
    told = {"interfaces": body_of("03-power-agent", 71)["result"], "os": body_of("03-power-agent", 72)["result"]}
    world.guests.disks[_BASE_DISK] = Disk(state=told)  # type: ignore[attr-defined]


def _base_vm(world: World) -> None:
    adopt(world, 100, body_of("02-create-config", 16))
    _guest(world)
    known_task(world, "03-power-agent", 45)


def _running(world: World) -> None:
    _guest(world)
    adopt(world, 100, body_of("04-clone-running", 1), running=True)
    add_ended(world, body_of("04-clone-running", 14), world.now())


def _later(world: World) -> None:
    """VM 100 is off, and there is a snippet that other recordings left."""
    adopt(world, 100, body_of("04b-clone-running-done", 5))
    _guest(world)
    add_volume(world, SNIPPET, content="snippets", format="snippet", size=17)


def _beside_others(world: World) -> None:
    _later(world)
    adopt_listed(world, [row for row in body_of("04b-clone-running-done", 45) if row["vmid"] not in {101, 103}])


def _tag_taken_off(world: World) -> None:
    """Somebody took the VLAN tag off the second card."""
    world.vms[100].config["net1"] = body_of("03-power-agent", 128)["net1"]


def _before_the_stop(world: World) -> None:
    _running(world)
    world.vms[100].config |= {"description": "source touched"}
    before = recorded("05-clone-task-stop")[0]["at"]
    add_ended(world, [row for row in body_of("05-clone-task-stop", 49) if row["endtime"] < before], before)


def _switched_off(world: World) -> None:
    """VM 100 was stopped between two exchanges; only the list of tasks tells."""
    stops = [row for row in body_of("05-clone-task-stop", 49) if row["type"] == "qmstop"]
    add_ended(world, stops, world.now() + 10)
    switch_off(world, world.vms[100])


def _no_guest(world: World) -> None:
    """VM 140 gets a disk of VM 100, on which no system is."""
    _later(world)
    world.guests.disks.clear()  # type: ignore[attr-defined]


def _obeys(world: World) -> None:
    """The guest of VM 140, which had not listened, has come so far by now."""
    disk = "local:140/vm-140-disk-0.qcow2"
    world.guests.disks[disk] = Disk()  # type: ignore[attr-defined]
    boots(world, world.vms[140])


def _before_deletes(world: World) -> None:
    _later(world)
    adopt_listed(world, [{**row, "pool": "pool1"} for row in body_of("08-delete", 37)["members"]])
    adopt(world, 140, body_of("08-delete", 3))
    _snappy(world)
    adopt(world, 131, {k: v for k, v in body_of("08-delete", 97).items() if k != "lock"})
    add_ended(world, body_of("08-delete", 65), world.now())


def _snappy(world: World) -> None:
    adopt(world, 130, body_of("09-permissions", 75))


def _file_gone(world: World) -> None:
    """Somebody removed the file of a disk."""
    world.storages.volumes["local:144/vm-144-disk-0.qcow2"].missing = True


def _no_firmware(world: World) -> None:
    """The recorded machine had no OVMF, which the recording names as its own fault."""
    path = "/usr/share/pve-edk2-firmware//OVMF_CODE.fd"
    world.start_failures[143] = f"EFI base image '{path}' not found"


def _before_rights(world: World) -> None:
    _later(world)
    _snappy(world)
    adopt_listed(world, [{**row, "pool": "pool1"} for row in body_of("09-permissions", 132)["members"]])
    cloned = body_of("09-permissions", 66)
    own = {key: str(value).replace("150", "132") for key, value in cloned.items() if key in {"ide2", "scsi0"}}
    adopt(world, 132, {**cloned, **own})
    add_ended(world, body_of("09-permissions", 41), world.now())


def _with_content(world: World) -> None:
    for number in (6, 12):
        add_listed(world, body_of("10-storage", number))
    _later(world)


def _hold_storage(world: World) -> None:
    """Another process holds the lock of a storage."""
    world.locks.held.append(Lock(storage_file("local"), "another process", shared=False))


def _command_runs(pid: int) -> Setup:
    """Return what makes a command run in VM 100 that does not end."""

    def run(world: World) -> None:
        world.runs[100, pid] = Run(done_at=float("inf"))

    return run


SCENARIOS = [
    Scenario(name="01-auth"),
    Scenario(name="02-create-config"),
    Scenario(name="03-power-agent", before=_base_vm, meanwhile={128: _tag_taken_off}, not_sent=(127,)),
    Scenario(name="04-clone-running", before=_running),
    Scenario(name="04b-clone-running-done", before=_beside_others, first_round=4.0),
    Scenario(
        name="05-clone-task-stop",
        before=_before_the_stop,
        prelude=(("04-clone-running", 3),),
        first_round=3.5,
        meanwhile={13: _switched_off},
    ),
    Scenario(name="06-clone-stopped-template", before=_later, first_round=6.5),
    Scenario(
        name="07-config",
        before=_no_guest,
        meanwhile={153: lambda world: world.busy_devices.add((140, "net1")), 167: _obeys},
    ),
    Scenario(name="08-delete", before=_before_deletes, meanwhile={61: _no_firmware, 77: _file_gone}),
    Scenario(name="09-permissions", before=_before_rights),
    Scenario(name="10-storage", before=_with_content, not_sent=(39,)),
    Scenario(
        name="11-http-agent-misc",
        before=_later,
        meanwhile={
            12: _hold_storage,
            13: lambda world: world.locks.release_all("another process"),
            58: _command_runs(118),
            59: _command_runs(122),
            60: _command_runs(126),
        },
        not_sent=(48,),
        bodies={35: "{bad", 36: "[1]", 37: "description=x"},
    ),
]
