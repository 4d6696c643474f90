"""Firmware variables of UEFI machines as XML and command lines speak of them: pure, no host is asked."""

from __future__ import annotations

import json
import shlex
import xml.etree.ElementTree as ET
from dataclasses import dataclass

_STORAGE, _FORMAT = "libvirt-pflash1-storage", "libvirt-pflash1-format"
"""What libvirt calls the variables on QEMU's command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """A file of firmware variables on the host."""

    path: str
    format: str = "raw"

    @property
    def suffix(self) -> str:
        """The ending of a file of this format, as libvirt's own firmware descriptions have it."""
        return "qcow2" if self.format == "qcow2" else "fd"


def has_uefi(domain: ET.Element) -> bool:
    """Return whether a VM has UEFI firmware, given by file or chosen by libvirt."""
    loader = domain.find("os/loader")
    chosen = any(os.get("firmware") == "efi" for os in domain.findall("os"))
    return chosen or (loader is not None and loader.get("type") == "pflash" and loader.get("stateless") != "yes")


def from_command_line(text: str) -> Variables | None:
    """Find the variables on a QEMU command line that libvirt wrote; None when it has none."""
    nodes = {str(node.get("node-name")): node for word in shlex.split(text) if (node := _node(word))}
    if _STORAGE not in nodes:
        return None
    image_format = nodes.get(_FORMAT, {}).get("driver", "raw")
    return Variables(path=str(nodes[_STORAGE]["filename"]), format=str(image_format))


def _node(word: str) -> dict[str, object]:
    if not word.startswith("{"):
        return {}
    node = json.loads(word)
    return node if isinstance(node, dict) else {}


def set_variables(domain: ET.Element, own: Variables) -> None:
    """Point a clone at its own variables; whatever says how blank ones are made stays."""
    os = domain.find("os")
    if os is None:
        return
    nvram = os.find("nvram")
    if nvram is None:
        loader = os.find("loader")
        place = list(os).index(loader) + 1 if loader is not None else len(os)
        nvram = ET.Element("nvram")
        os.insert(place, nvram)
    for child in list(nvram):
        nvram.remove(child)
    nvram.attrib.pop("type", None)
    nvram.text = own.path
    if own.format != "raw":
        nvram.set("format", own.format)
