"""What a running VM has otherwise than its configuration says: pure, over the two XML documents.

The disks that are copied are those that run, and the machine around them is the one of the next start. So a
disk or a card that is in one of the two only would be missing from a clone, or empty in it, and nobody told.
Media, and the many things libvirt itself fills in when a VM starts (addresses, aliases, ports), do not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmclone_operator.providers.libvirt import domain_xml

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Callable, Iterator

_MEDIA = frozenset({"cdrom", "floppy"})
_LIVE_ONLY = (
    "{what} is only in the running VM, not in its configuration: add it there (virsh attach-device --config), or"
    " detach it"
)
_CONFIG_ONLY = "{what} is only in the configuration of the next start: restart the source, or detach it"
_CHANGED = "{what} is not the same in the running VM and in the configuration of its next start: restart the source"
_COUNTED = (
    *("hostdev", "channel", "redirdev", "rng", "tpm", "memory", "vsock", "watchdog", "shmem", "sound", "graphics"),
    *("video", "serial", "parallel", "smartcard", "lease", "iommu", "panic", "crypto"),
)
"""Devices that one does not tell from another: as many of them have to be there. Without those that libvirt adds."""


def differences(live: ET.Element, configured: ET.Element) -> list[str]:
    """Return a sentence for each thing that a running VM has otherwise than its configuration."""
    return [
        *_compared("disk", _disks(live), _disks(configured)),
        *_compared("the network card", _interfaces(live), _interfaces(configured)),
        *_compared("the shared folder", _filesystems(live), _filesystems(configured)),
        *_counts(live, configured),
    ]


def _compared(kind: str, live: dict[str, str], configured: dict[str, str]) -> Iterator[str]:
    for name in [*live, *(name for name in configured if name not in live)]:
        what = f"{kind} {name}".rstrip()
        if name not in configured:
            yield _LIVE_ONLY.format(what=what)
        elif name not in live:
            yield _CONFIG_ONLY.format(what=what)
        elif live[name] != configured[name]:
            yield _CHANGED.format(what=what)


def _disks(domain: ET.Element) -> dict[str, str]:
    """Return the disks that are no drives for media, with what decides whether they are copied.

    Not where the image is: another image in the configuration changes nothing, for the running one is copied.
    """
    found = (disk for disk in domain_xml.disks(domain) if disk.device not in _MEDIA)
    return {disk.target: f"{disk.device} {disk.shared} {disk.read_only}" for disk in found}


def _interfaces(domain: ET.Element) -> dict[str, str]:
    return _named(domain, "devices/interface", lambda card: _attribute(card, "mac", "address").lower(), _network)


def _network(card: ET.Element) -> str:
    """Return what a card hangs on; the bridge of a network is told of a running one only."""
    source = card.find("source")
    where = {} if source is None else source.attrib
    names = [where[name] for name in ("network", "bridge", "dev") if name in where][:1]
    return " ".join([card.get("type", ""), *names, _attribute(card, "model", "type")])


def _filesystems(domain: ET.Element) -> dict[str, str]:
    return _named(
        domain,
        "devices/filesystem",
        lambda folder: _attribute(folder, "target", "dir"),
        lambda folder: " ".join(
            f"{key}={value}" for source in folder.findall("source") for key, value in source.items()
        ),
    )


def _named(
    domain: ET.Element, path: str, name: Callable[[ET.Element], str], what: Callable[[ET.Element], str]
) -> dict[str, str]:
    return {name(element): what(element) for element in domain.findall(path)}


def _attribute(parent: ET.Element, tag: str, name: str) -> str:
    child = parent.find(tag)
    return "" if child is None else child.get(name, "")


def _counts(live: ET.Element, configured: ET.Element) -> Iterator[str]:
    for tag in _COUNTED:
        now, later = len(live.findall(f"devices/{tag}")), len(configured.findall(f"devices/{tag}"))
        if now > later:
            yield _LIVE_ONLY.format(what=f"a device ({tag})")
        elif later > now:
            yield _CONFIG_ONLY.format(what=f"a device ({tag})")
