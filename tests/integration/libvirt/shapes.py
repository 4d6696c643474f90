"""Sources of every shape: images made with qemu-img, VMs that are defined around them, and their clones' content."""

from __future__ import annotations

import secrets
import subprocess
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import libvirt
from tests.contract.libvirt_backend import LibvirtFacts
from tests.integration.libvirt.steps import INSTANCE, begun, clone_intent, ended, freeze_intent, gone, stamp_of
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import BackendSession, Consistency, OperationState, Owner, Stamp

CAPACITY = 8 << 20
SECTOR = 512


def qemu_img(*arguments: str) -> None:
    subprocess.run(["qemu-img", *arguments], check=True, capture_output=True)


def write(path: Path, image_format: str, sector: int, letter: str) -> None:
    """Fill one sector of an image with one letter, as its guest would have."""
    command = f"write -P {ord(letter)} {sector * SECTOR} {SECTOR}"
    subprocess.run(["qemu-io", "-f", image_format, "-c", command, str(path)], check=True, capture_output=True)


def letters(text: str) -> bytes:
    """Return sectors that are filled with these letters; a dot is a sector of zeros."""
    return b"".join((b"\0" if letter == "." else letter.encode()) * SECTOR for letter in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """One disk of a VM to define."""

    path: Path | str
    format: str = "qcow2"
    target: str = "vda"
    bus: str = "virtio"
    device: str = "disk"
    flags: Sequence[str] = ()
    pool: str = ""
    """Names the disk by pool and volume in place of its path."""


def image(facts: LibvirtFacts, name: str, text: str, image_format: str = "qcow2") -> Path:
    """Make an image in the pool that begins with these letters."""
    raw, path = facts.pool_path / f"made-{secrets.token_hex(4)}", facts.pool_path / name
    raw.write_bytes(letters(text))
    with raw.open("r+b") as file:
        file.truncate(CAPACITY)
    if image_format == "raw":
        raw.rename(path)
    else:
        qemu_img("convert", "-f", "raw", "-O", image_format, str(raw), str(path))
        raw.unlink()
    path.chmod(0o666)
    facts.pool.refresh()
    return path


def overlay(facts: LibvirtFacts, name: str, below: Path, below_format: str) -> Path:
    """Make an overlay in the pool, behind libvirt's back as snapshots are made."""
    path = facts.pool_path / name
    qemu_img("create", "-q", "-f", "qcow2", "-b", str(below), "-F", below_format, str(path))
    path.chmod(0o666)
    return path


def define(facts: LibvirtFacts, *disks: DiskSpec, name: str = "vm", os: str = "", devices: str = "") -> LibvirtFacts:
    """Define a VM with these disks; return the facts with it as the source."""
    domain = ET.Element("domain", type="qemu")
    ET.SubElement(domain, "name").text = f"{facts.pool_name}-{name}"
    ET.SubElement(domain, "memory", unit="MiB").text = "64"
    domain.append(ET.fromstring(os or "<os><type arch='x86_64' machine='q35'>hvm</type></os>"))  # noqa: S314 - ours
    ET.SubElement(ET.SubElement(domain, "features"), "acpi")
    listed = ET.SubElement(domain, "devices")
    listed.extend(_disk(disk) for disk in disks)
    listed.extend(ET.fromstring(f"<devices>{devices}</devices>"))  # noqa: S314 - ours
    defined = facts.connection.defineXML(ET.tostring(domain, encoding="unicode"))
    return replace(facts, source_name=defined.name(), source_id=defined.UUIDString())


def _disk(spec: DiskSpec) -> ET.Element:
    disk = ET.Element("disk", type="volume" if spec.pool else "file", device=spec.device)
    if spec.path:
        ET.SubElement(disk, "driver", name="qemu", type=spec.format)
        where = {"pool": spec.pool, "volume": Path(spec.path).name} if spec.pool else {"file": str(spec.path)}
        ET.SubElement(disk, "source", where)
    ET.SubElement(disk, "target", dev=spec.target, bus=spec.bus)
    for flag in spec.flags:
        ET.SubElement(disk, flag)
    return disk


def extend(facts: LibvirtFacts, *elements: str) -> None:
    """Define the source anew with more elements of the domain."""
    domain = ET.fromstring(domain_of(facts).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))  # noqa: S314 - libvirt's
    domain.extend(ET.fromstring(element) for element in elements)  # noqa: S314 - ours
    facts.connection.defineXML(ET.tostring(domain, encoding="unicode"))


def domain_of(facts: LibvirtFacts) -> libvirt.virDomain:
    return facts.connection.lookupByUUIDString(facts.source_id)


async def cloned(session: BackendSession, facts: LibvirtFacts) -> Stamp:
    """Freeze the source as it is and make one clone of it."""
    stamp = stamp_of(str(uuid.uuid4()))
    intent = freeze_intent(facts, stamp.vmclone_uid, "f1", Consistency.CRASH_CONSISTENT)
    frozen = await begun(session, intent)
    assert (await ended(session, frozen)).state is OperationState.DONE
    await session.start_clone(clone_intent(facts, stamp, "f1"))
    return stamp


async def removed(session: BackendSession, stamp: Stamp) -> None:
    """Remove the clone and its frozen point."""
    await gone(lambda: is_gone(session.delete_clone(ref_to(stamp))))
    await gone(lambda: is_gone(session.release_frozen(Owner(instance=INSTANCE, vmclone_uid=stamp.vmclone_uid), "f1")))


def clone_domain(facts: LibvirtFacts, stamp: Stamp) -> libvirt.virDomain:
    return facts.connection.lookupByUUIDString(naming.clone_uuid(stamp.incarnation))


def clone_disks(facts: LibvirtFacts, stamp: Stamp) -> dict[str, str]:
    """Return the files of a clone's disks by target, the seed left out; empty drives have none."""
    devices = ET.fromstring(clone_domain(facts, stamp).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))  # noqa: S314 - libvirt's
    found = {}
    for disk in devices.findall("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        path = "" if source is None else source.get("file", "")
        if target is not None and not path.endswith("-seed.iso"):
            found[target.get("dev", "")] = path
    return found


def content(facts: LibvirtFacts, path: str, sectors: int) -> bytes:
    """Return what a guest would read first from a disk, whatever lies below it."""
    flat = facts.pool_path / f"flat-{secrets.token_hex(4)}"
    qemu_img("convert", "-U", "-f", "qcow2", "-O", "raw", path, str(flat))
    try:
        with flat.open("rb") as file:
            return file.read(sectors * SECTOR)
    finally:
        flat.unlink()
