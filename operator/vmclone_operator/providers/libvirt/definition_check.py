"""Asks libvirt, before a source is frozen, whether it would take its clone's definition; nothing is made by that.

libvirt has no call that only checks. So the clone's XML is defined with VALIDATE under the UUID of the source and a
name that is nobody's: libvirt checks it against its schema, parses it as a driver does, and only then finds that the
UUID belongs to a VM of another name, and refuses. That refusal is the good answer; every other names a fault.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from copy import deepcopy
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.backend import CloneIntent, Mode, Seed, Stamp
from vmclone_operator.domain.errors import SourceUnhealthy
from vmclone_operator.providers.libvirt import domain_xml, translate
from vmclone_operator.providers.libvirt.clean_xml import with_one_disk
from vmclone_operator.providers.libvirt.clone_xml import CloneDisks, Overlay, clone_xml
from vmclone_operator.providers.libvirt.definition import subject_of, tag_of
from vmclone_operator.providers.libvirt.firmware_xml import Variables, has_uefi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmclone_operator.providers.libvirt.source import Source

_NOBODY = "00000000-0000-4000-8000-000000000000"
_FOLDER = "/vmclone-check"
"""No file is opened by a definition."""
_NAME = "vmclone-check-"
_NEEDED = frozenset({"name", "uuid", "memory", "vcpu", "os", "devices"})


def problems(source: Source, *, clean: bool) -> list[str]:
    """Return why libvirt would not take the definition of a clone of this source, in sentences."""
    machine = with_one_disk(source.xml) if clean else source.xml
    disks = domain_xml.disks(machine)
    own = disks[:1] if clean else source.copied
    seeds = () if clean else source.seeds
    new = CloneDisks(
        overlays={disk.target: Overlay(path=f"{_FOLDER}/{disk.target}.qcow2") for disk in own},
        left_out=frozenset(disk.target for disk in seeds),
        seed=f"{_FOLDER}/seed.iso",
        variables=_variables(machine),
    )
    try:
        text = clone_xml(machine, _intent(source.domain.UUIDString(), clean=clean), new)
    except SourceUnhealthy as error:
        return [str(error)]
    return asked(source.domain.connect(), domain_xml.parsed(text))


def _variables(machine: ET.Element) -> Variables | None:
    if not (has_uefi(machine) or domain_xml.variables_path(machine)):
        return None
    nvram = machine.find("os/nvram")
    return Variables(path=f"{_FOLDER}/vars", format="raw" if nvram is None else nvram.get("format", "raw"))


def _intent(uuid: str, *, clean: bool) -> CloneIntent:
    stamp = Stamp(
        instance=_NOBODY, namespace="check", vmclone="check", vmclone_uid=_NOBODY, ordinal=0, incarnation=_NOBODY
    )
    return CloneIntent(
        stamp=stamp,
        token="check",  # noqa: S106 - of an attempt
        vm_name=f"{_NAME}{uuid}",
        uuid=uuid,
        source_id=uuid,
        frozen_token="check",  # noqa: S106 - of an attempt
        seed=Seed(instance_id=_NOBODY, hostname="check"),
        mode=Mode.CLEAN if clean else Mode.DISK,
    )


def asked(connection: libvirt.virConnect, clone: ET.Element) -> list[str]:
    """Return why libvirt would not take a definition whose UUID is that of a VM with another name."""
    said = _refusal(connection, clone)
    if not said:
        return []
    cause = next((subject for subject, without in _smaller(clone) if not _refusal(connection, without)), "the VM")
    return [f"libvirt takes no clone of this source, because of {cause}: {said}; change it in the source"]


def _refusal(connection: libvirt.virConnect, clone: ET.Element) -> str:
    """Return what libvirt has against a definition, or an empty string."""
    try:
        made = connection.defineXMLFlags(ET.tostring(clone, encoding="unicode"), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    except libvirt.libvirtError as error:
        if translate.is_connection_loss(error):
            raise
        taken = translate.is_code(error, libvirt.VIR_ERR_OPERATION_FAILED)
        return "" if taken else translate.plain(error.get_error_message() or "")
    # The source was undefined in this very moment, and its UUID was free: what was made is taken away again.
    made.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
    return ""


def _smaller(clone: ET.Element) -> Iterator[tuple[str, ET.Element]]:
    """Yield a definition without each of its elements in turn, and how a sentence names that element."""
    for path in ("devices", "."):
        parent = clone.find(path)
        for place, child in enumerate(() if parent is None else parent):
            if path == "devices" or child.tag not in _NEEDED:
                without = deepcopy(clone)
                rest = without.find(path)
                if rest is not None:
                    rest.remove(rest[place])
                yield _named(child, parent, device=path == "devices"), without


def _named(element: ET.Element, parent: ET.Element | None, *, device: bool) -> str:
    kind = f" type='{element.get('type')}'" if element.get("type") else ""
    shown = f"<{tag_of(element)}{kind}>"
    return f"{shown} ({subject_of(element, parent)})" if device and parent is not None else shown
