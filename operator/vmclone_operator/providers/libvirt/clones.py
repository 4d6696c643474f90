"""Clones on libvirt: found, made, switched and removed. A domain is defined last, so that it proves its disks."""

from __future__ import annotations

import threading
import time
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from typing import TYPE_CHECKING

import libvirt

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
from vmclone_operator.domain.errors import (
    CloneFailed,
    OwnershipMismatch,
    RetryLater,
    SourceChanged,
    TargetConflict,
)
from vmclone_operator.providers.libvirt import domain_xml, freeze, translate, volumes
from vmclone_operator.providers.libvirt import source as sources
from vmclone_operator.providers.libvirt.clone_xml import CloneDisks, Overlay, clone_xml
from vmclone_operator.providers.libvirt.frozen_names import parse_name
from vmclone_operator.providers.libvirt.seed import seed_image
from vmclone_operator.providers.libvirt.stamp import read_stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vmclone_operator.domain.backend import Fence
    from vmclone_operator.providers.libvirt.events import Watch
    from vmclone_operator.providers.libvirt.source import Source

KIND = "clone"
SHUTDOWN_SECONDS = 60.0
"""How long a guest may take to shut down before it is switched off."""
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


class Clones:
    """The clones of one session; every method blocks and is called in a thread of the session."""

    def __init__(self, *, pool: str, watch: Watch, fence: Fence) -> None:
        self._pool = pool
        self._watch = watch
        self._fence = fence
        self._shutdowns: dict[str, float] = {}
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    def find(self, connection: libvirt.virConnect, owner: Owner) -> Sequence[ObservedClone]:
        """List the clones of an owner."""
        domains = _candidates(connection, owner)
        texts = (translate.found(domain.XMLDesc, libvirt.VIR_ERR_NO_DOMAIN) for domain in domains)
        seen = [clone for text in texts if text and (clone := observed(domain_xml.parsed(text)))]
        found = [clone for clone in seen if clone.stamp.belongs_to(owner)]
        for clone in found:
            self._watch.know_clone(clone.stamp.incarnation)
        return found

    def start(self, connection: libvirt.virConnect, intent: CloneIntent) -> Operation:
        """Make the clone, or adopt the one this incarnation has."""
        self._watch.know_clone(intent.stamp.incarnation)
        with self._alone(intent.stamp.incarnation):
            token = _existing(connection, intent)
            if token is None:
                self._make(connection, intent)
        return Operation(kind=KIND, token=token or intent.token, target=intent.uuid)

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

    def _make(self, connection: libvirt.virConnect, intent: CloneIntent) -> None:
        source = sources.read(connection, intent.source_id)
        sources.require_healthy(source)
        pool = volumes.open_pool(connection, self._pool)
        bases = _bases(pool, source, intent)
        self._remove_volumes(connection, pool, intent.stamp.incarnation)
        overlays = {
            target: Overlay(path=self._overlay(pool, intent, target, base), base=base.path())
            for target, base in bases.items()
        }
        seed = self._seed(connection, pool, intent)
        left_out = frozenset(disk.target for disk in source.seeds)
        xml = clone_xml(source.xml, intent, CloneDisks(overlays=overlays, left_out=left_out, seed=seed))
        self._fence()
        connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)

    def _overlay(
        self, pool: libvirt.virStoragePool, intent: CloneIntent, target: str, base: libvirt.virStorageVol
    ) -> str:
        name = f"{naming.volume_prefix(intent.stamp.incarnation)}{intent.token}-{target}.qcow2"
        xml = volumes.volume_xml(name, volumes.describe(base).capacity, backing=base.path())
        return str(volumes.create(pool, xml, self._fence).path())

    def _seed(self, connection: libvirt.virConnect, pool: libvirt.virStoragePool, intent: CloneIntent) -> str:
        content = seed_image(intent.seed)
        name = f"{naming.volume_prefix(intent.stamp.incarnation)}{intent.token}-seed.iso"
        volume = volumes.create(pool, volumes.volume_xml(name, len(content), image_format="raw"), self._fence)
        volumes.upload(connection, volume, content, self._fence)
        return str(volume.path())

    def poll(self, connection: libvirt.virConnect, operation: Operation) -> Progress:
        """Tell whether the clone of this attempt is there: it is defined last."""
        domain = sources.by_uuid(connection, operation.target)
        mark = None if domain is None else read_stamp(_configuration(domain))
        if mark is None or mark[1] != operation.token or naming.clone_uuid(mark[0].incarnation) != operation.target:
            return Progress(state=OperationState.LOST)
        return Progress(state=OperationState.DONE, percent=100)

    def delete(self, connection: libvirt.virConnect, stamp: Stamp) -> bool:
        """Remove the VM, then its volumes; true once nothing is left."""
        with self._alone(stamp.incarnation):
            return self._delete(connection, stamp)

    def _delete(self, connection: libvirt.virConnect, stamp: Stamp) -> bool:
        domain = sources.by_uuid(connection, naming.clone_uuid(stamp.incarnation))
        if domain is not None:
            _require_stamp(domain, stamp)
            self._undefine(domain)
        pool = volumes.open_pool(connection, self._pool)
        volumes.refresh(pool)
        gone = self._remove_volumes(connection, pool, stamp.incarnation)
        left = volumes.volume_names(pool, naming.volume_prefix(stamp.incarnation))
        if gone and not left:
            self._watch.forget_clone(stamp.incarnation)
        return gone and not left

    def _undefine(self, domain: libvirt.virDomain) -> None:
        self._fence()
        translate.found(domain.destroy, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN)
        self._fence()
        translate.found(lambda: domain.undefineFlags(_UNDEFINE), libvirt.VIR_ERR_NO_DOMAIN)

    def _remove_volumes(self, connection: libvirt.virConnect, pool: libvirt.virStoragePool, incarnation: str) -> bool:
        names = volumes.volume_names(pool, naming.volume_prefix(incarnation))
        if not names:
            return True
        found = (volumes.find_volume(pool, name) for name in names)
        volumes.refuse_foreign_users(connection, {volume.path() for volume in found if volume is not None})
        return volumes.remove(pool, names, self._fence)

    def set_power(self, connection: libvirt.virConnect, stamp: Stamp, power: Power) -> None:
        """Switch a clone on or off. A guest with an agent is asked to shut down before it is switched off."""
        domain = owned(connection, stamp)
        if power is Power.ON:
            self._shutdowns.pop(stamp.incarnation, None)
            if not domain.isActive():
                self._fence()
                translate.found(domain.create, libvirt.VIR_ERR_OPERATION_INVALID)
        elif domain.isActive():
            self._switch_off(domain, stamp.incarnation)

    def _switch_off(self, domain: libvirt.virDomain, incarnation: str) -> None:
        asked = self._shutdowns.setdefault(incarnation, time.monotonic())
        self._fence()
        polite = domain_xml.agent_connected(domain_xml.parsed(domain.XMLDesc()))
        if polite and time.monotonic() - asked < SHUTDOWN_SECONDS:
            translate.found(domain.shutdown, libvirt.VIR_ERR_OPERATION_INVALID)
        else:
            translate.found(domain.destroy, libvirt.VIR_ERR_OPERATION_INVALID)

    def connect_network(self, connection: libvirt.virConnect, stamp: Stamp) -> None:
        """Set the links up: first for later boots, so that a crash in between is seen as not done."""
        domain = owned(connection, stamp)
        self._links_up(domain, _configuration(domain), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        if domain.isActive():
            self._links_up(domain, domain_xml.parsed(domain.XMLDesc()), libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def _links_up(self, domain: libvirt.virDomain, xml: ET.Element, where: int) -> None:
        for interface in xml.findall("devices/interface"):
            link = interface.find("link")
            if link is not None and link.get("state") == "down":
                link.set("state", "up")
                self._fence()
                domain.updateDeviceFlags(ET.tostring(interface, encoding="unicode"), where)


def _candidates(connection: libvirt.virConnect, owner: Owner) -> list[libvirt.virDomain]:
    """Return the domains that may be the owner's: one, by its UUID, when an incarnation is meant."""
    if not owner.incarnation:
        return list(connection.listAllDomains())
    domain = sources.by_uuid(connection, naming.clone_uuid(owner.incarnation))
    return [] if domain is None else [domain]


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
    )


def owned(connection: libvirt.virConnect, stamp: Stamp) -> libvirt.virDomain:
    """Return the clone with exactly this stamp."""
    domain = sources.by_uuid(connection, naming.clone_uuid(stamp.incarnation))
    if domain is None:
        raise RetryLater(f"the VM of replica {stamp.vmclone}-{stamp.ordinal} does not exist (any more)")
    _require_stamp(domain, stamp)
    return domain


def _configuration(domain: libvirt.virDomain) -> ET.Element:
    return domain_xml.parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))


def _require_stamp(domain: libvirt.virDomain, stamp: Stamp) -> None:
    mark = read_stamp(_configuration(domain))
    if mark is None or mark[0] != stamp:
        raise OwnershipMismatch(f"the VM {domain.name()} ({domain.UUIDString()}) does not carry our stamp: left alone")


def _existing(connection: libvirt.virConnect, intent: CloneIntent) -> str | None:
    """Return the token of the clone that is there already; TargetConflict when a foreign VM is in the way."""
    domain = sources.by_uuid(connection, intent.uuid)
    if domain is not None:
        mark = read_stamp(_configuration(domain))
        if mark is None or mark[0] != intent.stamp:
            raise TargetConflict(f"the VM {domain.name()} has the UUID {intent.uuid} but not our stamp: left alone")
        return mark[1]
    named = translate.found(lambda: connection.lookupByName(intent.vm_name), libvirt.VIR_ERR_NO_DOMAIN)
    if named is not None:
        raise TargetConflict(f"a VM named {intent.vm_name} exists that is not ours ({named.UUIDString()}): left alone")
    return None


def _bases(pool: libvirt.virStoragePool, source: Source, intent: CloneIntent) -> dict[str, libvirt.virStorageVol]:
    """Return the frozen disk of each copied target; all must be there, and no longer written."""
    names = volumes.volume_names(pool, naming.frozen_prefix(intent.stamp.vmclone_uid))
    held = [volume for name in names if (volume := parse_name(name)) and volume.token == intent.frozen_token]
    bases = {volume.target: pool.storageVolLookupByName(volume.name) for volume in held}
    if not bases:
        raise CloneFailed(f"the frozen point {intent.frozen_token} is gone")
    if set(bases) != {disk.target for disk in source.copied}:
        raise SourceChanged("the source has other disks than its frozen point: freeze it again")
    if (freeze.running_backup(source.domain) or frozenset()) & {base.path() for base in bases.values()}:
        raise RetryLater(f"the frozen point {intent.frozen_token} is still being copied")
    return bases
