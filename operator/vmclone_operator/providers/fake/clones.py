"""Clones of the fake: overlays, a seed, and the definition last, which is the moment from which the clone exists."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    CloneIntent,
    ObservedClone,
    Operation,
    OperationState,
    Owner,
    Power,
    Progress,
    Stamp,
)
from vmclone_operator.domain.errors import CloneFailed, OwnershipMismatch, RetryLater, TargetConflict
from vmclone_operator.providers.fake.state import Image, Machine, Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmclone_operator.providers.fake.calls import Calls
    from vmclone_operator.providers.fake.world import World

KIND = "clone"


class Clones:
    """The verbs that make, find and remove clones."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start(self, calls: Calls, intent: CloneIntent) -> Operation:
        """Make the clone, or adopt the one that this incarnation has, whichever attempt made it."""
        existing = calls.read("look up VM", intent.vm_name, lambda: self._existing(intent))
        if existing is not None:
            return Operation(kind=KIND, token=existing.token, target=intent.uuid)
        image = calls.read("look up frozen point", intent.frozen_token, lambda: self._image(intent))
        self._remove_files(calls, intent.stamp.incarnation)
        volumes = self._volumes(intent, image)
        for volume in volumes:
            what = "create seed" if volume.role == "seed" else "create overlay"
            calls.write(what, volume.name, partial(self._world.pool.create_volume, volume))
        calls.write("define", intent.vm_name, lambda: self._world.pool.define(self._machine(intent, image, volumes)))
        return Operation(kind=KIND, token=intent.token, target=intent.uuid)

    def poll(self, calls: Calls, operation: Operation) -> Progress:
        """Return how the making of the clone stands."""
        return calls.read("look up VM", operation.target, lambda: self._progress(operation))

    def find(self, calls: Calls, owner: Owner) -> Sequence[ObservedClone]:
        """Return what carries a stamp of this owner."""
        return calls.read("list VMs", owner.incarnation or owner.vmclone_uid, lambda: self._observed(owner))

    def delete(self, calls: Calls, stamp: Stamp) -> bool:
        """Remove everything of this incarnation; hands off what carries another stamp under its ids."""
        for machine in calls.read("look up VM", stamp.incarnation, lambda: self._removable(stamp)):
            self._remove_machine(calls, machine)
        self._remove_files(calls, stamp.incarnation)
        return not calls.read("list files", stamp.incarnation, lambda: self._files(stamp.incarnation))

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
        if image.running(self._world.now()):
            raise RetryLater(f"the frozen point {intent.frozen_token} is still being copied")
        return image

    def _volumes(self, intent: CloneIntent, image: Image) -> list[Volume]:
        group = naming.volume_prefix(intent.stamp.incarnation)
        bases = [self._world.state.volumes[name] for name in image.volumes]
        backings = [*((base.role, base.name) for base in bases), ("seed", "")]
        return [
            Volume(name=f"{group}{intent.token}-{role}", group=group, role=role, token=intent.token, backing=backing)
            for role, backing in backings
        ]

    def _machine(self, intent: CloneIntent, image: Image, volumes: list[Volume]) -> Machine:
        now = self._world.now()
        source = self._world.state.machines.get(image.source_id)
        return Machine(
            uuid=intent.uuid,
            name=intent.vm_name,
            guest=copy.deepcopy(image.guest),
            stamp=intent.stamp,
            token=intent.token,
            volumes=[volume.name for volume in volumes],
            macs=[naming.mac_address(intent.stamp.incarnation, 0)],
            has_agent=source is None or source.has_agent,
            defined_at=now,
            complete_at=now + self._world.clone_seconds,
        )

    def _progress(self, operation: Operation) -> Progress:
        machine = self._world.state.machines.get(operation.target)
        if machine is None or machine.token != operation.token:
            return Progress(state=OperationState.LOST)
        now = self._world.now()
        if now >= machine.complete_at:
            return Progress(state=OperationState.DONE, percent=100)
        return Progress(
            state=OperationState.RUNNING, percent=int(100 * (now - machine.defined_at) / self._world.clone_seconds)
        )

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
                raise OwnershipMismatch(f"the VM {machine.name} does not carry exactly our stamp; it is left alone")
        return list(found.values())

    def _remove_machine(self, calls: Calls, machine: Machine) -> None:
        if machine.power is Power.ON:
            calls.write("destroy", machine.name, partial(self._world.set_power_by_hand, machine, Power.OFF))
        calls.write("undefine", machine.name, partial(self._world.pool.undefine, machine))

    def _remove_files(self, calls: Calls, incarnation: str) -> None:
        for volume in calls.read("list files", incarnation, lambda: self._files(incarnation)):
            calls.write("delete volume", volume.name, partial(self._world.pool.delete_volume, volume.name))

    def _files(self, incarnation: str) -> list[Volume]:
        return self._world.pool.volumes_of(naming.volume_prefix(incarnation))
