"""A Clean clone's machine: the source's with one disk and blank firmware variables, or a generic one."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from tests.unit.providers.libvirt.documents import DESKTOP, INTENT, LAB, lab_source_with, lab_source_without, read

from vmclone_operator.domain.backend import Mode, Shape
from vmclone_operator.providers.libvirt import clean_xml, domain_xml
from vmclone_operator.providers.libvirt.clone_xml import CloneDisks, Overlay, clone_xml
from vmclone_operator.providers.libvirt.shape_xml import shape_of

CLEAN = replace(INTENT, mode=Mode.CLEAN)
SHAPE = Shape(cpus=2, memory_bytes=1 << 30, networks=("default",))


def clone_of(machine: ET.Element) -> ET.Element:
    target = domain_xml.disks(machine)[0].target
    disks = CloneDisks(overlays={target: Overlay(path="/p/own", base="/p/base")}, left_out=frozenset(), seed="/p/seed")
    return domain_xml.parsed(clone_xml(machine, CLEAN, disks))


def clean(source: ET.Element) -> ET.Element:
    return clone_of(clean_xml.with_one_disk(source))


@pytest.mark.parametrize("name", [LAB, DESKTOP])
def test_a_clean_clone_has_its_own_disk_and_its_seed_and_nothing_of_the_sources(name: str) -> None:
    assert domain_xml.file_paths(clean(read(name))) == {"/p/own", "/p/base", "/p/seed"}
    assert len(domain_xml.disks(clean(read(name)))) == 2


@pytest.mark.parametrize("name", [LAB, DESKTOP])
def test_its_links_are_up_from_the_start(name: str) -> None:
    """cloud-init needs the network, and nothing of the source's identity is on the disk."""
    assert clean(read(name)).findall("devices/interface/link") == []


def test_its_machine_is_the_sources() -> None:
    made, source = clean(read(LAB)), read(LAB)
    for path in ("os/type", "os/kernel", "os/cmdline", "cpu/model", "memory", "vcpu"):
        assert made.findtext(path) == source.findtext(path)
    assert shape_of(made) == shape_of(source)


def test_its_disk_keeps_bus_slot_and_cache_mode() -> None:
    disk, before = clean(read(DESKTOP)).find("devices/disk"), read(DESKTOP).find("devices/disk")
    assert disk is not None
    assert before is not None
    for path in ("target", "address"):
        assert [found.attrib for found in disk.findall(path)] == [found.attrib for found in before.findall(path)]
    assert [driver.get("cache") for driver in disk.findall("driver")] == ["none"]


def test_the_disk_that_boots_is_the_one_that_stays() -> None:
    source = lab_source_with(
        "devices",
        "<disk type='file'><driver type='qcow2'/><source file='/b'/><target dev='vdc'/><boot order='1'/></disk>",
    )
    assert [disk.target for disk in domain_xml.disks(clean_xml.with_one_disk(source))] == ["vdc"]


def test_a_source_without_a_disk_of_its_own_lends_the_rest() -> None:
    machine = clean_xml.with_one_disk(lab_source_without("devices", "disk"))
    assert [disk.target for disk in domain_xml.disks(machine)] == ["vda"]


def test_a_network_disk_is_replaced_by_a_file() -> None:
    source = lab_source_without("devices", "disk")
    source.findall("devices")[0].append(
        domain_xml.parsed(
            "<disk type='network'><driver type='raw'/><auth username='u'/><source protocol='rbd' name='p/i'/>"
            "<target dev='vda' bus='virtio'/></disk>"
        )
    )
    assert domain_xml.blockers(clean(source)) == []


def test_firmware_variables_come_from_the_template_and_never_from_the_source() -> None:
    source = lab_source_with(
        "os", "<nvram template='/usr/share/OVMF/VARS.fd' type='file'>/var/lib/nvram/source_VARS.fd</nvram>"
    )
    (nvram,) = clean(source).findall("os/nvram")
    assert (nvram.text, nvram.attrib, list(nvram)) == (None, {"template": "/usr/share/OVMF/VARS.fd"}, [])


def test_the_sources_own_document_stays_as_it_is() -> None:
    source = read(DESKTOP)
    clean(source)
    assert ET.tostring(source) == ET.tostring(read(DESKTOP))


@pytest.mark.parametrize(("kvm", "kind"), [(True, "kvm"), (False, "qemu")], ids=["with KVM", "emulated"])
def test_a_generic_machine_has_the_shape_and_what_a_clone_needs(kvm: bool, kind: str) -> None:
    made = clone_of(clean_xml.generic_domain(SHAPE, kvm=kvm))
    assert made.get("type") == kind
    assert shape_of(made) == SHAPE
    assert [t.get("name") for t in made.findall("devices/channel/target")] == ["org.qemu.guest_agent.0"]
    assert len(made.findall("devices/serial")) == len(made.findall("devices/rng")) == 1
    assert domain_xml.blockers(made) == []


def test_a_generic_machine_is_on_the_networks_that_were_asked_for() -> None:
    wanted = replace(SHAPE, networks=("blue", "red"))
    assert shape_of(clean_xml.generic_domain(wanted, kvm=False)) == wanted
