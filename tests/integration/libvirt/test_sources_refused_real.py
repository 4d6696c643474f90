"""Sources that cannot be copied safely, on a real libvirtd: refused with a reason before anything is made."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.contract.libvirt_backend import LibvirtFacts
from tests.integration.libvirt import shapes
from tests.integration.libvirt.shapes import DiskSpec, clone_disks, content
from tests.integration.libvirt.steps import play

from vmclone_operator.domain.backend import BackendSession, PlanWish
from vmclone_operator.domain.errors import SourceLocked, SourceUnhealthy
from vmclone_operator.providers.libvirt.session import LibvirtSession

pytestmark = pytest.mark.libvirt


def _plain(facts: LibvirtFacts) -> LibvirtFacts:
    return shapes.define(facts, DiskSpec(path=shapes.image(facts, "src.qcow2", "AB")))


def _pretending(facts: LibvirtFacts) -> LibvirtFacts:
    """Make a source whose guest wrote a qcow2 header, with a file of the host below it, onto its raw disk."""
    path = shapes.image(facts, "src.raw", "A", "raw")
    backing = b"/etc/hostname"
    header = struct.pack(
        ">4sIQIIQI36xQQQIIII", b"QFI\xfb", 3, 112, len(backing), 16, shapes.CAPACITY, 0, 0, 0, 0, 4, 104, 0, 0
    )
    with path.open("r+b") as file:
        file.write(header + backing)
    facts.pool.refresh()
    return shapes.define(facts, DiskSpec(path=path, format="raw"))


def test_a_raw_disk_that_looks_like_qcow2_stays_raw_while_it_runs() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts = _pretending(facts)
        head = (facts.pool_path / "src.raw").read_bytes()[:512]
        shapes.domain_of(facts).create()
        stamp = await shapes.cloned(session, facts)
        (path,) = clone_disks(facts, stamp).values()
        assert content(facts, path, 1) == head
        await shapes.removed(session, stamp)

    play(scenario)


def _without_backing_format(path: Path) -> None:
    """Make an old overlay of a new one: nothing in it says what format its backing file has."""
    head = path.read_bytes()[:4096].replace(struct.pack(">I", 0xE2792ACA), struct.pack(">I", 0x12345678))
    with path.open("r+b") as file:
        file.write(head)


def _set_header(path: Path, offset: int, value: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value)


def _on_a_missing_file(facts: LibvirtFacts) -> LibvirtFacts:
    base = shapes.image(facts, "base.raw", "A", "raw")
    top = shapes.overlay(facts, "top.qcow2", base, "raw")
    base.unlink()
    return shapes.define(facts, DiskSpec(path=top))


def _on_a_file_in_no_pool(facts: LibvirtFacts) -> LibvirtFacts:
    folder = facts.pool_path / "elsewhere"
    folder.mkdir()
    base = shapes.image(facts, "base.raw", "A", "raw").rename(folder / "base.raw")
    return shapes.define(facts, DiskSpec(path=shapes.overlay(facts, "top.qcow2", base, "raw")))


def _on_an_unknown_format(facts: LibvirtFacts) -> LibvirtFacts:
    top = shapes.overlay(facts, "top.qcow2", shapes.image(facts, "base.raw", "A", "raw"), "raw")
    _without_backing_format(top)
    return shapes.define(facts, DiskSpec(path=top))


def _on_the_network(facts: LibvirtFacts) -> LibvirtFacts:
    top = facts.pool_path / "top.qcow2"
    shapes.qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", "nbd://127.0.0.1:1/x", "-F", "raw", str(top), "8M")
    return shapes.define(facts, DiskSpec(path=top))


def _encrypted(facts: LibvirtFacts) -> LibvirtFacts:
    path = shapes.image(facts, "src.qcow2", "A")
    _set_header(path, 32, struct.pack(">I", 2))
    return shapes.define(facts, DiskSpec(path=path))


def _missing(facts: LibvirtFacts) -> LibvirtFacts:
    return shapes.define(facts, DiskSpec(path=facts.pool_path / "nowhere.qcow2"))


def _written_by_others(facts: LibvirtFacts) -> LibvirtFacts:
    own, home = shapes.image(facts, "src.qcow2", "A"), shapes.image(facts, "home.raw", "H", "raw")
    shared = DiskSpec(path=home, format="raw", target="vdc", flags=["shareable"])
    return shapes.define(facts, DiskSpec(path=own), shared)


def _no_boot_disk(facts: LibvirtFacts) -> LibvirtFacts:
    iso = shapes.image(facts, "tools.iso", "I", "raw")
    return shapes.define(facts, DiskSpec(path=iso, format="raw", target="sda", bus="sata", device="cdrom"))


def _suspended_to_disk(facts: LibvirtFacts) -> LibvirtFacts:
    facts = _plain(facts)
    domain = shapes.domain_of(facts)
    domain.create()
    domain.managedSave()
    return facts


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(_pretending, "looks like qcow2", id="a raw disk that looks like qcow2, off"),
        pytest.param(_on_a_missing_file, "base.raw is missing", id="a backing file that is gone"),
        pytest.param(
            _on_a_file_in_no_pool, "in no active storage pool", id="a backing file that libvirt cannot vouch for"
        ),
        pytest.param(_on_an_unknown_format, "formats are not guessed", id="a backing file of unknown format"),
        pytest.param(_on_the_network, "no file on the host", id="a backing file on the network"),
        pytest.param(_encrypted, "encrypted", id="an encrypted image"),
        pytest.param(_missing, "the template may be corrupted", id="a disk that is gone"),
        pytest.param(
            _written_by_others,
            "disk vdc is shareable and writable",
            id="a disk that several VMs write",
        ),
        pytest.param(_no_boot_disk, "missing boot disk - the template may be corrupted", id="no disk to boot from"),
        pytest.param(_suspended_to_disk, "managed save", id="a source that is suspended to disk"),
    ],
)
def test_what_cannot_be_copied_safely_is_refused_before_anything_is_made(
    make: Callable[[LibvirtFacts], LibvirtFacts], sentence: str
) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts = make(facts)
        before = facts.volume_names()
        source = await session.describe_source(facts.source_id)
        (finding,) = await session.preflight(source, PlanWish(replicas=1))
        assert sentence in finding.message
        with pytest.raises(SourceUnhealthy, match=re.escape(sentence)):
            await shapes.cloned(session, facts)
        assert facts.volume_names() == before

    play(scenario)


PULLED = """
<domainbackup mode='pull'><server transport='unix' socket='{folder}/theirs.sock'/><disks>
<disk name='vda' backup='yes' type='file'><scratch file='{folder}/theirs.scratch'/></disk></disks></domainbackup>
"""


def test_a_source_that_another_tool_backs_up_is_locked_and_its_backup_goes_on() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts = _plain(facts)
        source = shapes.domain_of(facts)
        source.create()
        facts.pool_path.chmod(0o777)  # QEMU makes the socket itself
        source.backupBegin(PULLED.format(folder=facts.pool_path), None)
        before = facts.volume_names()
        with pytest.raises(SourceLocked, match="another job"):
            await shapes.cloned(session, facts)
        assert facts.volume_names() == before
        assert source.backupGetXMLDesc()
        source.abortJob()
        await shapes.removed(session, await shapes.cloned(session, facts))

    play(scenario)


def test_all_findings_are_told_at_once() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        assert isinstance(session, LibvirtSession)
        network = (
            "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='p/i'>"
            "<host name='192.0.2.1'/></source><target dev='vdy' bus='virtio'/></disk>"
        )
        device = "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/><product id='0x2'/></source></hostdev>"
        disks = (
            DiskSpec(path=facts.pool_path / "nowhere.qcow2"),
            DiskSpec(path=shapes.image(facts, "d.vmdk", "A", "vmdk"), format="vmdk", target="vdb"),
        )
        facts = shapes.define(facts, *disks, devices=network + device)
        source = await session.describe_source(facts.source_id)
        found = list(await session.preflight(source, PlanWish(replicas=1 << 24, pool="nowhere", agent=True)))
        for word in ("vda", "vdb", "vdy is a network disk", "hostdev", "agent channel", "storage pool nowhere"):
            assert [finding for finding in found if word in finding.message], (word, found)
        assert len(found) == 6

    play(scenario)


def test_space_is_asked_for_in_every_pool_that_is_touched() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        assert isinstance(session, LibvirtSession)
        facts = _plain(facts)
        source = await session.describe_source(facts.source_id)
        free = facts.pool.info()[3]
        full = free // source.disks[0].allocated_bytes
        assert list(await session.preflight(source, PlanWish(replicas=1, full=True))) == []
        (problem,) = await session.preflight(source, PlanWish(replicas=full, full=True))
        assert problem.reason == "InsufficientSpace"
        assert facts.pool_name in problem.message
        assert "15 % margin" in problem.message
        (problem,) = await session.preflight(source, PlanWish(replicas=1, pool="nowhere"))
        assert "there is no storage pool nowhere" in problem.message
        (problem,) = await session.preflight(source, PlanWish(replicas=1, image="no-such.qcow2"))
        assert "no image no-such.qcow2" in problem.message

    play(scenario)
