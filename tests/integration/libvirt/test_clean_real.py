"""Mode Clean on a real libvirtd: golden images are judged, copied and cloned; the source only lends its shape."""

from __future__ import annotations

import asyncio
import os
import uuid
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest
from tests.contract.libvirt_backend import CAPACITY, IMAGE_MARKER, LibvirtFacts, open_libvirt, open_session
from tests.integration.libvirt.steps import INSTANCE, begun, clone_intent, ended, freeze_intent, gone, play, stamp_of
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    BackendSession,
    CloneIntent,
    DiskCopy,
    FreezeIntent,
    Mode,
    OperationState,
    Owner,
    PlanWish,
    Power,
    Seed,
    Shape,
)
from vmclone_operator.domain.errors import (
    CapabilityMissing,
    CloneError,
    CloneFailed,
    ImageNotFound,
    SourceChanged,
    SourceNotFound,
)

pytestmark = pytest.mark.libvirt
GOLDEN = "golden.qcow2"


def image_intent(facts: LibvirtFacts, vmclone_uid: str, token: str = "f1") -> FreezeIntent:
    return replace(freeze_intent(facts, vmclone_uid, token), image=GOLDEN)


async def clean_intent(session: BackendSession, facts: LibvirtFacts) -> CloneIntent:
    """Return a clone of a golden image that is frozen already."""
    stamp = stamp_of(str(uuid.uuid4()))
    frozen = await begun(session, image_intent(facts, stamp.vmclone_uid))
    assert (await ended(session, frozen)).state is OperationState.DONE
    return replace(clone_intent(facts, stamp, "f1"), mode=Mode.CLEAN)


def configuration(facts: LibvirtFacts, intent: CloneIntent) -> ET.Element:
    text = facts.connection.lookupByUUIDString(intent.uuid).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    return ET.fromstring(text)  # noqa: S314 - libvirt's own


def own_volume(facts: LibvirtFacts, intent: CloneIntent) -> str:
    prefix = naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation)
    return next(name for name in facts.volume_names() if name.startswith(prefix) and name.endswith(".qcow2"))


@pytest.mark.parametrize(
    "image_format", [pytest.param("qcow2", id="a qcow2 image"), pytest.param("raw", id="a raw image")]
)
def test_a_clean_clone_reads_the_images_bytes_and_has_a_seed_only_root_can_read(image_format: str) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts.make_image(GOLDEN, image_format=image_format)
        intent = await clean_intent(session, facts)
        assert (await session.start_clone(intent)).done
        assert facts.first_sector(own_volume(facts, intent)) == IMAGE_MARKER
        disks = configuration(facts, intent).findall("devices/disk")
        assert [target.get("dev") for disk in disks for target in disk.findall("target")] == ["vda", "vdb"]
        (seed,) = (name for name in facts.volume_names() if name.endswith("-seed.iso"))
        found = (facts.pool_path / seed).stat()
        assert (found.st_mode & 0o777, found.st_uid) == (0o600, 0)

    play(scenario)


@pytest.mark.parametrize("copy", list(DiskCopy))
@pytest.mark.parametrize(
    ("image_capacity", "expected"),
    [
        pytest.param(CAPACITY // 2, CAPACITY, id="a smaller image grows to the source's size"),
        pytest.param(CAPACITY * 2, CAPACITY * 2, id="a larger image keeps its size"),
    ],
)
def test_a_clean_clone_has_room_for_image_and_source(image_capacity: int, expected: int, copy: DiskCopy) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts.make_image(GOLDEN, capacity=image_capacity)
        intent = replace(await clean_intent(session, facts), copy=copy)
        progress = await ended_copy(session, intent)
        assert progress is OperationState.DONE
        assert facts.pool.storageVolLookupByName(own_volume(facts, intent)).info()[1] == expected

    play(scenario)


async def ended_copy(session: BackendSession, intent: CloneIntent) -> OperationState:
    """Start, ask, record and start again, as the engine does, until the clone is there or lost."""
    while True:
        progress = await session.start_clone(intent)
        if progress.state is not OperationState.RUNNING:
            return progress.state
        intent = replace(intent, finished=progress.finished)
        await asyncio.sleep(0.02)


def test_a_file_that_an_admin_copied_into_the_pool_is_found() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts.make_image("one.qcow2")
        (facts.pool_path / "one.qcow2").rename(facts.pool_path / GOLDEN)
        assert (await session.describe_image(GOLDEN)).capacity_bytes == CAPACITY

    play(scenario)


def _overlay(facts: LibvirtFacts) -> None:
    facts.make_image("below.qcow2")
    below = facts.pool_path / "below.qcow2"
    facts.pool.createXML(
        f"<volume><name>{GOLDEN}</name><capacity>{CAPACITY}</capacity><target><format type='qcow2'/></target>"
        f"<backingStore><path>{below}</path><format type='qcow2'/></backingStore></volume>"
    )


def _running_writer(facts: LibvirtFacts) -> None:
    facts.make_image(GOLDEN, image_format="raw")
    facts.make_domain(f"{facts.pool_name}-writer", disk=str(facts.pool_path / GOLDEN)).create()


def _external_data(facts: LibvirtFacts) -> None:
    facts.make_image(GOLDEN)
    with (facts.pool_path / GOLDEN).open("r+b") as image:  # the feature bit of "data is in another file"
        image.seek(79)
        image.write(b"\x04")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        pytest.param(lambda _: None, "there is no image golden.qcow2", id="no such volume"),
        pytest.param(lambda facts: facts.make_volume(GOLDEN, "vmdk"), "its format is vmdk", id="another format"),
        pytest.param(_overlay, "it needs the backing file", id="an overlay"),
        pytest.param(_running_writer, "writer can write to it", id="the disk of a running VM"),
        pytest.param(_external_data, "keeps its data in another file", id="data elsewhere"),
    ],
)
def test_an_image_that_cannot_be_cloned_is_refused_with_a_sentence(prepare: object, words: str) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        assert callable(prepare)
        prepare(facts)
        before = facts.volume_names()
        with pytest.raises(ImageNotFound, match=words):
            await session.describe_image(GOLDEN)
        with pytest.raises(ImageNotFound, match=words):
            await session.freeze(image_intent(facts, str(uuid.uuid4())))
        assert facts.volume_names() == before

    play(scenario)


def test_a_disk_of_a_clone_is_no_image() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts.make_image("vmclone-of-somebody.qcow2")
        with pytest.raises(ImageNotFound):
            await session.describe_image("vmclone-of-somebody.qcow2")

    play(scenario)


def test_an_image_that_is_changed_while_it_is_copied_is_no_frozen_point() -> None:
    async def run() -> None:
        place: list[LibvirtFacts] = []

        def write_before_the_copy() -> None:
            os.utime(place[0].pool_path / GOLDEN, ns=(1, 1))

        async with open_libvirt() as (_, facts), open_session(facts, fence=write_before_the_copy) as session:
            place.append(facts)
            facts.make_image(GOLDEN)
            wish = Owner(instance=INSTANCE, vmclone_uid=str(uuid.uuid4()))
            frozen = image_intent(facts, wish.vmclone_uid)
            with pytest.raises(SourceChanged, match=GOLDEN):
                await ended(session, frozen)
            assert (await session.freeze(frozen)).state is OperationState.LOST
            await gone(lambda: is_gone(session.release_frozen(wish, "f1")))
            assert facts.volume_names() == [GOLDEN]

    asyncio.run(run())


def test_another_process_calls_the_copy_of_an_image_lost_and_releases_it() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts.make_image(GOLDEN)
        wish = Owner(instance=INSTANCE, vmclone_uid=str(uuid.uuid4()))
        frozen = await begun(session, image_intent(facts, wish.vmclone_uid))
        assert (await ended(session, frozen)).state is OperationState.DONE
        async with open_session(facts) as restarted:
            assert (await restarted.freeze(frozen)).state is OperationState.LOST
            await gone(lambda: is_gone(restarted.release_frozen(wish, "f1")))
        assert facts.volume_names() == [GOLDEN]

    play(scenario)


def test_the_source_may_run_and_have_disks_that_cannot_be_cloned() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts.make_image(GOLDEN)
        source = facts.connection.lookupByUUIDString(facts.source_id)
        source.attachDeviceFlags(
            "<disk type='network'><driver name='qemu' type='raw'/><source protocol='nbd' name='x'>"
            "<host name='192.0.2.1' port='10809'/></source><target dev='vdz' bus='virtio'/></disk>",
            libvirt.VIR_DOMAIN_AFFECT_CONFIG,
        )
        intent = await clean_intent(session, facts)
        await session.start_clone(intent)
        assert configuration(facts, intent).findall("devices/disk[@type='network']") == []

    play(scenario)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        pytest.param({"seed": Seed(instance_id="i", hostname="h", extra={"users": "x"})}, CloneFailed, "users"),
        pytest.param({"shape": Shape(networks=("nowhere",))}, CapabilityMissing, "no network nowhere"),
        pytest.param({"source_id": str(uuid.uuid4())}, SourceNotFound, "cpus and memory"),
        pytest.param({"pool": "nowhere"}, CloneFailed, "no storage pool nowhere"),
        pytest.param({"mode": Mode.DISK, "frozen_token": "f9"}, CloneFailed, "f9 is gone"),
    ],
    ids=["a cloud-config that cannot be merged", "a network", "a source", "a pool", "a frozen point"],
)
def test_what_cannot_be_made_is_refused_before_anything_is(
    change: dict[str, object], error: type[CloneError], words: str
) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts.make_image(GOLDEN)
        intent = replace(await clean_intent(session, facts), **change)  # type: ignore[arg-type]  # a table of fields
        before = facts.volume_names()
        with pytest.raises(error, match=words):
            await session.start_clone(intent)
        assert facts.volume_names() == before

    play(scenario)


def test_without_its_source_on_this_host_a_clone_is_made_by_its_shape_and_starts() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts.make_image(GOLDEN)
        shape = Shape(cpus=2, memory_bytes=64 << 20)
        intent = replace(await clean_intent(session, facts), source_id=str(uuid.uuid4()), shape=shape)
        elsewhere = replace(await session.describe_source(facts.source_id), source_id=intent.source_id)
        assert list(await session.preflight(elsewhere, PlanWish(replicas=1, image=GOLDEN))) == []
        await session.start_clone(intent)
        await session.set_power(ref_to(intent.stamp), Power.ON)
        (clone,) = await session.find_clones(
            Owner(instance=intent.stamp.instance, incarnation=intent.stamp.incarnation)
        )
        seen = replace(shape, networks=("default",))
        assert (clone.shape, clone.power, clone.connected) == (seen, Power.ON, True)

    play(scenario)


def _make_uefi(facts: LibvirtFacts) -> None:
    source = facts.connection.lookupByUUIDString(facts.source_id)
    machine = ET.fromstring(source.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))  # noqa: S314 - libvirt's own
    for system in machine.findall("os"):
        system.set("firmware", "efi")
    ET.SubElement(ET.SubElement(machine, "features"), "acpi")
    facts.connection.defineXML(ET.tostring(machine, encoding="unicode"))


def _is_there(path: str) -> bool:
    return Path(path).exists()


def test_firmware_variables_are_made_blank_for_the_clone_and_go_with_it() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts.make_image(GOLDEN)
        _make_uefi(facts)
        intent = await clean_intent(session, facts)
        await session.start_clone(intent)
        await session.set_power(ref_to(intent.stamp), Power.ON)
        path = configuration(facts, intent).findtext("os/nvram") or ""
        assert path.startswith(
            str(facts.pool_path / naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation))
        )
        assert _is_there(path)
        await gone(lambda: is_gone(session.delete_clone(ref_to(intent.stamp))))
        assert not _is_there(path)

    play(scenario)
