"""One disk of a clone: linked, copied from a file, or mirrored from a running VM."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.doubles.pve.api.power import agent_configured
from tests.doubles.pve.call import Call
from tests.doubles.pve.drives import Drive, human, size_text
from tests.doubles.pve.hardware import CLOUD_INIT_BYTES, allocate, made_text
from tests.doubles.pve.refusals import Interrupted, Refused
from tests.doubles.pve.storages import Storage, Volume
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps

_STEPS = 24
"""How often the progress of a long copy of a file is logged (recording 05, 37); a mirror logs every second."""


@dataclass(slots=True, kw_only=True)
class Copy:
    """A clone that is being made."""

    call: Call
    task: Task
    plan_full: bool
    running: bool
    seconds: float | None
    """How long the whole of it takes; None: as its bytes and the speed say."""
    made: list[Volume] = field(default_factory=list)
    mirrors: list[tuple[Drive, Volume]] = field(default_factory=list)
    """Mirrors that run until all are ready: the source's drive, and what it is copied to."""
    doing: str = ""
    """The command that copies now, as a failure names it."""

    def what_failed(self, error: Refused | Interrupted) -> str:
        """Return the reason of a failure: an interrupted copy is named by its command (recording 05, 5 and 36)."""
        if isinstance(error, Refused):
            return error.text
        if self.mirrors:
            return "block job (mirror) error: interrupted by signal"
        return f"copy failed: command '{self.doing}' failed: interrupted by signal"


def copied_disk(copy: Copy, one: Drive, vmid: int, *, share: float) -> Steps[Drive]:
    """Make one disk of the clone; `share` is its part of the time that the whole takes."""
    world = copy.call.world
    source = world.storages.find(one.file)
    whole = copy.plan_full or one.cloud_init or one.key == "tpmstate0"
    word = "full" if whole else "linked"
    copy.task.log.append(f"create {word} clone of drive {one.key} ({one.file})")
    if not whole:
        volume = _linked(copy, source, vmid)
        yield 0.0 if copy.seconds is None else copy.seconds * share
    else:
        volume = yield from _full(copy, one, source, vmid, share)
    options = {**one.options, "size": size_text(volume.size)}
    return Drive(one.key, volume.id, options)


def _linked(copy: Copy, source: Volume, vmid: int) -> Volume:
    """Make a linked clone: on files a qcow2, also over a raw base (recording 06, 104-105)."""
    world = copy.call.world
    storage = world.storages.get(source.storage)
    form = "qcow2" if storage.files and storage.kind != "btrfs" else source.format
    name = world.storages.free_name(storage, vmid, form)
    own = name.rsplit("/", 1)[-1]
    parent = f"../{source.vmid}/{source.own_name}" if storage.files else source.own_name
    base = re.sub(r"^.*/(?=\d+/)", "", source.name) if storage.files else source.own_name
    if storage.rules["linked_id"] == "base":
        name = f"{base}/{name}"
    else:
        parent = ""
    volume = Volume(
        storage=storage.name, name=name, format=form, size=source.size, made=world.now(), vmid=vmid, parent=parent
    )
    volume.used = 528384
    copy.task.log.append(f"clone {base}: images, {own}, {vmid} to {own} (base={parent})")
    if storage.files and parent:
        copy.task.log.append(made_text(storage, volume, source))
    copy.made.append(world.storages.add(volume))
    world.guests.copied(source.id, volume.id)
    return volume


def _full(copy: Copy, one: Drive, source: Volume, vmid: int, share: float) -> Steps[Volume]:
    world, log = copy.call.world, copy.task.log.append
    target = world.storages.get(copy.call.params.get("storage") or source.storage)
    form = _format(copy, target, source)
    size = CLOUD_INIT_BYTES if one.cloud_init else source.size
    name = world.storages.free_name(target, vmid, form, cloud_init=one.cloud_init)
    volume = Volume(storage=target.name, name=name, format=form, size=size, made=0, vmid=vmid)
    yield from allocate(world, target, volume, copy.task, log)
    copy.made.append(volume)
    log(f"allocated target volume '{volume.id}'")
    if one.cloud_init or one.key == "efidisk0":
        world.guests.copied(source.id, volume.id)
        if copy.seconds is not None:
            yield copy.seconds * share
        return volume
    seconds = _seconds(copy, source.size, share)
    if copy.running:
        yield from _mirrored(copy, one, volume, seconds)
    else:
        yield from _converted(copy, source, volume, seconds)
        world.guests.copied(source.id, volume.id)
    return volume


def _format(copy: Copy, target: Storage, source: Volume) -> str:
    """Return the format of the copy; one that the storage can not hold is replaced without a refusal."""
    wanted = copy.call.params.get("format") or source.format
    if wanted in target.rules["formats"]:
        return str(wanted)
    instead = str(target.rules["default"])
    said = f"format '{wanted}' is not supported by the target storage '{target.name}' - using '{instead}' instead"
    if copy.call.params.get("format"):
        copy.task.log.append(said)
    return instead


def _seconds(copy: Copy, size: int, share: float) -> float:
    limit = copy.call.params.get("bwlimit")
    if limit:
        return float(size / (limit * 1024))
    if copy.seconds is not None:
        return copy.seconds * share
    return size / copy.call.world.timing.clone_bytes


def _converted(copy: Copy, source: Volume, volume: Volume, seconds: float) -> Steps[None]:
    """Copy from a file or a device, as qemu-img does it, with its progress."""
    storages = copy.call.world.storages
    paths = [storages.get(one.storage).file_of(one.name) for one in (source, volume)]
    limit = copy.call.params.get("bwlimit")
    rate = f" -r {limit}K" if limit else ""
    zero = "zeroinit:" if storages.get(volume.storage).files else ""
    formats = f"-f {source.format} -O {volume.format}"
    copy.doing = f"/usr/bin/qemu-img convert -p -n{rate} {formats} {paths[0]} {zero}{paths[1]}"
    steps = min(_STEPS, max(1, int(seconds)))
    for step in range(steps):
        copy.task.log.append(_transferred(volume.size * step / steps, volume.size))
        yield seconds / steps
    copy.task.log.append(_transferred(volume.size, volume.size))
    volume.used = max(volume.used, source.used)


def _mirrored(copy: Copy, one: Drive, volume: Volume, seconds: float) -> Steps[None]:
    """Mirror a disk of a running VM until the copy is as the disk is; both go on together from there."""
    log = copy.task.log.append
    limit = copy.call.params.get("bwlimit")
    log(f"drive mirror is starting for drive-{one.key}" + (f" with bandwidth limit: {limit} KiB/s" if limit else ""))
    copy.mirrors.append((one, volume))
    begun = copy.call.world.now()
    steps = max(1, int(seconds))
    for step in range(steps):
        done = _transferred(volume.size * step / steps, volume.size)
        log(f"mirror-{one.key}: {done} in {copy.call.world.now() - begun:.0f}s")
        yield seconds / steps
    log(f"mirror-{one.key}: {_transferred(volume.size, volume.size)} in {seconds:.0f}s, ready")
    log("all 'mirror' jobs are ready")
    volume.used = volume.size


def cut_off(copy: Copy) -> None:
    """Take the point in time: freeze or pause the source, cancel every mirror, let it go on.

    A freeze that fails is a line in the log, and the clone goes on; qemu-server src/PVE/QemuServer/BlockJob.pm
    e6352be, recording 04b-clone-running-done, 9.
    """
    if not copy.mirrors:
        return
    world, log, vm = copy.call.world, copy.task.log.append, copy.call.vm
    frozen = agent_configured(vm) and world.guests.agent_answers(vm.vmid) and freezes(str(vm.config.get("agent")))
    log("issuing guest agent 'guest-fsfreeze-freeze' command" if frozen else "suspend vm")
    if frozen and world.freeze_fails:
        log("VM 100 qga command 'guest-fsfreeze-freeze' failed - got timeout".replace("100", str(vm.vmid)))
    for one, volume in copy.mirrors:
        world.guests.copied(one.file, volume.id)
    keys = [one.key for one, _ in reversed(copy.mirrors)]
    for key in keys:
        log(f"mirror-{key}: Cancelling block job")
    for key in keys:
        log(f"mirror-{key}: Done.")
    log("issuing guest agent 'guest-fsfreeze-thaw' command" if frozen else "resume vm")


def freezes(agent: str) -> bool:
    """Tell whether the agent's options let the server freeze file systems."""
    return not any(f"{name}=0" in agent for name in ("freeze-fs", "freeze-fs-on-backup", "guest-fsfreeze"))


def _transferred(done: float, size: int) -> str:
    return f"transferred {human(done)} of {human(size)} ({100 * done / size:.2f}%)"
