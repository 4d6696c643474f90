"""Another shape is written whole: libvirt would refuse a VM whose details contradict its numbers."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from tests.unit.providers.libvirt.documents import DESKTOP, LAB, lab_source_with, read

from vmclone_operator.domain.backend import Shape
from vmclone_operator.providers.libvirt import domain_xml
from vmclone_operator.providers.libvirt.shape_xml import apply_shape, shape_of

GIB = 1 << 30


def shaped(source: ET.Element, shape: Shape) -> ET.Element:
    apply_shape(source, shape)
    return source


def test_the_labs_source_has_the_shape_its_xml_says() -> None:
    assert shape_of(read(LAB)) == Shape(cpus=1, memory_bytes=512 << 20, networks=("default",))


def test_a_nic_on_a_bridge_counts_under_the_bridges_name() -> None:
    assert shape_of(read(DESKTOP)).networks == ("default", "br-lan")


def test_only_the_processors_that_are_plugged_in_count() -> None:
    document = "<domain><vcpu current='2'>8</vcpu><memory unit='GiB'>2</memory></domain>"
    assert shape_of(domain_xml.parsed(document)) == Shape(cpus=2, memory_bytes=2 * GIB)


@pytest.mark.parametrize("name", [LAB, DESKTOP])
def test_a_shape_that_asks_for_nothing_changes_nothing(name: str) -> None:
    assert ET.tostring(shaped(read(name), Shape())) == ET.tostring(read(name))


@pytest.mark.parametrize("name", [LAB, DESKTOP])
def test_what_was_asked_for_is_what_is_read_back(name: str) -> None:
    wanted = Shape(cpus=3, memory_bytes=3 * GIB, networks=("a", "b", "c"))
    assert shape_of(shaped(read(name), wanted)) == wanted


def test_memory_that_is_no_whole_number_of_kibibytes_is_rounded_up() -> None:
    changed = shaped(read(LAB), Shape(memory_bytes=GIB + 1))
    assert [changed.findtext(tag) for tag in ("memory", "currentMemory")] == ["1048577", "1048577"]


@pytest.mark.parametrize(
    ("cpus", "stays"),
    [
        pytest.param(4, True, id="a topology of as many processors stays"),
        pytest.param(3, False, id="a topology of another number goes"),
    ],
)
def test_a_topology_stays_only_where_it_fits(cpus: int, stays: bool) -> None:
    source = lab_source_with("cpu", "<topology sockets='1' dies='1' cores='2' threads='2'/>")
    assert (shaped(source, Shape(cpus=cpus)).find("cpu/topology") is not None) is stays


@pytest.mark.parametrize(
    ("parent", "fragment", "shape", "path"),
    [
        pytest.param(
            "cpu", "<numa><cell id='0' cpus='0' memory='1'/></numa>", Shape(cpus=2), "cpu/numa", id="NUMA cells"
        ),
        pytest.param(
            ".", "<cputune><vcpupin vcpu='2' cpuset='1'/></cputune>", Shape(cpus=2), "cputune/vcpupin", id="a pin"
        ),
        pytest.param(".", "<vcpus><vcpu id='0' enabled='yes'/></vcpus>", Shape(cpus=2), "vcpus", id="single ones"),
        pytest.param(
            ".",
            "<memtune><hard_limit>1</hard_limit></memtune>",
            Shape(memory_bytes=GIB),
            "memtune",
            id="a memory limit",
        ),
        pytest.param(
            "devices", "<memory model='dimm'><target/></memory>", Shape(memory_bytes=GIB), "devices/memory", id="a DIMM"
        ),
        pytest.param(".", "<maxMemory slots='2'>9</maxMemory>", Shape(memory_bytes=GIB), "maxMemory", id="its slots"),
    ],
)
def test_details_that_would_contradict_the_new_shape_go(parent: str, fragment: str, shape: Shape, path: str) -> None:
    source = lab_source_with(parent, fragment)
    assert source.find(path) is not None
    assert shaped(source, shape).find(path) is None


def test_what_refers_to_numa_cells_goes_with_them() -> None:
    source = lab_source_with("cpu", "<numa><cell id='0' cpus='0' memory='1'/></numa>")
    parts = (
        "<maxMemory slots='2'>9</maxMemory>",
        "<numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='0'/></numatune>",
        "<memoryBacking><hugepages><page size='1' nodeset='0'/><page size='2'/></hugepages></memoryBacking>",
        "<cputune><vcpusched vcpus='0-3' scheduler='fifo' priority='1'/></cputune>",
    )
    source.extend(domain_xml.parsed(part) for part in parts)
    for devices in source.findall("devices"):
        devices.append(domain_xml.parsed("<memory model='dimm'><target><node>0</node></target></memory>"))
    changed = shaped(source, Shape(cpus=2))
    gone = ("cpu/numa", "numatune/memnode", "maxMemory", "devices/memory", "cputune/vcpusched")
    assert [path for path in gone if changed.find(path) is not None] == []
    assert [page.attrib for page in changed.findall("memoryBacking/hugepages/page")] == [{"size": "2"}]
    assert changed.find("numatune/memory") is not None


def test_a_pin_of_a_processor_that_is_still_there_stays() -> None:
    source = lab_source_with(".", "<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>")
    assert shaped(source, Shape(cpus=2)).find("cputune/vcpupin") is not None


def test_a_nic_moves_to_the_network_and_leaves_its_switch_port_behind() -> None:
    first, second = shaped(read(DESKTOP), Shape(networks=("default", "blue"))).findall("devices/interface")
    assert ET.tostring(first) == ET.tostring(read(DESKTOP).findall("devices/interface")[0])
    assert (second.get("type"), second.findall("virtualport")) == ("network", [])
    assert [source.attrib for source in second.findall("source")] == [{"network": "blue"}]


def test_more_networks_add_nics_like_the_first_and_fewer_take_the_last_ones_away() -> None:
    more = shaped(read(LAB), Shape(networks=("default", "blue"))).findall("devices/interface")
    assert [model.get("type") for nic in more for model in nic.findall("model")] == ["virtio", "virtio"]
    assert more[1].find("mac") is None
    (fewer,) = shaped(read(DESKTOP), Shape(networks=("default",))).findall("devices/interface")
    assert ET.tostring(fewer) == ET.tostring(read(DESKTOP).findall("devices/interface")[0])
