"""Clones on libvirt: found, made, switched and removed. A domain is defined last, so that it proves its disks."""

from __future__ import annotations

import posixpath
import threading
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import libvirt

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
from vmclone_operator.domain.errors import RetryLater, TargetConflict
from vmclone_operator.domain.ownership import mismatch
from vmclone_operator.providers.libvirt import blueprint, domain_xml, translate, volumes
from vmclone_operator.providers.libvirt import source as sources
from vmclone_operator.providers.libvirt.clean_xml import blank_variables
from vmclone_operator.providers.libvirt.clone_xml import CloneDisks, Overlay, clone_xml
from vmclone_operator.providers.libvirt.firmware_xml import Variables, has_uefi
from vmclone_operator.providers.libvirt.full_copies import FullCopies, Work, volume_name
from vmclone_operator.providers.libvirt.nvram import VariableFiles
from vmclone_operator.providers.libvirt.own_disks import own_disks
from vmclone_operator.providers.libvirt.shape_xml import shape_of
from vmclone_operator.providers.libvirt.stamp import read_made_from, read_stamp
from vmclone_operator.providers.seed import seed_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vmclone_operator.domain.backend import Fence
    from vmclone_operator.providers.libvirt.blueprint import Base, Blueprint
    from vmclone_operator.providers.libvirt.connection import Connection
    from vmclone_operator.providers.libvirt.events import Watch

_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


class Clones:
    """The clones of one session; every method blocks and is called in a thread of the session."""

    def __init__(self, *, pool: str, network: str, bulk: Connection, watch: Watch, fence: Fence) -> None:
        self._pool, self._network = pool, network
        self._watch = watch
        self._fence = fence
        self._variables = VariableFiles(fence)
        self._full = FullCopies(bulk=bulk, watch=watch, fence=fence)
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    def find(self, connection: libvirt.virConnect, owner: Owner) -> Sequence[ObservedClone]:
        """List the clones of an owner."""
        found = [clone for domain in _candidates(connection, owner) if (clone := _seen(domain, owner))]
        for clone in found:
            self._watch.know_clone(clone.stamp.incarnation)
        return found

    def find_one(self, connection: libvirt.virConnect, stamp: Stamp) -> ObservedClone | None:
        """Return the clone of an incarnation, or None."""
        for clone in self.find(connection, Owner(instance=stamp.instance, incarnation=stamp.incarnation)):
            return clone
        return None

    def start(self, connection: libvirt.virConnect, intent: CloneIntent) -> Progress:
        """Make the clone, or adopt the one this incarnation has; RUNNING while its disks are copied."""
        self._watch.know_clone(intent.stamp.incarnation)
        with self._alone(intent.stamp.incarnation):
            if not _exists(connection, intent) and not self._make(connection, intent):
                return self._full.standing(connection, intent)
            self._full.forget(intent.uuid)
        return Progress(state=OperationState.DONE, percent=100, external_id=intent.uuid)

    @contextmanager
    def _alone(self, incarnation: str) -> Iterator[None]:
        """Let one thread at a time make or remove a clone: a thread outlives the pass that asked for it."""
        with self._lock:
            if incarnation in self._busy:
                raise RetryLater("the clone is being made or removed by a call that has not ended yet")
            self._busy.add(incarnation)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(incarnation)

    def _make(self, connection: libvirt.virConnect, intent: CloneIntent) -> bool:
        """Make the disks, the seed, and the domain last; false while disks are copied."""
        own_pool = volumes.open_pool(connection, self._pool)
        pool = volumes.open_directory_pool(connection, intent.pool) if intent.pool else own_pool
        plan = blueprint.draw(connection, own_pool, intent, self._network)
        content = seed_image(intent.seed, intent.mode)
        made = self._disks(connection, pool, intent, plan)
        if made is None:
            return False
        seed = self._seed(connection, pool, intent, content)
        variables = self._own_variables(connection, pool, intent, plan)
        disks = CloneDisks(overlays=made, left_out=plan.left_out, seed=seed, variables=variables)
        xml = clone_xml(plan.machine, intent, disks)
        self._fence()
        connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        return True

    def _disks(
        self, connection: libvirt.virConnect, pool: libvirt.virStoragePool, intent: CloneIntent, plan: Blueprint
    ) -> dict[str, Overlay] | None:
        """Make the clone's own disks; None while they are being copied."""
        full = intent.copy is DiskCopy.FULL
        if not full and not self._full.give_up(intent.uuid):
            raise RetryLater("the clone's disks are still being copied by an earlier attempt")
        kept = self._full.proven(intent) if full else frozenset()
        if not self._remove_volumes(connection, intent.stamp, kept):
            raise RetryLater("libvirt has yet to let go of a disk that an earlier attempt began")
        if not full:
            return {
                target: Overlay(path=self._overlay(pool, intent, target, base), base=base.path)
                for target, base in plan.bases.items()
            }
        work = {target: self._work(pool, intent, target, base) for target, base in plan.bases.items()}
        present = volumes.volume_names(pool, naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation))
        if not self._full.complete(intent, work, present):
            return None
        return {target: Overlay(path=pool.storageVolLookupByName(one.name).path()) for target, one in work.items()}

    def _work(self, pool: libvirt.virStoragePool, intent: CloneIntent, target: str, base: Base) -> Work:
        return Work(base=base, base_pool=self._pool, pool=pool.name(), name=volume_name(intent, target))

    def _overlay(self, pool: libvirt.virStoragePool, intent: CloneIntent, target: str, base: Base) -> str:
        xml = volumes.volume_xml(volume_name(intent, target), base.capacity, backing=base.path)
        return str(volumes.create(pool, xml, self._fence).path())

    def _seed(
        self, connection: libvirt.virConnect, pool: libvirt.virStoragePool, intent: CloneIntent, content: bytes
    ) -> str:
        name = f"{naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation)}{intent.token}-seed.iso"
        volume = volumes.create(pool, volumes.volume_xml(name, len(content), image_format="raw"), self._fence)
        volumes.upload(connection, volume, content, self._fence)
        return str(volume.path())

    def _own_variables(
        self, connection: libvirt.virConnect, pool: libvirt.virStoragePool, intent: CloneIntent, plan: Blueprint
    ) -> Variables | None:
        """Return the clone's UEFI variables, if it has any: the source's, or in mode Clean a place for blank ones.

        libvirt makes blank ones at the first start. Without a place of ours they would outlive the clone.
        """
        if not (has_uefi(plan.machine) or domain_xml.variables_path(plan.machine)):
            return None
        if intent.mode is Mode.DISK:
            return self._variables.copy(connection, pool, intent)
        name = f"{naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation)}{intent.token}-vars"
        return blank_variables(plan.machine, posixpath.join(volumes.pool_path(pool), name))

    def delete(self, connection: libvirt.virConnect, stamp: Stamp) -> Progress:
        """Remove the VM, then its volumes; DONE once nothing is left."""
        with self._alone(stamp.incarnation):
            return removal(gone=self._delete(connection, stamp))

    def _delete(self, connection: libvirt.virConnect, stamp: Stamp) -> bool:
        domain = sources.by_uuid(connection, naming.clone_uuid(stamp.incarnation))
        if domain is not None:
            _require_stamp(domain, stamp)
            self._undefine(domain)
        if not self._full.give_up(naming.clone_uuid(stamp.incarnation)):
            return False
        own = volumes.open_pool(connection, self._pool)
        held = volumes.names_everywhere(connection, naming.volume_prefix(stamp.instance, stamp.incarnation))
        for pool in {pool.name(): pool for pool in (own, *(pool for pool, _ in held))}.values():
            volumes.refresh(pool)  # firmware variables are made behind a pool's back
        gone = self._remove_volumes(connection, stamp)
        left = volumes.names_everywhere(connection, naming.volume_prefix(stamp.instance, stamp.incarnation))
        if gone and not left:
            self._watch.forget_clone(stamp.incarnation)
        return gone and not left

    def _undefine(self, domain: libvirt.virDomain) -> None:
        self._fence()
        translate.found(domain.destroy, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN)
        self._fence()
        translate.found(lambda: domain.undefineFlags(_UNDEFINE), libvirt.VIR_ERR_NO_DOMAIN)

    def _remove_volumes(self, connection: libvirt.virConnect, stamp: Stamp, kept: frozenset[str] = frozenset()) -> bool:
        """Remove an incarnation's volumes, in whichever pool they are; false when one has to wait."""
        gone = True
        for pool, names in volumes.names_everywhere(
            connection, naming.volume_prefix(stamp.instance, stamp.incarnation)
        ):
            doomed = [name for name in names if name not in kept]
            if doomed:
                found = (volumes.find_volume(pool, name) for name in doomed)
                volumes.refuse_foreign_users(connection, {volume.path() for volume in found if volume is not None})
                gone = volumes.remove(pool, doomed, self._fence) and gone
        return gone


def _candidates(connection: libvirt.virConnect, owner: Owner) -> list[libvirt.virDomain]:
    """Return the domains that may be the owner's: one, by its UUID, when an incarnation is meant."""
    if not owner.incarnation:
        return list(connection.listAllDomains())
    domain = sources.by_uuid(connection, naming.clone_uuid(owner.incarnation))
    return [] if domain is None else [domain]


def _seen(domain: libvirt.virDomain, owner: Owner) -> ObservedClone | None:
    """Return the owner's clone that a domain is, or None; its shape is that of its next boot."""
    text = translate.found(domain.XMLDesc, libvirt.VIR_ERR_NO_DOMAIN)
    clone = observed(domain_xml.parsed(text)) if text else None
    if clone is None or not clone.stamp.belongs_to(owner):
        return None
    later = translate.found(lambda: configuration(domain), libvirt.VIR_ERR_NO_DOMAIN)
    return clone if later is None else replace(clone, shape=shape_of(later))


def unstamped(connection: libvirt.virConnect, stamp: Stamp) -> str:
    """Return the name of the domain that has a clone's UUID and not its stamp; empty when there is none."""
    domain = sources.by_uuid(connection, naming.clone_uuid(stamp.incarnation))
    if domain is None:
        return ""
    mark = read_stamp(configuration(domain))
    return "" if mark is not None and mark[0] == stamp else str(domain.name())


def observed(xml: ET.Element) -> ObservedClone | None:
    """Return the clone that a domain's live XML shows, or None when it carries no stamp of ours."""
    mark = read_stamp(xml)
    if mark is None:
        return None
    return ObservedClone(
        stamp=mark[0],
        token=mark[1],
        external_id=xml.findtext("uuid", ""),
        vm_name=xml.findtext("name", ""),
        complete=True,
        power=Power.ON if domain_xml.is_active(xml) else Power.OFF,
        connected=domain_xml.links_up(xml),
        agent=domain_xml.agent_connected(xml),
        made_from=read_made_from(xml),
        own_disks=own_disks(xml),
    )


def owned(connection: libvirt.virConnect, stamp: Stamp) -> libvirt.virDomain:
    """Return the clone with exactly this stamp."""
    domain = sources.by_uuid(connection, naming.clone_uuid(stamp.incarnation))
    if domain is None:
        raise RetryLater(f"the VM of replica {stamp.vmclone}-{stamp.ordinal} does not exist (any more)")
    _require_stamp(domain, stamp)
    return domain


def configuration(domain: libvirt.virDomain) -> ET.Element:
    """Return the XML of a VM's next boot."""
    return domain_xml.parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))


def _require_stamp(domain: libvirt.virDomain, stamp: Stamp) -> None:
    mark = read_stamp(configuration(domain))
    if mark is None or mark[0] != stamp:
        raise mismatch(f"{domain.name()} ({domain.UUIDString()})", None if mark is None else mark[0], stamp)


def _exists(connection: libvirt.virConnect, intent: CloneIntent) -> bool:
    """Return whether the clone is there already; TargetConflict when a foreign VM is in the way."""
    domain = sources.by_uuid(connection, intent.uuid)
    if domain is not None:
        mark = read_stamp(configuration(domain))
        if mark is None or mark[0] != intent.stamp:
            raise TargetConflict(f"the VM {domain.name()} has the UUID {intent.uuid} but not our stamp: left alone")
        return True
    named = translate.found(lambda: connection.lookupByName(intent.vm_name), libvirt.VIR_ERR_NO_DOMAIN)
    if named is not None:
        raise TargetConflict(f"a VM named {intent.vm_name} exists that is not ours ({named.UUIDString()}): left alone")
    return False
