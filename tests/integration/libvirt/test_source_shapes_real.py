"""Sources of every shape on a real libvirtd, off and running: the clone's disks read as the source's do now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.contract.libvirt_backend import LibvirtFacts
from tests.integration.libvirt import shapes
from tests.integration.libvirt.shapes import DiskSpec, clone_disks, content, letters
from tests.integration.libvirt.steps import play

from vmclone_operator.domain.backend import BackendSession, PlanWish, Power

pytestmark = pytest.mark.libvirt
AWKWARD = 'disk (2) & "it\'s" <é>, 100%.qcow2'
Made = tuple[LibvirtFacts, dict[str, str]]
"""The source, and by target the letters its disks begin with."""


def _qcow2(facts: LibvirtFacts) -> Made:
    return shapes.define(facts, DiskSpec(path=shapes.image(facts, "src.qcow2", "AB"))), {"vda": "AB"}


def _raw(facts: LibvirtFacts) -> Made:
    spec = DiskSpec(path=shapes.image(facts, "src.raw", "AB", "raw"), format="raw")
    return shapes.define(facts, spec), {"vda": "AB"}


def _several(facts: LibvirtFacts) -> Made:
    system, data = shapes.image(facts, "system.qcow2", "A"), shapes.image(facts, "data.raw", "B", "raw")
    disks = (
        DiskSpec(path=system, target="sda", bus="sata"),
        DiskSpec(path=data, format="raw", target="vdb"),
        DiskSpec(path=shapes.image(facts, "more.qcow2", "C"), target="vda"),
    )
    return shapes.define(facts, *disks), {"sda": "A", "vda": "C", "vdb": "B"}


def _awkward(facts: LibvirtFacts) -> Made:
    path = shapes.image(facts, AWKWARD, "AB")
    return shapes.define(facts, DiskSpec(path=path), name='"it\'s" <ü> & 2,b'), {"vda": "AB"}


def _internal_snapshot(facts: LibvirtFacts) -> Made:
    path = shapes.image(facts, "src.qcow2", "AB")
    shapes.qemu_img("snapshot", "-c", "before", str(path))
    shapes.write(path, "qcow2", 0, "Z")
    return shapes.define(facts, DiskSpec(path=path)), {"vda": "ZB"}


def _external_snapshots(facts: LibvirtFacts) -> Made:
    base = shapes.image(facts, "base 1.raw", "ABCD", "raw")
    middle = shapes.overlay(facts, "mid & dle.qcow2", base, "raw")
    shapes.write(middle, "qcow2", 1, "Y")
    top = shapes.overlay(facts, "top.qcow2", middle, "qcow2")
    shapes.write(top, "qcow2", 2, "Z")
    return shapes.define(facts, DiskSpec(path=top)), {"vda": "AYZD"}


def _named_by_volume(facts: LibvirtFacts) -> Made:
    path = shapes.image(facts, "src.qcow2", "AB")
    return shapes.define(facts, DiskSpec(path=path, pool=facts.pool_name)), {"vda": "AB"}


@pytest.mark.parametrize("power", [Power.OFF, Power.ON])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_qcow2, id="qcow2"),
        pytest.param(_raw, id="raw"),
        pytest.param(_several, id="several disks"),
        pytest.param(_awkward, id="awkward names"),
        pytest.param(_internal_snapshot, id="an internal snapshot"),
        pytest.param(_external_snapshots, id="external snapshots"),
        pytest.param(_named_by_volume, id="a disk named by pool and volume"),
    ],
)
def test_a_clone_has_the_current_content_of_every_disk(make: Callable[[LibvirtFacts], Made], power: Power) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts, expected = make(facts)
        if power is Power.ON:
            shapes.domain_of(facts).create()
        source = await session.describe_source(facts.source_name)
        assert (source.source_id, source.power) == (facts.source_id, power)
        assert list(await session.preflight(source, PlanWish(replicas=1))) == []
        before = facts.volume_names()
        stamp = await shapes.cloned(session, facts)
        found = {
            target: content(facts, path, len(expected[target])) for target, path in clone_disks(facts, stamp).items()
        }
        assert found == {target: letters(text) for target, text in expected.items()}
        if power is Power.OFF:
            shapes.clone_domain(facts, stamp).create()
        await shapes.removed(session, stamp)
        assert facts.volume_names() == before

    play(scenario)


def _shared_disks(paths: Mapping[str, Path]) -> list[DiskSpec]:
    return [
        DiskSpec(path=paths["sda"], format="raw", target="sda", bus="sata", device="cdrom"),
        DiskSpec(path="", target="sdb", bus="sata", device="cdrom"),
        DiskSpec(path=paths["vdb"], target="vdb", flags=["readonly"]),
        DiskSpec(path=paths["vdc"], format="raw", target="vdc", flags=["shareable", "readonly"]),
    ]


def test_what_other_vms_may_have_too_is_shared_and_not_copied() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        shared = {
            "sda": shapes.image(facts, "tools & more.iso", "I", "raw"),
            "vdb": shapes.image(facts, "reference.qcow2", "R"),
            "vdc": shapes.image(facts, "cluster.raw", "S", "raw"),
        }
        facts = shapes.define(facts, DiskSpec(path=shapes.image(facts, "own.qcow2", "A")), *_shared_disks(shared))
        source = await session.describe_source(facts.source_id)
        assert [disk.target for disk in source.disks if not disk.shared] == ["vda"]
        shapes.domain_of(facts).create()
        before = facts.volume_names()
        stamp = await shapes.cloned(session, facts)
        expected = {target: str(path) for target, path in shared.items()} | {"sdb": ""}
        assert expected.items() <= clone_disks(facts, stamp).items()
        assert len(set(facts.volume_names()) - set(before)) == 3, "one frozen disk, one overlay, one seed"
        shapes.clone_domain(facts, stamp).create()
        await shapes.removed(session, stamp)
        assert all(path.exists() for path in shared.values())

    play(scenario)


def test_a_source_tells_its_shape() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        card = "<interface type='bridge'><source bridge='br-lan'/></interface><interface type='user'/>"
        facts = shapes.define(facts, DiskSpec(path=shapes.image(facts, "s.qcow2", "A")), devices=card)
        shape = (await session.describe_source(facts.source_id)).shape
        assert (shape.cpus, shape.memory_bytes, shape.networks) == (1, 64 << 20, ("br-lan", ""))

    play(scenario)
