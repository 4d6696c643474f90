"""The simulated hypervisor's own rules about objects: names are unique, files in use stay, indexes are quick.

Every method is one write that a real hypervisor would do at once; who may ask for it is not decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmclone_operator.domain.backend import Owner, Power
from vmclone_operator.domain.errors import CloneFailed, FrozenPointInUse, InsufficientSpace, TargetConflict

if TYPE_CHECKING:
    from vmclone_operator.providers.fake.state import Image, Machine, State, Volume


class Pool:
    """Machines and files, with indexes so that 10,000 clones stay quick."""

    def __init__(self, state: State, *, capacity_bytes: int | None = None) -> None:
        self.state = state
        self.capacity_bytes = capacity_bytes
        """None: as much as anybody wants."""
        self._names: dict[str, set[str]] = {}
        self._owned: dict[Owner, dict[str, None]] = {}
        self._groups: dict[str, dict[str, None]] = {}
        self._on_top: dict[str, set[str]] = {}
        self._copies: dict[str, set[str]] = {}
        for machine in state.machines.values():
            self._index_machine(machine)
        for volume in state.volumes.values():
            self._index_volume(volume)

    def machines_named(self, name: str) -> list[Machine]:
        """Return the machines with this name or UUID."""
        found = [self.state.machines[uuid] for uuid in sorted(self._names.get(name, ()))]
        by_uuid = self.state.machines.get(name)
        return [*found, by_uuid] if by_uuid is not None and by_uuid not in found else found

    def machines_of(self, owner: Owner) -> list[Machine]:
        """Return the machines whose stamp says that they are this owner's."""
        return [self.state.machines[uuid] for uuid in self._owned.get(owner, ())]

    def volumes_of(self, group: str) -> list[Volume]:
        """Return the files whose names begin with this prefix of ours."""
        return [self.state.volumes[name] for name in self._groups.get(group, ())]

    def backed_by(self, name: str) -> list[str]:
        """Return the files that lie on top of this one."""
        return sorted(self._on_top.get(name, ()))

    def copies_of(self, name: str) -> list[Volume]:
        """Return the files that this one's content goes or went into."""
        return [self.state.volumes[copy] for copy in sorted(self._copies.get(name, ()))]

    def create_volume(self, volume: Volume) -> None:
        """Make a file; refuses a name that exists."""
        if volume.name in self.state.volumes:
            raise CloneFailed(f"the file {volume.name} already exists")
        self.check_space(volume.allocated_bytes)
        self.state.files_made += 1
        volume.serial = self.state.files_made
        self.state.volumes[volume.name] = volume
        self._index_volume(volume)

    def insert_volume(self, volume: Volume) -> None:
        """Put a file here, whoever made it; one of that name stays."""
        if volume.name not in self.state.volumes:
            self.state.volumes[volume.name] = volume
            self._index_volume(volume)

    def check_space(self, wanted_bytes: int) -> None:
        """Raise InsufficientSpace when that much more does not fit."""
        if self.capacity_bytes is not None and wanted_bytes > self.free_bytes():
            raise InsufficientSpace(f"the pool has {self.free_bytes()} bytes left, {wanted_bytes} are needed")

    def free_bytes(self) -> int:
        """Return the room that is left."""
        used = sum(volume.allocated_bytes for volume in self.state.volumes.values())
        return max(0, (self.capacity_bytes or 0) - used)

    def delete_volume(self, name: str) -> None:
        """Remove a file; no effect when it is gone, refused while another file lies on top."""
        volume = self.state.volumes.get(name)
        if volume is None:
            return
        if self.backed_by(name):
            raise FrozenPointInUse.by(self.backed_by(name))
        if not volume.group:
            self.state.effects.foreign_touched.append(name)
        self.lose_volume(name)

    def lose_volume(self, name: str) -> None:
        """Take a file away, whoever did it; no effect when it is gone."""
        volume = self.state.volumes.pop(name, None)
        if volume is None:
            return
        self._groups[volume.group].pop(name)
        if volume.backing:
            self._on_top[volume.backing].discard(name)
        if volume.copied_from:
            self._copies[volume.copied_from].discard(name)

    def define(self, machine: Machine) -> None:
        """Make a VM known; refuses a name or UUID that is taken."""
        if machine.uuid in self.state.machines or self._names.get(machine.name):
            raise TargetConflict(f"a VM named {machine.name} or with UUID {machine.uuid} already exists")
        missing = [name for name in machine.volumes if name not in self.state.volumes]
        if missing:
            raise CloneFailed(f"the file {missing[0]} does not exist")
        self.insert(machine)
        if machine.stamp is not None:
            self.state.effects.count(self.state.effects.creates, machine.stamp.incarnation)

    def insert(self, machine: Machine) -> None:
        """Put a VM here, whoever made it."""
        self.state.machines[machine.uuid] = machine
        self._index_machine(machine)

    def undefine(self, machine: Machine) -> None:
        """Forget a VM; its files stay. Refused while it runs."""
        if machine.power is Power.ON:
            raise CloneFailed(f"{machine.name} runs")
        self.touch(machine)
        if machine.stamp is not None:
            self.state.effects.count(self.state.effects.deletes, machine.stamp.incarnation)
        self.remove(machine)

    def remove(self, machine: Machine) -> None:
        """Take a VM away, whoever did it; no effect when it is gone."""
        if self.state.machines.pop(machine.uuid, None) is None:
            return
        self._names[machine.name].discard(machine.uuid)
        for owner in _owners(machine):
            self._owned[owner].pop(machine.uuid, None)

    def disown(self, machine: Machine) -> None:
        """Make a VM and its files nobody's: whoever touches them from now on makes a mistake."""
        for owner in _owners(machine):
            self._owned[owner].pop(machine.uuid, None)
        machine.stamp, machine.foreign = None, True
        for volume in (self.state.volumes[name] for name in machine.volumes):
            self._groups[volume.group].pop(volume.name)
            volume.group = ""
            self._groups.setdefault("", {})[volume.name] = None

    def touch(self, machine: Machine) -> None:
        """Note a change of a machine that is not ours."""
        if machine.foreign:
            self.state.effects.foreign_touched.append(machine.name)

    def drop_image(self, image: Image) -> None:
        """Forget a copy job once its files are gone."""
        self.state.images.pop(image.token, None)
        if self.state.jobs.get(image.source_id) == image.token:
            del self.state.jobs[image.source_id]

    def _index_machine(self, machine: Machine) -> None:
        self._names.setdefault(machine.name, set()).add(machine.uuid)
        for owner in _owners(machine):
            self._owned.setdefault(owner, {})[machine.uuid] = None

    def _index_volume(self, volume: Volume) -> None:
        self._groups.setdefault(volume.group, {})[volume.name] = None
        if volume.backing:
            self._on_top.setdefault(volume.backing, set()).add(volume.name)
        if volume.copied_from:
            self._copies.setdefault(volume.copied_from, set()).add(volume.name)


def _owners(machine: Machine) -> list[Owner]:
    """Return every way in which this machine can be asked for by owner."""
    stamp = machine.stamp
    if stamp is None:
        return []
    return [
        Owner(instance=stamp.instance, vmclone_uid=uid, incarnation=incarnation)
        for uid in ("", stamp.vmclone_uid)
        for incarnation in ("", stamp.incarnation)
    ]
