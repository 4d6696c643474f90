"""The cluster that the recordings were made on, as a world of the double, and how it was before each of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.doubles.pve.access import Access, Token
from tests.doubles.pve.drives import drives, size_bytes
from tests.doubles.pve.guests import Disk
from tests.doubles.pve.storages import Storage, Volume
from tests.doubles.pve.tasks import Task, parse
from tests.doubles.pve.timeline import Clock
from tests.doubles.pve.vm import VM
from tests.doubles.pve.world import Node, Pool, World
from tests.unit.doubles.pve.lab_guest import program

RECORDINGS = Path(__file__).parents[3] / "doubles" / "pve" / "recordings"
ROOT, OPS = "root@pam", "ops@pve"
_GIB = 1024**3


def recorded(scenario: str) -> list[dict[str, Any]]:
    """Return the exchanges of a recording, in order."""
    lines = (RECORDINGS / f"{scenario}.jsonl").read_text().strip().split("\n")
    return [json.loads(line) for line in lines]


def body_of(scenario: str, number: int) -> Any:
    """Return the `data` of one recorded answer."""
    return next(row["body"]["data"] for row in recorded(scenario) if row["n"] == number)


def lab(clock: Clock, epoch: float, first_round: float = 10.0) -> World:
    """Return the cluster of the recordings without any VM."""
    world = World(clock, epoch=epoch, first_round=first_round)
    world.guests.program = program  # type: ignore[attr-defined]
    world.nodes["pve1"] = Node("pve1")
    everything = ("images", "backup", "rootdir", "snippets", "vztmpl", "import", "iso")
    for storage in (
        Storage(name="local", path="/var/lib/vz", content=everything, total=252 * _GIB),
        Storage(name="second", path="/var/lib/second", preallocation="off", total=252 * _GIB),
        Storage(name="tiny", path="/mnt/tiny", content=("images", "iso"), preallocation="full", total=48 * 1024**2),
        Storage(name="btr", kind="btrfs", path="/mnt/btr", content=("rootdir", "images"), total=6 * _GIB),
        Storage(name="isoonly", path="/var/lib/isoonly", content=("iso", "snippets"), total=252 * _GIB),
        Storage(name="off", path="/var/lib/off", disabled=True),
        Storage(name="elsewhere", path="/var/lib/elsewhere", nodes=("pve9",)),
    ):
        world.storages.known[storage.name] = storage
    _rights(world.access, world.now())
    return world


def _rights(access: Access, now: float) -> None:
    access.users |= {OPS: "secret"}
    for user in (ROOT, OPS):
        access.tickets[f"<TICKET:{user}>"] = (user, now)
        access.csrf[user] = f"<CSRF:{user}>"
    access.tickets["<TICKET:root@pam:issued-3h-ago>"] = (ROOT, now - 3 * 3600)
    for name, separated, expires in (("full", False, 0), ("sep", True, 0), ("old", False, 1_700_000_000)):
        secret = f"<TOKEN-SECRET:{ROOT}!{name}>"
        access.tokens[f"{ROOT}!{name}"] = Token(secret=secret, separated=separated, expires=expires)


def adopt(world: World, vmid: int, config: dict[str, Any], *, running: bool = False, seen: bool = True) -> VM:
    """Put a VM into the world as a recorded config shows it, with its volumes."""
    kept = {key: value for key, value in config.items() if key != "digest"}
    vm = VM(vmid=vmid, node="pve1", config=kept)
    world.vms[vmid] = vm
    for one in [*drives(kept)]:
        if one.owned and one.file not in world.storages.volumes:
            add_volume(world, one.file, size=size_bytes(one.options.get("size", "4M")))
    for key, value in kept.items():
        if key.startswith("unused"):
            add_volume(world, str(value))
    if running:
        vm.running, vm.started, vm.pid = True, world.now() - 100, 2564
        boots(world, vm)
    if seen:
        see(world, vm)
    return vm


def see(world: World, vm: VM) -> None:
    """Let the status daemon have seen a VM."""
    from tests.doubles.pve.rows import sight  # noqa: PLC0415

    vm.seen = sight(vm, world.now())


def boots(world: World, vm: VM) -> None:
    """Let a VM's guest be up and its agent answer."""
    from tests.doubles.pve.hardware import hardware  # noqa: PLC0415

    guests = world.guests
    disk = guests.disks.setdefault(hardware(vm).disks[0], Disk())  # type: ignore[attr-defined]
    seconds, disk.boot_seconds = disk.boot_seconds, 0
    guests.boot(hardware(vm))
    disk.boot_seconds = seconds


def add_volume(world: World, volid: str, **held: Any) -> Volume:
    """Put a volume where its id says."""
    storage, _, name = volid.partition(":")
    owner = re.search(r"(\d+)/[^/]+$", name)
    form = re.search(r"\.(\w+)$", name)
    row: dict[str, Any] = {"size": 32 * 1024**2, "made": world.now(), "vmid": int(owner[1]) if owner else 0}
    row |= {"format": form[1] if form else "raw"}
    return world.storages.add(Volume(storage=storage, name=name, **{**row, **held}))


def add_listed(world: World, rows: list[dict[str, Any]]) -> None:
    """Put volumes into the world as a recorded list of content shows them."""
    for row in rows:
        held: dict[str, Any] = {key: row[key] for key in ("size", "format", "content") if key in row}
        held |= {"used": row.get("used") or 0, "parent": row.get("parent") or "", "vmid": row.get("vmid", 0)}
        add_volume(world, row["volid"], made=row["ctime"], **held)


def adopt_listed(world: World, rows: list[dict[str, Any]]) -> None:
    """Put VMs into the world of which nothing is known but their rows in a list."""
    for row in rows:
        if row.get("type") != "qemu" or row["vmid"] in world.vms or "name" not in row:
            continue
        config: dict[str, Any] = {"name": row["name"], "memory": str(row["maxmem"] // 1024**2)}
        config |= {key: row[key] for key in ("tags", "template") if row.get(key)}
        vm = VM(vmid=row["vmid"], node="pve1", config=config, running=row["status"] == "running")
        disk = f"local:{vm.vmid}/vm-{vm.vmid}-disk-0.qcow2"
        if row["maxdisk"]:
            config["scsi0"] = f"{disk},size={row['maxdisk'] // 1024}K"
        world.vms[vm.vmid] = vm
        see(world, vm)
        if "pool" in row:
            world.pools.setdefault(row["pool"], Pool(row["pool"], "test")).vms.add(vm.vmid)


def add_ended(world: World, rows: list[dict[str, Any]], before: float) -> None:
    """Put tasks that had ended before into the world, as a recorded list shows them."""
    for row in rows:
        if "endtime" not in row or row["starttime"] >= int(before) or row["upid"] in world.tasks:
            continue
        parts = parse(row["upid"])
        numbers: dict[str, Any] = {"pid": int(parts[2], 16), "pstart": int(parts[3], 16)}
        numbers["started"] = float(row["starttime"])
        task = Task(node=parts[1], kind=row["type"], subject=row["id"], user=row["user"], **numbers)
        task.ended, task.exit_status = float(row["endtime"]), row["status"]
        world.tasks[row["upid"]] = task


def known_task(world: World, scenario: str, number: int) -> None:
    """Put a task into the world that had ended well before the recording began, from its recorded status."""
    row = body_of(scenario, number)
    add_ended(world, [{**row, "endtime": row["starttime"], "status": row["exitstatus"]}], row["starttime"] + 1)
    world.tasks[row["upid"]].log.append(f"TASK {row['exitstatus']}")
