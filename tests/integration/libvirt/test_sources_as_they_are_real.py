"""Sources as people have them, on a real libvirtd: seeds in any format, block pools, media that are gone, what runs.

Powered off wherever the guest does not matter; nothing here boots anything.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pycdlib
import pytest
from tests.contract.libvirt_backend import LibvirtFacts
from tests.integration.libvirt import shapes
from tests.integration.libvirt.shapes import DiskSpec, clone_disks
from tests.integration.libvirt.steps import play

from vmclone_operator.domain.backend import BackendSession, PlanWish, Power, Shape
from vmclone_operator.domain.errors import SourceUnhealthy

pytestmark = pytest.mark.libvirt
CDROM = "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>{source}<target dev='sda' bus='sata'/></disk>"
VDD = (
    "<disk type='file'><driver name='qemu' type='qcow2'/><source file='{path}'/><target dev='vdd' bus='virtio'/></disk>"
)
LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG


def _system(facts: LibvirtFacts) -> DiskSpec:
    return DiskSpec(path=shapes.image(facts, "system.qcow2", "A"))


async def _findings(session: BackendSession, facts: LibvirtFacts) -> list[str]:
    source = await session.describe_source(facts.source_id)
    return [finding.message for finding in await session.preflight(source, PlanWish(replicas=1))]


# --- seeds ------------------------------------------------------------------------------------------------


def _seed(facts: LibvirtFacts, label: str, *conversion: str) -> Path:
    """Make a seed with a password in it, in the format that people keep theirs in."""
    raw = facts.pool_path / "seed.raw"
    if label == "vfat":
        raw.write_bytes(b"\xeb\x3c\x90mkfs.fat".ljust(43, b"\0") + b"CIDATA     FAT12   ".ljust(2 << 20, b"\0"))
    else:
        iso = pycdlib.PyCdlib()
        iso.new(interchange_level=1, joliet=3, rock_ridge="1.09", vol_ident=label)
        data = b"#cloud-config\npassword: plain-text\n"
        iso.add_fp(io.BytesIO(data), len(data), "/USERDATA.;1", rr_name="user-data", joliet_path="/user-data")
        iso.write(str(raw))
        iso.close()
    path = facts.pool_path / "seed.img"
    shapes.qemu_img("convert", "-f", "raw", *conversion, str(raw), str(path))
    raw.unlink()
    path.chmod(0o666)
    facts.pool.refresh()
    return path


@pytest.mark.parametrize("power", [Power.OFF, Power.ON])
@pytest.mark.parametrize("flags", [[], ["readonly"]], ids=["writable", "read-only"])
@pytest.mark.parametrize(
    ("label", "conversion"),
    [
        pytest.param("cidata", ["-O", "qcow2"], id="qcow2"),
        pytest.param("config-2", ["-O", "qcow2", "-c"], id="compressed qcow2 of OpenStack"),
        pytest.param("vfat", ["-O", "qcow2"], id="FAT in qcow2"),
        pytest.param("CIDATA", ["-O", "qcow2", "-o", "compat=0.10,cluster_size=512"], id="an old qcow2"),
        pytest.param("cidata", ["-O", "qcow2", "-o", "extended_l2=on"], id="qcow2 with subclusters"),
    ],
)
def test_a_seed_in_qcow2_is_left_out_of_clones(
    label: str, conversion: list[str], flags: list[str], power: Power
) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        seed = DiskSpec(path=_seed(facts, label, *conversion), target="vdb", flags=flags)
        facts = shapes.define(facts, _system(facts), seed)
        if power is Power.ON:
            shapes.domain_of(facts).create()
        assert await _findings(session, facts) == []
        stamp = await shapes.cloned(session, facts)
        assert list(clone_disks(facts, stamp)) == ["vda"]
        await shapes.removed(session, stamp)

    play(scenario)


@pytest.mark.parametrize("image_format", ["vmdk", "vdi", "vpc", "qcow2"])
def test_what_may_be_a_seed_and_cannot_be_read_is_refused_by_name(image_format: str) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        options = ["-c", "-o", "compression_type=zstd"] if image_format == "qcow2" else []
        path = _seed(facts, "cidata", "-O", image_format, *options)
        seed = DiskSpec(path=path, format=image_format, target="vdb", flags=["readonly"])
        facts = shapes.define(facts, _system(facts), seed)
        (found,) = await _findings(session, facts)
        assert "disk vdb" in found
        assert "may be a cloud-init seed" in found

    play(scenario)


# --- block devices ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def partitions(facts: LibvirtFacts) -> Iterator[libvirt.virStoragePool]:
    """Make a disk pool on a loop device, with one partition in it that begins with a letter."""
    file = facts.pool_path / "device"
    file.write_bytes(bytes(64 << 20))
    run = ["losetup", "--show", "-f", "-P", str(file)]
    device = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    try:
        name = f"{facts.pool_name}-device"
        pool = facts.connection.storagePoolDefineXML(
            f"<pool type='disk'><name>{name}</name><source><device path='{device}'/><format type='gpt'/></source>"
            "<target><path>/dev</path></target></pool>"
        )
        try:
            pool.build(libvirt.VIR_STORAGE_POOL_BUILD_OVERWRITE)
            pool.create()
            yield pool
        finally:
            if pool.isActive():
                pool.destroy()
            pool.undefine()
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def _on_partition(facts: LibvirtFacts, pool: libvirt.virStoragePool, *, by_volume: bool) -> LibvirtFacts:
    name = f"{pool.XMLDesc().partition('/dev/')[2].partition(chr(39))[0]}p1"
    volume = pool.createXML(f"<volume><name>{name}</name><capacity unit='bytes'>{shapes.CAPACITY}</capacity></volume>")
    with Path(volume.path()).open("r+b") as device:
        device.write(shapes.letters("A"))
    source = f"<source pool='{pool.name()}' volume='{name}'/>" if by_volume else f"<source dev='{volume.path()}'/>"
    kind = "volume" if by_volume else "block"
    disk = f"<disk type='{kind}'><driver name='qemu' type='raw'/>{source}<target dev='vda' bus='virtio'/></disk>"
    return shapes.define(facts, devices=disk)


@pytest.mark.parametrize("by_volume", [False, True], ids=["by device", "by pool and volume"])
def test_a_block_volume_is_raw_and_is_copied_while_its_source_is_off(by_volume: bool) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        with partitions(facts) as pool:
            facts = _on_partition(facts, pool, by_volume=by_volume)
            assert await _findings(session, facts) == []
            stamp = await shapes.cloned(session, facts)
            (path,) = clone_disks(facts, stamp).values()
            assert shapes.content(facts, path, 1) == shapes.letters("A")
            await shapes.removed(session, stamp)
            shapes.domain_of(facts).undefine()

    play(scenario)


# --- media ------------------------------------------------------------------------------------------------


def _gone_while_off(facts: LibvirtFacts, iso: Path) -> None:
    assert not shapes.domain_of(facts).isActive()
    iso.unlink()


def _gone_while_running(facts: LibvirtFacts, iso: Path) -> None:
    shapes.domain_of(facts).create()
    iso.unlink()


def _ejected(facts: LibvirtFacts, iso: Path) -> None:
    assert iso.exists()
    shapes.domain_of(facts).create()
    shapes.domain_of(facts).updateDeviceFlags(CDROM.format(source=""), LIVE | libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE)


@pytest.mark.parametrize("policy", ["", " startupPolicy='optional'"], ids=["no policy", "startupPolicy optional"])
@pytest.mark.parametrize("happens", [_gone_while_off, _gone_while_running, _ejected])
def test_a_medium_that_is_gone_is_an_empty_drive_in_the_clone(
    happens: Callable[[LibvirtFacts, Path], None], policy: str
) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        iso = shapes.image(facts, "inst.iso", "I", "raw")
        drive = CDROM.format(source=f"<source file='{iso}'{policy}/>")
        facts = shapes.define(facts, _system(facts), devices=drive)
        happens(facts, iso)
        assert await _findings(session, facts) == []
        stamp = await shapes.cloned(session, facts)
        assert clone_disks(facts, stamp)["sda"] == ""
        shapes.clone_domain(facts, stamp).create()
        await shapes.removed(session, stamp)

    play(scenario)


def test_a_disk_that_cannot_be_read_is_named_and_corruption_is_no_guess() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stopped = facts.connection.storagePoolDefineXML(
            f"<pool type='dir'><name>{facts.pool_name}-off</name><target><path>{facts.pool_path}/off</path></target>"
            "</pool>"
        )
        try:
            disk = DiskSpec(path="a.qcow2", pool=stopped.name())
            facts = shapes.define(facts, disk)
            (found,) = await _findings(session, facts)
            assert f"virsh pool-start {stopped.name()}" in found
            assert "corrupted" not in found
        finally:
            stopped.undefine()

    play(scenario)


# --- what runs and what is configured -----------------------------------------------------------------------


def _attach(facts: LibvirtFacts, where: int) -> None:
    path = shapes.image(facts, "more.qcow2", "M")
    shapes.domain_of(facts).attachDeviceFlags(VDD.format(path=path), where)


def _detached_later(facts: LibvirtFacts) -> None:
    _attach(facts, LIVE | CONFIG)
    shapes.domain_of(facts).detachDeviceFlags(VDD.format(path=facts.pool_path / "more.qcow2"), CONFIG)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(
            lambda facts: _attach(facts, LIVE), "disk vdd is only in the running VM", id="a disk attached --live"
        ),
        pytest.param(
            lambda facts: _attach(facts, CONFIG),
            "disk vdd is only in the configuration of the next start: restart the source, or detach it",
            id="a disk attached --config",
        ),
        pytest.param(_detached_later, "disk vdd is only in the running VM", id="a disk detached --config"),
        pytest.param(
            lambda facts: shapes.domain_of(facts).attachDeviceFlags(
                "<interface type='user'><mac address='52:54:00:00:00:99'/><model type='virtio'/></interface>", CONFIG
            ),
            "the network card 52:54:00:00:00:99 is only in the configuration",
            id="a card attached --config",
        ),
        pytest.param(
            lambda facts: shapes.domain_of(facts).attachDeviceFlags(
                "<rng model='virtio'><backend model='random'/></rng>", CONFIG
            ),
            "a device (rng) is only in the configuration",
            id="a device attached --config",
        ),
    ],
)
def test_what_runs_otherwise_than_it_is_configured_is_told_before_anything_is_made(
    change: Callable[[LibvirtFacts], None], sentence: str
) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts = shapes.define(facts, _system(facts))
        shapes.domain_of(facts).create()
        change(facts)
        before = facts.volume_names()
        (found,) = await _findings(session, facts)
        assert sentence in found
        with pytest.raises(SourceUnhealthy):
            await shapes.cloned(session, facts)
        assert facts.volume_names() == before

    play(scenario)


def test_another_image_in_the_configuration_changes_nothing_for_the_running_one_is_copied() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts = shapes.define(facts, _system(facts))
        shapes.domain_of(facts).create()
        text = shapes.domain_of(facts).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        facts.connection.defineXML(text.replace("system.qcow2", shapes.image(facts, "other.qcow2", "B").name))
        assert await _findings(session, facts) == []
        stamp = await shapes.cloned(session, facts)
        (path,) = clone_disks(facts, stamp).values()
        assert shapes.content(facts, path, 1) == shapes.letters("A")
        await shapes.removed(session, stamp)

    play(scenario)


# --- space, networks ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_pool(facts: LibvirtFacts, mib: int) -> Iterator[Path]:
    """Mount a small file system over the scratch pool's folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0711", "none", str(facts.pool_path)], check=True)
    try:
        facts.pool.refresh()
        yield facts.pool_path
    finally:
        subprocess.run(["umount", "-l", str(facts.pool_path)], check=True)


@pytest.mark.parametrize("power", [Power.OFF, Power.ON])
def test_room_is_asked_for_by_what_a_copy_of_a_compressed_disk_becomes(power: Power) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        with contextlib.ExitStack() as stack:
            raw, path = facts.spare_path / "raw", facts.spare_path / "packed.qcow2"
            raw.write_bytes(b"compressible " * (200 << 20).__floordiv__(13))
            with raw.open("r+b") as file:
                file.truncate(4 << 30)
            shapes.qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(path))
            raw.unlink()
            path.chmod(0o666)
            facts.spare.refresh()
            stack.enter_context(small_pool(facts, 128))
            facts = shapes.define(facts, DiskSpec(path=path))
            if power is Power.ON:
                shapes.domain_of(facts).create()
            (disk,) = (await session.describe_source(facts.source_id)).disks
            assert 200 << 20 <= disk.allocated_bytes <= 201 << 20, "not 4 GiB, and not the few KiB that are stored"
            source = await session.describe_source(facts.source_id)
            (found,) = await session.preflight(source, PlanWish(replicas=1))
            assert found.reason == "InsufficientSpace"
            shapes.domain_of(facts).undefine() if power is Power.OFF else shapes.domain_of(facts).destroy()

    play(scenario)


def test_a_compressed_golden_image_counts_as_what_its_copy_becomes() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        raw, path = facts.spare_path / "raw", facts.pool_path / "golden.qcow2"
        raw.write_bytes(b"compressible " * ((20 << 20) // 13))
        shapes.qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(path))
        image = await session.describe_image("golden.qcow2")
        assert 20 << 20 <= image.allocated_bytes <= 21 << 20

    play(scenario)


def test_networks_that_are_missing_or_stopped_are_findings_with_their_command() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stopped = facts.connection.networkDefineXML(f"<network><name>{facts.pool_name}-net</name></network>")
        try:
            cards = "".join(
                f"<interface type='network'><source network='{name}'/></interface>"
                for name in (stopped.name(), "nowhere")
            )
            facts = shapes.define(facts, _system(facts), devices=cards)
            found = await _findings(session, facts)
            assert [message.partition(":")[0] for message in found] == [
                f"the network {stopped.name()} is not active",
                "there is no network nowhere on this host",
            ]
            assert f"virsh net-start {stopped.name()}" in found[0]
            source = await session.describe_source(facts.source_id)
            assert list(await session.preflight(source, PlanWish(replicas=1, shape=Shape(networks=("default",))))) == []
        finally:
            stopped.undefine()

    play(scenario)
