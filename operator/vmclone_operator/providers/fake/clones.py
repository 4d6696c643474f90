"""Clones of the fake: overlays or copies, a seed, and the definition last: from then on the clone exists."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    CloneIntent,
    DiskCopy,
    Mode,
    ObservedClone,
    OperationState,
    Owner,
    Power,
    Progress,
    Stamp,
    removal,
)
from vmclone_operator.domain.errors import (
    CloneFailed,
    RetryLater,
    SourceNotFound,
    TargetConflict,
)
from vmclone_operator.domain.ownership import mismatch
from vmclone_operator.providers.fake.full_copies import FullCopies
from vmclone_operator.providers.fake.machines import clone_volumes, generic_machine, new_clone, seed_volume
from vmclone_operator.providers.fake.state import Image, Machine, Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmclone_operator.providers.fake.calls import Calls
    from vmclone_operator.providers.fake.world import World


class Clones:
    """The verbs that make, find and remove clones."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._full = FullCopies(world)

    def start(self, calls: Calls, intent: CloneIntent) -> Progress:
        """Make the clone, or adopt the one that this incarnation has, whichever attempt made it."""
        existing = calls.read("look up VM", intent.vm_name, lambda: self._existing(intent))
        if existing is not None:
            return self._progress(existing)
        image = calls.read("look up frozen point", intent.frozen_token, lambda: self._image(intent))
        source = calls.read("look up source", intent.source_id, lambda: self._source(intent))
        self._world.require_pool(intent.pool)
        disks = clone_volumes(self._world.state, intent, image, source)
        if intent.copy is DiskCopy.FULL and not self._full.go_on(calls, intent, disks):
            return self._full.standing(calls, intent.token)
        if intent.copy is DiskCopy.LINKED:
            self._overlay(calls, intent, disks)
        machine = new_clone(intent, image, source, disks)
        self._define(calls, intent, machine)
        return self._progress(machine)

    def _overlay(self, calls: Calls, intent: CloneIntent, disks: list[Volume]) -> None:
        self._full.forget(intent.stamp.incarnation)
        self._full.remove_files(calls, disks[0].group)
        for disk in disks:
            calls.write("create overlay", disk.name, partial(self._world.pool.create_volume, disk))

    def _define(self, calls: Calls, intent: CloneIntent, machine: Machine) -> None:
        """Make the seed and the VM: from here on the clone exists."""
        seed = seed_volume(intent)
        calls.write("create seed", seed.name, partial(self._world.pool.create_volume, seed))
        machine.defined_at = machine.linked_at = machine.complete_at = self._world.now()
        if intent.copy is DiskCopy.LINKED:
            machine.complete_at += self._world.clone_seconds
        calls.write("define", intent.vm_name, partial(self._world.pool.define, machine))
        self._full.forget(intent.stamp.incarnation)

    def find(self, calls: Calls, owner: Owner) -> Sequence[ObservedClone]:
        """Return what carries a stamp of this owner."""
        return calls.read("list VMs", owner.incarnation or owner.vmclone_uid, lambda: self._observed(owner))

    def find_one(self, calls: Calls, stamp: Stamp) -> ObservedClone | None:
        """Return the clone of an incarnation, or None."""
        for clone in self.find(calls, Owner(instance=stamp.instance, incarnation=stamp.incarnation)):
            return clone
        return None

    def unstamped(self, calls: Calls, stamp: Stamp) -> str:
        """Return the name of the VM that has a clone's UUID and not its stamp; empty when there is none."""
        uuid = naming.clone_uuid(stamp.incarnation)
        machine = calls.read("look up VM", stamp.incarnation, lambda: self._world.state.machines.get(uuid))
        return "" if machine is None or machine.stamp == stamp else machine.name

    def delete(self, calls: Calls, stamp: Stamp) -> Progress:
        """Remove everything of this incarnation; hands off what carries another stamp under its ids."""
        for machine in calls.read("look up VM", stamp.incarnation, lambda: self._removable(stamp)):
            self._remove_machine(calls, machine)
        self._full.forget(stamp.incarnation)
        for volume in calls.read("list files", stamp.incarnation, lambda: self._files(stamp)):
            if not self._full.busy(volume):
                calls.write("delete volume", volume.name, partial(self._world.pool.delete_volume, volume.name))
        return removal(gone=not calls.read("list files", stamp.incarnation, lambda: self._files(stamp)))

    def disown(self, calls: Calls, stamp: Stamp) -> bool:
        """Take our mark off a clone; return whether a VM stands there without it."""
        uuid = naming.clone_uuid(stamp.incarnation)
        machine = calls.read("look up VM", stamp.incarnation, lambda: self._world.state.machines.get(uuid))
        if machine is None or machine.stamp is None:
            return machine is not None
        if machine.stamp != stamp:
            raise mismatch(machine.name, machine.stamp, stamp)
        calls.write("remove metadata", machine.name, partial(self._world.pool.disown, machine))
        return True

    def stamped(self, stamp: Stamp) -> Machine:
        """Return the VM that carries exactly this stamp, compared live before each change."""
        for machine in self._removable(stamp):
            return machine
        raise RetryLater(f"the clone of {stamp.namespace}/{stamp.vmclone} ordinal {stamp.ordinal} is not there")

    def _existing(self, intent: CloneIntent) -> Machine | None:
        """Return the VM of this incarnation; raises TargetConflict when name or UUID are somebody else's."""
        for machine in (
            *self._world.pool.machines_named(intent.uuid),
            *self._world.pool.machines_named(intent.vm_name),
        ):
            if machine.stamp != intent.stamp or machine.uuid != intent.uuid:
                raise TargetConflict(
                    f"the VM {machine.name} ({machine.uuid}) is not ours and holds {intent.vm_name}'s place"
                )
            return machine
        return None

    def _image(self, intent: CloneIntent) -> Image:
        image = self._world.state.images.get(intent.frozen_token)
        whole = (
            image is not None and not image.lost and all(name in self._world.state.volumes for name in image.volumes)
        )
        if image is None or not whole or image.vmclone_uid != intent.stamp.vmclone_uid:
            raise CloneFailed(f"the frozen point {intent.frozen_token} does not exist (any more)")
        if bool(image.golden) is not (intent.mode is Mode.CLEAN):
            kind = "a golden image" if image.golden else "the source"
            raise CloneFailed(f"the frozen point {intent.frozen_token} is one of {kind}, not for mode {intent.mode}")
        if image.running(self._world.now()):
            raise RetryLater(f"the frozen point {intent.frozen_token} is still being copied")
        return image

    def _source(self, intent: CloneIntent) -> Machine:
        source = self._world.state.machines.get(intent.source_id)
        if source is None and intent.mode is Mode.CLEAN and intent.shape.cpus and intent.shape.memory_bytes:
            return generic_machine(intent)
        if source is None:
            raise SourceNotFound(f"the source VM {intent.source_id} is gone; it gives the clone its shape")
        return source

    def _progress(self, machine: Machine) -> Progress:
        now = self._world.now()
        if now >= machine.complete_at:
            return Progress(state=OperationState.DONE, percent=100, external_id=machine.uuid)
        percent = int(100 * (now - machine.defined_at) / self._world.clone_seconds)
        return Progress(state=OperationState.RUNNING, percent=percent, external_id=machine.uuid)

    def _observed(self, owner: Owner) -> list[ObservedClone]:
        now = self._world.now()
        return [
            ObservedClone(
                stamp=machine.stamp,
                token=machine.token,
                external_id=machine.uuid,
                vm_name=machine.name,
                complete=now >= machine.complete_at,
                power=machine.power,
                connected=machine.connected,
                agent=machine.agent(now),
                shape=machine.shape,
                made_from=machine.made_from,
            )
            for machine in self._world.pool.machines_of(owner)
            if machine.stamp is not None
        ]

    def _removable(self, stamp: Stamp) -> list[Machine]:
        """Return the VMs that carry this stamp; raises OwnershipMismatch for one that only looks like them."""
        owner = Owner(instance=stamp.instance, vmclone_uid=stamp.vmclone_uid, incarnation=stamp.incarnation)
        found = {machine.uuid: machine for machine in self._world.pool.machines_of(owner)}
        by_uuid = self._world.state.machines.get(naming.clone_uuid(stamp.incarnation))
        if by_uuid is not None:
            found[by_uuid.uuid] = by_uuid
        for machine in found.values():
            if machine.stamp != stamp:
                raise mismatch(machine.name, machine.stamp, stamp)
        return list(found.values())

    def _remove_machine(self, calls: Calls, machine: Machine) -> None:
        if machine.power is Power.ON:
            calls.write("destroy", machine.name, partial(self._world.set_power_by_hand, machine, Power.OFF))
        calls.write("undefine", machine.name, partial(self._world.pool.undefine, machine))

    def _files(self, stamp: Stamp) -> list[Volume]:
        return self._world.pool.volumes_of(naming.volume_prefix(stamp.instance, stamp.incarnation))
