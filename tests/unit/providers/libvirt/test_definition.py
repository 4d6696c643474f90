"""What a clone gets of a definition is decided by the table alone: what the table does not know is refused by name."""

from __future__ import annotations

import pytest
from tests.unit.providers.libvirt.documents import lab_source_with

from vmclone_operator.providers.libvirt.clean_xml import with_one_disk
from vmclone_operator.providers.libvirt.definition import refusals, taken_along

CARD = "<interface type='user'>{}</interface>"


@pytest.mark.parametrize(
    ("path", "fragment", "shown"),
    [
        pytest.param("devices", "<flux-capacitor/>", "the VM has <flux-capacitor>", id="a device"),
        pytest.param(".", "<flux/>", "the VM has <flux>", id="an element of the domain"),
        pytest.param("devices", CARD.format("<warp/>"), "interface 2 of the VM has <warp>", id="in one of two cards"),
        pytest.param("devices", "<interface type='pigeon'/>", "<interface type='pigeon'>", id="a value"),
        pytest.param("devices", CARD.format("<mtu size='1' x='2'/>"), "<mtu x='2'>", id="an attribute"),
        pytest.param("devices", "<x:y xmlns:x='urn:x'/>", "has <{urn:x}y>", id="of another namespace"),
    ],
)
def test_what_nobody_decided_about_is_refused_by_name(path: str, fragment: str, shown: str) -> None:
    (sentence,) = refusals(lab_source_with(path, fragment))
    assert shown in sentence
    assert "does not know" in sentence


def test_every_refusal_is_told_and_each_element_once() -> None:
    source = lab_source_with("devices", "<hostdev mode='subsystem' type='usb'><unknown/></hostdev>")
    for devices in source.findall("devices"):
        devices.extend(lab_source_with("devices", "<shmem name='s'/>").findall("devices/shmem"))
    assert len(refusals(source)) == 2


@pytest.mark.parametrize(
    ("fragment", "left"),
    [
        pytest.param("<backend type='passt' logFile='/l'/><portForward proto='tcp'/>", ["backend"], id="port forwards"),
        pytest.param(
            "<bandwidth><inbound average='1' floor='2'/></bandwidth>", ["bandwidth"], id="a reserved bandwidth"
        ),
        pytest.param("<target dev='vnet7'/><guest dev='eth0'/>", [], id="names of the host's end"),
        pytest.param("<link state='down'/>", [], id="the state of the link"),
    ],
)
def test_host_ends_of_a_card_are_dropped(fragment: str, left: list[str]) -> None:
    domain, refused = taken_along(lab_source_with("devices", CARD.format(fragment)))
    assert refused == []
    card = domain.findall("devices/interface")[-1]
    assert [child.tag for child in card] == left
    assert not any({"logFile", "floor"} & set(element.attrib) for element in card.iter())


@pytest.mark.parametrize(
    ("fragment", "judged"),
    [
        pytest.param(
            "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/h.raw'/>"
            "<target dev='vdz' bus='virtio'/><shareable/></disk>",
            0,
            id="a data disk is not part of it",
        ),
        pytest.param("<hostdev mode='subsystem' type='usb'/>", 1, id="a host device is"),
    ],
)
def test_mode_clean_is_judged_by_the_machine_that_its_clones_get(fragment: str, judged: int) -> None:
    assert len(refusals(with_one_disk(lab_source_with("devices", fragment)))) == judged
