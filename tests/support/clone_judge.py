"""Judges one source on a real libvirtd: it is refused before anything is made, or its clone is nobody else.

An outside judge: what a clone shares with its source is looked for in its XML by marks that the source's values carry,
and in the kernel's list of what the clone's QEMU has open for writing; nothing here asks the code under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import libvirt
from tests.contract.libvirt_backend import LibvirtFacts
from tests.integration.libvirt import shapes
from tests.integration.libvirt.steps import INSTANCE, begun, clone_intent, ended, freeze_intent, gone, stamp_of
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain.backend import BackendSession, Consistency, OperationState, Owner, PlanWish, Stamp
from vmclone_operator.domain.errors import ActionNeeded

INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
REFUSED, DEFINED, STARTED = "refused", "cloned", "cloned and started"
CLONED = "cloned, and neither can be started here"
_UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
MARKS = re.compile(
    r"52:54:00:5a:[0-9a-f:]{5}|ua-mark-\d+|MARK-\d+|10\.99\.0\.\d+|5a5a[0-9a-f]{4}-[0-9a-f-]{27}|\b(?:159|259|77)\d\d\b"
)
"""What a source's values are known by: MACs, aliases, serial numbers, addresses, UUIDs, ports and vsock addresses."""


MAKE = frozenset({"manufacturer", "product", "version", "sku", "family", "vendor", "date", "release", "location"})
"""What SMBIOS says of a make or model (DMTF DSP0134, types 0 to 3): every machine of the model says the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What became of a source."""

    outcome: str
    sentences: tuple[str, ...] = ()


def state_of(facts: LibvirtFacts) -> str:
    """Return a hash over a source's definition and every file of its that exists."""
    text = shapes.domain_of(facts).XMLDesc(INACTIVE)
    found = hashlib.sha256(text.encode())
    for path in sorted(_files(text)):
        found.update(f"{path} {path.stat().st_mtime_ns}".encode() + path.read_bytes())
    return found.hexdigest()


def _files(text: str) -> Iterator[Path]:
    for path in {Path(value) for value in re.findall(r"[\"'>](/[^\"'<]+)", text)}:
        if path.is_file() and path.stat().st_size <= shapes.CAPACITY:
            yield path


async def judge(session: BackendSession, facts: LibvirtFacts, *, start: bool = True) -> Judgement:
    """Clone a powered-off source, or see it refused; raises AssertionError with what is wrong."""
    before, held = state_of(facts), facts.volume_names()
    source = await session.describe_source(facts.source_id)
    findings = [finding.message for finding in await session.preflight(source, PlanWish(replicas=1))]
    if findings:
        await _refuses(session, facts)
        assert facts.volume_names() == held, f"something was made though it was refused: {findings}"
        assert all(" " in sentence for sentence in findings), findings
        assert state_of(facts) == before, "a source that is refused was changed"
        return Judgement(outcome=REFUSED, sentences=tuple(findings))
    stamp = stamp_of(str(uuid.uuid4()))
    try:
        frozen = await begun(session, freeze_intent(facts, stamp.vmclone_uid, "f1", Consistency.CRASH_CONSISTENT))
        assert (await ended(session, frozen)).state is OperationState.DONE
        try:
            await session.start_clone(clone_intent(facts, stamp, "f1"))
        except ActionNeeded as error:
            raise AssertionError(f"frozen in vain: {error}\n{_text(facts)}") from error
        outcome = _looked_at(facts, shapes.clone_domain(facts, stamp), before, start=start)
    finally:
        await _removed(session, stamp)
    assert outcome == CLONED or state_of(facts) == before, "the source was changed"
    assert facts.volume_names() == held, f"volumes before {held}, afterwards {facts.volume_names()}"
    return Judgement(outcome=outcome)


async def _refuses(session: BackendSession, facts: LibvirtFacts) -> None:
    """See that also a freeze is refused, which a caller could ask for without having looked."""
    uid = str(uuid.uuid4())
    with contextlib.suppress(ActionNeeded):
        frozen = await begun(session, freeze_intent(facts, uid, "f1", Consistency.CRASH_CONSISTENT))
        await ended(session, frozen)
        await gone(lambda: is_gone(session.release_frozen(Owner(instance=INSTANCE, vmclone_uid=uid), "f1")))
        raise AssertionError("the preflight refuses what a freeze takes")


async def _removed(session: BackendSession, stamp: Stamp) -> None:
    await gone(lambda: is_gone(session.delete_clone(ref_to(stamp))))
    await gone(lambda: is_gone(session.release_frozen(Owner(instance=INSTANCE, vmclone_uid=stamp.vmclone_uid), "f1")))


def _text(facts: LibvirtFacts) -> str:
    return str(shapes.domain_of(facts).XMLDesc(INACTIVE))


def _looked_at(facts: LibvirtFacts, clone: libvirt.virDomain, before: str, *, start: bool) -> str:
    """See that a clone shares nothing with its source, and that it starts if its source does."""
    text = clone.XMLDesc(INACTIVE)
    facts.connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    shared = _marks(text) & _marks(_text(facts))
    assert not shared, f"the clone has its source's {sorted(shared)}:\n{text}\nsource:\n{_text(facts)}"
    written = _written_paths(text) & set(re.findall(r"[\"'>](/[^\"'<]+)", _text(facts)))
    assert not written, f"the clone can write to its source's {sorted(written)}:\n{text}"
    if not start:
        return DEFINED
    refused = _refusal(clone)
    if refused:
        told = f"the source starts, its clone does not: {refused}\n{text}\nsource:\n{_text(facts)}"
        assert state_of(facts) == before, "the source was changed"
        assert _refusal(shapes.domain_of(facts), stop=True), told
        return CLONED
    held = _open_for_writing(clone.UUIDString())
    theirs = {(path.stat().st_dev, path.stat().st_ino): str(path) for path in _files(_text(facts))}
    assert not held & theirs.keys(), [theirs[one] for one in held & theirs.keys()]
    clone.destroy()
    return STARTED


def _marks(text: str) -> set[str]:
    """Return a definition's marks.

    A disk's serial number is the guest's own name for the disk and stays, and so does what SMBIOS says of the model.
    """
    domain = ET.fromstring(text)  # noqa: S314 - libvirt's
    for part in domain.findall("sysinfo/*"):
        for entry in [entry for entry in part.findall("entry") if entry.get("name") in MAKE]:
            part.remove(entry)
    for disk in domain.findall("devices/disk"):
        for serial in disk.findall("serial"):
            disk.remove(serial)
    return set(MARKS.findall(ET.tostring(domain, encoding="unicode")))


def _written_paths(text: str) -> set[str]:
    """Return the paths in a definition, but for those of media, read-only disks, programs, kernels and devices."""
    domain = ET.fromstring(text)  # noqa: S314 - libvirt's
    devices = domain.find("devices")
    assert devices is not None
    for disk in devices.findall("disk"):
        if disk.find("readonly") is not None or disk.get("device") == "cdrom":
            devices.remove(disk)
    for path in ("devices/emulator", "os/loader", "os/kernel", "os/initrd", "os/dtb", "metadata"):
        for element in domain.findall(path):
            element.clear()
    for nvram in domain.findall("os/nvram"):
        nvram.attrib.pop("template", None)
    found = set(re.findall(r"[\"'>](/[^\"'<]+)", ET.tostring(domain, encoding="unicode")))
    return {path for path in found if not path.startswith("/dev/") or path.startswith("/dev/mark")}


def _refusal(domain: libvirt.virDomain, *, stop: bool = False) -> str:
    """Start a VM that does not run on; return why this host cannot, or an empty string."""
    try:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    except libvirt.libvirtError as error:
        return str(error)
    if stop:
        domain.destroy()
    return ""


def _open_for_writing(uuid_text: str) -> set[tuple[int, int]]:
    """Return the files that the QEMU of this VM has open for writing."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if uuid_text.encode() not in (process / "cmdline").read_bytes():
                continue
            for handle in (process / "fd").iterdir():
                flags = re.search(r"flags:\s*(\d+)", (process / "fdinfo" / handle.name).read_text())
                status = handle.stat()
                if flags and int(flags[1], 8) & (os.O_WRONLY | os.O_RDWR):
                    found.add((status.st_dev, status.st_ino))
    assert found, "no QEMU of this clone was found"
    return found


def judged(
    runner: asyncio.Runner,
    session: BackendSession,
    facts: LibvirtFacts,
    domain: libvirt.virDomain,
    *,
    start: bool = True,
) -> Judgement:
    """Judge a VM that was just defined, and remove it."""
    own = replace(facts, source_name=domain.name(), source_id=domain.UUIDString())
    try:
        return runner.run(judge(session, own, start=start))
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            domain.destroy()
        domain.undefineFlags(_UNDEFINE)
