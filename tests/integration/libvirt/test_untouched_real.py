"""A clone that could write to anything of its source's is not switched on, whoever put it into its definition."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest
from tests.contract.libvirt_backend import LibvirtFacts
from tests.integration.libvirt import shapes
from tests.integration.libvirt.shapes import DiskSpec
from tests.integration.libvirt.steps import play
from tests.support.refs import ref_to

from vmclone_operator.domain.backend import BackendSession, Power
from vmclone_operator.domain.errors import SourceExposed

pytestmark = pytest.mark.libvirt
DISK = (
    "<disk type='{kind}'><driver name='qemu' type='{format}'/><source {source}/><target dev='vdx' bus='virtio'/></disk>"
)


def _same_path(facts: LibvirtFacts, path: Path) -> str:
    assert path.parent == facts.pool_path
    return DISK.format(kind="file", format="raw", source=f"file='{path}'")


def _by_volume(facts: LibvirtFacts, path: Path) -> str:
    return DISK.format(kind="volume", format="raw", source=f"pool='{facts.pool_name}' volume='{path.name}'")


def _hard_link(facts: LibvirtFacts, path: Path) -> str:
    os.link(path, facts.spare_path / "another-name.raw")
    facts.spare.refresh()
    return DISK.format(kind="file", format="raw", source=f"file='{facts.spare_path}/another-name.raw'")


def _symbolic_link(facts: LibvirtFacts, path: Path) -> str:
    (facts.spare_path / "link.raw").symlink_to(path)
    facts.spare.refresh()
    return DISK.format(kind="file", format="raw", source=f"file='{facts.spare_path}/link.raw'")


def _backing_file(facts: LibvirtFacts, path: Path) -> str:
    assert path.exists()
    return DISK.format(kind="file", format="raw", source=f"file='{facts.pool_path}/base.raw'")


def _log_of_its_console(facts: LibvirtFacts, path: Path) -> str:
    assert facts.pool_path in path.parents
    return f"<serial type='file'><source path='{path}'/></serial>"


WAYS = {
    "the same path": _same_path,
    "by pool and volume": _by_volume,
    "a hard link": _hard_link,
    "a symbolic link": _symbolic_link,
    "a file below a disk of the source": _backing_file,
    "a console's log": _log_of_its_console,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_clone_that_could_write_to_its_source_stays_off(way: Callable[[LibvirtFacts, Path], str]) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        base = shapes.image(facts, "base.raw", "A", "raw")
        data = shapes.image(facts, "data.raw", "D", "raw")
        system = shapes.overlay(facts, "system.qcow2", base, "raw")
        facts = shapes.define(facts, DiskSpec(path=system), DiskSpec(path=data, format="raw", target="vdb"))
        stamp = await shapes.cloned(session, facts)
        await session.set_power(ref_to(stamp), Power.ON)
        shapes.clone_domain(facts, stamp).destroy()
        shapes.clone_domain(facts, stamp).attachDeviceFlags(way(facts, data), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        with pytest.raises(SourceExposed, match=re.escape(facts.source_name)) as refused:
            await session.set_power(ref_to(stamp), Power.ON)
        assert "disk vd" in str(refused.value)
        assert not shapes.clone_domain(facts, stamp).isActive()
        shapes.clone_domain(facts, stamp).undefine()
        await shapes.removed(session, stamp)

    play(scenario)
