"""A VM's shape in its XML: read so that it can be compared, and written into a clone that differs from its source.

What describes the old shape in more detail (topology, NUMA cells, pinning) goes where it no longer fits:
libvirt refuses a VM whose details contradict its numbers.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

from vmclone_operator.domain.backend import Shape

_UNITS = {"b": 1, "bytes": 1, "KB": 1000, "k": 1024, "KiB": 1024, "MB": 1000**2, "M": 1024**2, "MiB": 1024**2}
_UNITS |= {"GB": 1000**3, "G": 1024**3, "GiB": 1024**3, "TB": 1000**4, "T": 1024**4, "TiB": 1024**4}
_TOPOLOGY = ("sockets", "dies", "clusters", "cores", "threads")


def shape_of(domain: ET.Element) -> Shape:
    """Return what a VM has: processors, memory, and for each NIC its network, bridge or device."""
    vcpu, memory = domain.find("vcpu"), domain.find("memory")
    return Shape(
        cpus=1 if vcpu is None else int(vcpu.get("current") or (vcpu.text or "1").strip()),
        memory_bytes=0 if memory is None else int((memory.text or "0").strip()) * _UNITS[memory.get("unit", "KiB")],
        networks=tuple(_network(interface) for interface in domain.findall("devices/interface")),
    )


def _network(interface: ET.Element) -> str:
    source = interface.find("source")
    where = {} if source is None else source.attrib
    return where.get("network") or where.get("bridge") or where.get("dev") or ""


def apply_shape(domain: ET.Element, shape: Shape) -> None:
    """Give a VM another shape; what the shape leaves open stays as it is."""
    if shape.cpus:
        _set_cpus(domain, shape.cpus)
    if shape.memory_bytes:
        _set_memory(domain, shape.memory_bytes)
    if shape.networks:
        _set_networks(domain, shape.networks)


def _child(parent: ET.Element, tag: str) -> ET.Element:
    found = parent.find(tag)
    return ET.SubElement(parent, tag) if found is None else found


def _drop(domain: ET.Element, parent_path: str, *tags: str) -> None:
    for parent in domain.findall(parent_path):
        for tag in tags:
            for child in parent.findall(tag):
                parent.remove(child)


def _set_cpus(domain: ET.Element, cpus: int) -> None:
    vcpu = _child(domain, "vcpu")
    vcpu.text = str(cpus)
    vcpu.attrib.pop("current", None)
    _drop(domain, ".", "vcpus")
    for topology in domain.findall("cpu/topology"):
        if math.prod(int(topology.get(part, "1")) for part in _TOPOLOGY) != cpus:
            _drop(domain, "cpu", "topology")
    for tune in domain.findall("cputune"):
        for pin in [pin for pin in tune.findall("vcpupin") if int(pin.get("vcpu", "0")) >= cpus]:
            tune.remove(pin)
    _drop(domain, "cputune", "vcpusched")  # of sets of processors that may name one that is gone
    _drop_cells(domain)


def _set_memory(domain: ET.Element, memory_bytes: int) -> None:
    for tag in ("memory", "currentMemory"):
        memory = _child(domain, tag)
        memory.text, memory.attrib = str(-(-memory_bytes // 1024)), {"unit": "KiB"}
    _drop(domain, ".", "maxMemory", "memtune")
    _drop(domain, "devices", "memory")
    _drop_cells(domain)


def _drop_cells(domain: ET.Element) -> None:
    """Drop NUMA cells with all that refers to them: modules, their slots, and pages and pins of single cells."""
    if domain.find("cpu/numa") is None:
        return
    _drop(domain, "cpu", "numa")
    _drop(domain, "numatune", "memnode")
    _drop(domain, ".", "maxMemory")
    _drop(domain, "devices", "memory")
    for pages in domain.findall("memoryBacking/hugepages"):
        for page in pages.findall("page[@nodeset]"):
            pages.remove(page)


def _set_networks(domain: ET.Element, networks: tuple[str, ...]) -> None:
    devices = _child(domain, "devices")
    present = devices.findall("interface")
    for surplus in present[len(networks) :]:
        devices.remove(surplus)
    for interface, network in zip(present, networks, strict=False):
        _plug(interface, network)
    model = devices.find("interface/model")
    kind = "virtio" if model is None else model.get("type", "virtio")
    for network in networks[len(present) :]:
        added = ET.SubElement(devices, "interface", type="network")
        ET.SubElement(added, "source", network=network)
        ET.SubElement(added, "model", type=kind)


def _plug(interface: ET.Element, network: str) -> None:
    """Put a NIC on a network; on the one it has it stays exactly as it is."""
    if interface.get("type") == "network" and _network(interface) == network:
        return
    interface.set("type", "network")
    for tag in ("source", "virtualport", "vlan", "backend", "ip", "route"):
        for child in interface.findall(tag):
            interface.remove(child)
    ET.SubElement(interface, "source", network=network)
