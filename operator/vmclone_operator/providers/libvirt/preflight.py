"""Everything that speaks against a clone, found before anything is changed and told all at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.backend import Finding
from vmclone_operator.domain.errors import CloneError, InsufficientSpace, SourceNotFound
from vmclone_operator.providers.libvirt import definition_check, domain_xml, freeze, images, translate, volumes
from vmclone_operator.providers.libvirt import source as sources
from vmclone_operator.providers.libvirt.clean_xml import with_one_disk
from vmclone_operator.providers.libvirt.definition import refusals
from vmclone_operator.providers.libvirt.room import Room, same_room

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Iterator, Sequence

    from vmclone_operator.domain.backend import PlanWish, SourceInfo
    from vmclone_operator.providers.libvirt.source import Source

PER_CLONE_BYTES = 64 << 20
"""What a fresh overlay is expected to take until the identity step is done."""


def findings(
    connection: libvirt.virConnect, info: SourceInfo, wish: PlanWish, home_pool: str, room: Room
) -> Sequence[Finding]:
    """Return every reason why this source cannot be cloned so; `home_pool` has frozen points and golden images."""
    space = partial(_space_findings, connection, info, wish, home_pool, room)
    try:
        source = sources.read(connection, info.source_id)
    except SourceNotFound as error:
        # Mode Clean may go to another host than the source's: its clones get a machine of their own there.
        return [*space()] if wish.image else [Finding(message=str(error))]
    except CloneError as error:
        return [Finding(message=str(error))]
    found = list(refusals(with_one_disk(source.xml)) if wish.image else _source_findings(source))
    if not found:
        found = definition_check.problems(source, clean=bool(wish.image))
    if wish.agent:
        found += _agent_findings(source, info)
    found += network_findings(connection, wish.shape.networks or networks_of(source.xml))
    return [*(Finding(message=sentence) for sentence in found), *space()]


def networks_of(domain: ET.Element) -> list[str]:
    """Return the names of libvirt's networks that a VM's cards hang on, each once."""
    cards = domain.findall("devices/interface[@type='network']/source[@network]")
    return list(dict.fromkeys(card.get("network", "") for card in cards))


def network_findings(connection: libvirt.virConnect, names: Sequence[str]) -> list[str]:
    """Return which networks are not there or stopped: libvirt itself says so at a clone's first start only."""
    found = []
    for name in names:
        network = translate.found(partial(connection.networkLookupByName, name), libvirt.VIR_ERR_NO_NETWORK)
        shown = translate.plain(name)
        if network is None:
            found.append(
                f"there is no network {shown} on this host: define it (virsh net-define), or name another in"
                " spec.template.networks"
            )
        elif not network.isActive():
            found.append(f"the network {shown} is not active: virsh net-start {shown}")
    return found


def _source_findings(source: Source) -> Iterator[str]:
    yield from sources.copy_blockers(source)
    if source.domain.isActive() and not freeze.running_backup(source.domain):
        busy = freeze.other_job(source.domain, source.live)
        if busy:
            yield f"the source is locked: {busy}"


def _agent_findings(source: Source, info: SourceInfo) -> list[str]:
    if not domain_xml.has_agent_channel(source.xml):
        return [
            "the VM has no guest agent channel: add one (virtio, org.qemu.guest_agent.0) and install qemu-guest-agent"
        ]
    if source.domain.isActive() and not info.agent:
        return ["the source's guest agent does not answer: install and start qemu-guest-agent in it"]
    return []


def _space_findings(
    connection: libvirt.virConnect, info: SourceInfo, wish: PlanWish, home_pool: str, room: Room
) -> Iterator[Finding]:
    """Tell which pools have too little room; of one that is missing, that."""
    try:
        home = volumes.open_pool(connection, home_pool)
        target = volumes.open_directory_pool(connection, wish.pool) if wish.pool else home
        size = _frozen_bytes(connection, info, wish, home_pool)
    except CloneError as error:
        yield Finding(message=str(error))
        return
    clones = wish.replicas * (PER_CLONE_BYTES + (size if wish.full else 0))
    for pool in (home, target):
        room.look_again(pool)
    needs = [(home, size + clones)] if same_room(home, target) else [(home, size), (target, clones)]
    for pool, needed in needs:
        if problem := volumes.space_problem(pool, needed):
            yield Finding(reason=InsufficientSpace.reason, message=problem)


def _frozen_bytes(connection: libvirt.virConnect, info: SourceInfo, wish: PlanWish, home_pool: str) -> int:
    if wish.image:
        return images.describe(connection, home_pool, wish.image).allocated_bytes
    return sum(disk.allocated_bytes for disk in info.disks if not disk.shared)
