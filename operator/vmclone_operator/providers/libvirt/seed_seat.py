"""Where the seed goes among a source's disks: in place of the source's own seed, or after all of them.

A guest names virtio disks in the order of their seats, and firmware boots the first disk: a seed that took the first
free name or slot would be `vda`, or come before the disk that the guest calls so. On a PCIe machine that has disks
behind the ports 3 and 6 the seed goes behind port 7, or behind a port that is added after all others: one in between
would give every card behind it another name.
"""

from __future__ import annotations

import string
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmclone_operator.domain.errors import SourceUnhealthy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Step = tuple[int, int, int]
"""A step of the way to a device: 0 for the device and 1 for a bridge, its slot, its function.

Tuples of steps are in the guest's order: what is on a bus comes before what is behind the bus's bridges.
"""
_SLOTS = range(1, 0x1F)
"""Slots for what is added; the last of a PCIe machine is its chipset's."""


def next_target(targets: Iterable[str]) -> str:
    """Return the virtio name after the last one that is taken: `vdd` after `vda` and `vdc`."""
    last = max((_number(target) for target in targets if target.startswith("vd")), default=0)
    return f"vd{_letters(last + 1)}"


def _number(target: str) -> int:
    """Return 1 for `vda`, 26 for `vdz`, 27 for `vdaa`."""
    number = 0
    for letter in target.removeprefix("vd"):
        number = number * 26 + string.ascii_lowercase.find(letter) + 1
    return number


def _letters(number: int) -> str:
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = string.ascii_lowercase[rest] + letters
    return letters


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bridge:
    model: str
    where: ET.Element | None
    """Its own address; None for the bus that all begins with."""


class _Buses:
    """The PCI buses of a definition whose devices all have addresses."""

    def __init__(self, devices: ET.Element) -> None:
        self.bridges = {
            int(controller.get("index", "0")): _Bridge(
                model=controller.get("model", ""), where=controller.find("address[@type='pci']")
            )
            for controller in devices.findall("controller[@type='pci']")
        }
        self.taken = {_seat(address) for address in devices.findall("*/address[@type='pci']")}

    def way(self, address: ET.Element, kind: int = 0) -> tuple[_Step, ...]:
        """Return the steps from the first bus to an address."""
        bus, slot, function = _seat(address)
        above = self.bridges.get(bus)
        step = (kind, slot, function)
        if above is None or above.where is None or _seat(above.where)[0] == bus:
            return (step,)
        return (*self.way(above.where, 1), step)

    def free(self) -> Iterator[tuple[tuple[_Step, ...], tuple[int, int]]]:
        """Yield the way to, and bus and slot of, every seat that is free without anything added."""
        for bus, bridge in self.bridges.items():
            for slot in _free_slots(bridge.model):
                if not any(seat[:2] == (bus, slot) for seat in self.taken):
                    before = () if bridge.where is None else self.way(bridge.where, 1)
                    yield (*before, (0, slot, 0)), (bus, slot)


def _free_slots(model: str) -> Iterable[int]:
    """Return the slots of a bus of this kind that a disk may have; none where the chipset or bridges sit."""
    return {"pcie-root-port": (0,), "pcie-switch-downstream-port": (0,), "pci-root": _SLOTS, "pci-bridge": _SLOTS}.get(
        model, ()
    )


def _seat(address: ET.Element) -> tuple[int, int, int]:
    bus, slot, function = (int(address.get(name, "0"), 0) for name in ("bus", "slot", "function"))
    return bus, slot, function


def seat_after_disks(devices: ET.Element) -> ET.Element | None:
    """Return the seed's address after the last virtio disk's, adding a bridge where there is no free seat.

    None where the guest's order does not depend on it: no virtio disk, or disks that libvirt has yet to seat, or
    machines without PCI. Raises SourceUnhealthy when there is no room behind the last disk.
    """
    disks = [disk for disk in devices.findall("disk") if disk.find("target[@bus='virtio']") is not None]
    addresses = [disk.find("address[@type='pci']") for disk in disks]
    buses = _Buses(devices)
    if not disks or 0 not in buses.bridges or any(address is None for address in addresses):
        return None
    last = max(buses.way(address) for address in addresses if address is not None)
    after = [(way, seat) for way, seat in buses.free() if way > last]
    bus, slot = min(after)[1] if after else (_added_bridge(devices, buses, last), 1)
    if not after and buses.bridges[0].model == "pcie-root":
        slot = 0  # the one slot of the port that was added
    return ET.Element("address", type="pci", domain="0x0000", bus=hex(bus), slot=hex(slot), function="0x0")


def _added_bridge(devices: ET.Element, buses: _Buses, last: tuple[_Step, ...]) -> int:
    """Add a port (PCIe) or bridge (PCI) to the first bus, after all others or at least after the last disk's."""
    bridges = [_seat(bridge.where) for bridge in buses.bridges.values() if bridge.where is not None]
    after_all = max((seat[1] for seat in bridges if seat[0] == 0), default=1)
    after_last = last[0][1] if last[0][0] else 1
    free = [slot for slot in _SLOTS if not any(seat[:2] == (0, slot) for seat in buses.taken)]
    found = [slot for bound in (after_all, after_last) for slot in free if slot > bound]
    if not found:
        raise SourceUnhealthy(
            "no PCI slot is free after the VM's last disk, where the seed has to go: remove a device from the source"
        )
    index = max(buses.bridges) + 1
    model = "pcie-root-port" if buses.bridges[0].model == "pcie-root" else "pci-bridge"
    added = ET.SubElement(devices, "controller", type="pci", index=str(index), model=model)
    ET.SubElement(added, "address", type="pci", domain="0x0000", bus="0x00", slot=hex(found[0]), function="0x0")
    return index
