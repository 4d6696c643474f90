"""Where the seed goes: after every disk of the source in name and seat, and before no card behind another bridge."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from vmclone_operator.domain.errors import SourceUnhealthy
from vmclone_operator.providers.libvirt.domain_xml import parsed
from vmclone_operator.providers.libvirt.seed_seat import next_target, seat_after_disks

Seat = tuple[int, int]
ROOT, ROOT_PORT, BRIDGE = "pcie-root", "pcie-root-port", "pci-bridge"


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        pytest.param([], "vda", id="no virtio disk"),
        pytest.param(["sda", "hda"], "vda", id="disks on other buses do not count"),
        pytest.param(["vdb"], "vdc", id="a free name before the last is not taken"),
        pytest.param(["vdz"], "vdaa", id="after z comes aa"),
        pytest.param(["vdaz", "vdb"], "vdba", id="after az comes ba"),
    ],
)
def test_the_name_after_the_last(taken: list[str], name: str) -> None:
    assert next_target(taken) == name


def machine(root: str, bridges: dict[int, tuple[str, Seat]], *disks: Seat, others: tuple[Seat, ...] = ()) -> ET.Element:
    """Return the devices of a machine: bridges by the number of the bus behind them, and what sits on bus and slot."""
    devices = ET.Element("devices")
    ET.SubElement(devices, "controller", type="pci", index="0", model=root)
    for index, (model, seat) in bridges.items():
        _sit(ET.SubElement(devices, "controller", type="pci", index=str(index), model=model), seat)
    for number, seat in enumerate(disks):
        disk = ET.SubElement(devices, "disk")
        ET.SubElement(disk, "target", dev=f"vd{'abcd'[number]}", bus="virtio")
        _sit(disk, seat)
    for seat in others:
        _sit(ET.SubElement(devices, "interface"), seat)
    return devices


def _sit(device: ET.Element, seat: Seat) -> None:
    ET.SubElement(device, "address", type="pci", bus=hex(seat[0]), slot=hex(seat[1]), function="0x0")


def seat(devices: ET.Element) -> Seat | None:
    address = seat_after_disks(devices)
    return None if address is None else (int(address.get("bus", ""), 0), int(address.get("slot", ""), 0))


PORTS = {index: (ROOT_PORT, (0, index + 1)) for index in range(1, 7)}


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        pytest.param(machine(ROOT, PORTS, (3, 0)), (4, 0), id="the next free port"),
        pytest.param(machine(ROOT, PORTS, (3, 0), others=((4, 0),)), (5, 0), id="not a port that something is behind"),
        pytest.param(machine(ROOT, PORTS, (5, 0), (2, 0)), (6, 0), id="after the last of several, not before it"),
        pytest.param(machine(ROOT, PORTS, (6, 0)), (7, 0), id="behind a new port when the last one is taken"),
        pytest.param(
            machine(ROOT, {1: (ROOT_PORT, (0, 9)), 2: (ROOT_PORT, (0, 2))}, (1, 0)),
            (3, 0),
            id="seats count, not the numbers of the ports",
        ),
        pytest.param(machine("pci-root", {}, (0, 7)), (0, 8), id="the next slot of a PCI machine"),
        pytest.param(machine("pci-root", {}, (0, 31)), (1, 1), id="behind a new bridge when the last slot is taken"),
        pytest.param(machine("pci-root", {1: (BRIDGE, (0, 5))}, (1, 4)), (1, 5), id="on the bridge of the last disk"),
        pytest.param(
            machine("pci-root", {1: (BRIDGE, (0, 5))}, (0, 9)), (0, 10), id="beside the last disk before any bridge"
        ),
    ],
)
def test_the_seat_after_the_last_disk(devices: ET.Element, expected: Seat) -> None:
    assert seat(devices) == expected


def test_an_added_port_is_the_last_one_so_that_no_card_changes_its_name() -> None:
    devices = machine(ROOT, {1: (ROOT_PORT, (0, 2)), 2: (ROOT_PORT, (0, 6))}, (1, 0), others=((2, 0), (0, 7)))
    assert seat(devices) == (3, 0)
    (added,) = devices.findall("controller[@index='3']")
    assert [address.get("slot") for address in added.findall("address")] == ["0x8"]


@pytest.mark.parametrize(
    "devices",
    [
        pytest.param(machine(ROOT, PORTS), id="no virtio disk"),
        pytest.param(
            parsed("<devices><disk><target dev='vda' bus='virtio'/></disk></devices>"), id="libvirt has yet to seat it"
        ),
        pytest.param(
            parsed("<devices><disk><target dev='vda' bus='virtio'/><address type='ccw'/></disk></devices>"),
            id="a machine without PCI",
        ),
    ],
)
def test_libvirt_chooses_where_the_order_does_not_depend_on_it(devices: ET.Element) -> None:
    before = ET.tostring(devices)
    assert seat(devices) is None
    assert ET.tostring(devices) == before


def test_without_room_behind_the_last_disk_the_source_is_refused() -> None:
    full = {index: (ROOT_PORT, (0, index)) for index in range(1, 0x1F)}
    with pytest.raises(SourceUnhealthy, match="no PCI slot"):
        seat(machine(ROOT, full, (0x1E, 0)))
