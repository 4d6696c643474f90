"""Which network a clone gets where its source is on another host; against libvirt's own test driver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import libvirt
import pytest
from tests.unit.providers.libvirt.documents import INTENT

from vmclone_operator.domain.backend import CloneIntent, Consistency, Mode, Owner, Shape
from vmclone_operator.domain.errors import CapabilityMissing
from vmclone_operator.providers.libvirt import blueprint, volumes
from vmclone_operator.providers.libvirt.frozen_names import frozen_volume_name
from vmclone_operator.providers.libvirt.shape_xml import shape_of

NODE = """
<node>
  <network><name>default</name><bridge name='virbr0'/></network>
  <pool type='dir'><name>own</name><target><path>/own</path></target></pool>
</node>
"""
ELSEWHERE = replace(INTENT, mode=Mode.CLEAN, shape=Shape(cpus=2, memory_bytes=1 << 30))


@dataclass
class Host:
    """The test driver on a host of the architecture that generic machines are made for."""

    connection: libvirt.virConnect

    def __getattr__(self, name: str) -> object:
        return getattr(self.connection, name)

    def getCapabilities(self) -> str:  # noqa: N802  - libvirt's name
        return "<capabilities><host><cpu><arch>x86_64</arch></cpu></host></capabilities>"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[libvirt.virConnect]:
    """Return a host of its own with the network `default`, and the network `lab` that is not started."""
    node = tmp_path / "node.xml"
    node.write_text(NODE, encoding="utf-8")
    connection = libvirt.open(f"test://{node}")
    connection.networkDefineXML("<network><name>lab</name></network>")
    yield connection
    connection.close()


def networks_of(connection: libvirt.virConnect, intent: CloneIntent, *, network: str) -> tuple[str, ...]:
    """Return the networks that a clone of a source elsewhere gets from a backend with this one."""
    pool = connection.storagePoolLookupByName("own")
    owner = Owner(instance=intent.stamp.instance, vmclone_uid=intent.stamp.vmclone_uid)
    base = frozen_volume_name(owner, intent.frozen_token, "vda", Consistency.POWERED_OFF)
    pool.createXML(volumes.volume_xml(base, 1 << 20))
    host = cast("Any", Host(connection))
    return shape_of(blueprint.draw(host, pool, intent, network).machine).networks


def test_a_clone_gets_the_backends_network_when_its_template_names_none(connection: libvirt.virConnect) -> None:
    assert networks_of(connection, ELSEWHERE, network="default") == ("default",)


def test_the_templates_networks_go_before_the_backends_which_need_not_be_there(connection: libvirt.virConnect) -> None:
    wanted = replace(ELSEWHERE, shape=replace(ELSEWHERE.shape, networks=("default", "default")))
    assert networks_of(connection, wanted, network="nowhere") == ("default", "default")


REFUSED = {
    "one that is not there": ("nowhere", "there is no network nowhere on this host: define it"),
    "one that is not started": ("lab", "there is no active network lab on this host: start it (virsh net-start lab)"),
}


@pytest.mark.parametrize(("network", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_backends_network_that_cannot_be_used_is_refused_with_its_field(
    connection: libvirt.virConnect, network: str, words: str
) -> None:
    with pytest.raises(CapabilityMissing) as refused:
        networks_of(connection, ELSEWHERE, network=network)
    assert str(refused.value) == f"{words} or name another in spec.libvirt.network of the CloneBackend"
