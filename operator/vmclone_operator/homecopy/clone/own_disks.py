"""Knows which file systems lie on the clone's own disks: on others the scrub would reach into what is somebody else's.

The host names each of its disks by the way that leads to it, as PCI slots from the root (`02.3/00.0`), which a guest
sees as it is, whatever numbers its firmware gave to the buses. Whatever does not lie on such a disk (iSCSI, NBD, a disk
that was plugged in later, a network file system, one that is not known here) is not entered.
"""

# Runs in the clone, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, PTH110, PTH112, PTH116, PTH118, PTH119, PTH120, PTH123, PTH208

import os
import re
import stat
from typing import List

ANY = "*"
"""Stands for disks that the host cannot name so; then each is own that a hypervisor plugs into a VM."""
_MEMORY = ("tmpfs", "ramfs", "rootfs", "devtmpfs")
_LAYERS = ("overlay", "aufs")
"""What has no device of its own: below it are mounts that are looked at themselves."""
_SEVERAL_DEVICES = ("btrfs", "bcachefs")
_SLOT = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:([0-9a-f]{2}\.[0-7])\Z")
_USB_PORT = re.compile(r"[0-9]+-([0-9]+(?:\.[0-9]+)*)\Z")
_REMOTE = re.compile(r"/(?:session|rport-|end_device-)[0-9]|/fc_|/nvme-fabrics/")
_DEEPEST = 16


class OwnDisks:
    """The clone's own disks, and what lies on them."""

    def __init__(self, names: List[str], system: str = "/sys") -> None:
        self._names = set(names)
        self._system = system

    def holds(self, kind: str, device: str, source: str) -> bool:
        """Return whether a mounted file system lies on own disks alone: by its type, `major:minor` and source."""
        if kind in _MEMORY or kind in _LAYERS:
            return True
        if not device.startswith("0:"):
            return self._own(device, 0)
        if kind not in _SEVERAL_DEVICES:
            return False
        devices = [_number(path) for path in source.split(":")]
        return all(number and self._own(number, 0) for number in [*devices, *self._siblings(devices)])

    def _siblings(self, devices: List[str]) -> List[str]:
        """Return all devices of the btrfs that one of these is a part of."""
        found = []  # type: List[str]
        top = os.path.join(self._system, "fs/btrfs")
        for name in _listed(top):
            folder = os.path.join(top, name, "devices")
            numbers = [_line(os.path.join(folder, part, "dev")) for part in _listed(folder)]
            if set(numbers) & set(devices):
                found += numbers
        return found

    def _own(self, device: str, depth: int) -> bool:
        path = os.path.realpath(os.path.join(self._system, "dev/block", device))
        if depth > _DEEPEST or not os.path.isdir(path):
            return False
        if os.path.exists(os.path.join(path, "partition")):
            path = os.path.dirname(path)
        below = [_line(os.path.join(path, "slaves", name, "dev")) for name in _listed(os.path.join(path, "slaves"))]
        if below:  # LVM, LUKS, RAID: all that it is made of
            return all(self._own(number, depth + 1) for number in below)
        file = _line(os.path.join(path, "loop/backing_file"))
        if file:
            return self._file(file, depth + 1)
        name = os.path.basename(path)
        return name.startswith(("zram", "ram")) or self._is_named(path)

    def _file(self, path: str, depth: int) -> bool:
        """Return whether a loop device's file lies on an own disk."""
        try:
            number = os.stat(path).st_dev
        except OSError:
            return False
        return self._own(f"{os.major(number)}:{os.minor(number)}", depth)

    def _is_named(self, path: str) -> bool:
        if _REMOTE.search(path) or "/devices/virtual/" in path:
            return False
        return identifier(path) in self._names or ANY in self._names


def identifier(path: str) -> str:
    """Return the way to a disk from its path in sysfs: the PCI slots, and the port where a USB bus ends it."""
    parts = path.split("/")
    slots = [found.group(1) for found in map(_SLOT.match, parts) if found]
    ports = [found.group(1) for found in map(_USB_PORT.match, parts) if found]
    return "/".join(slots) + ("/usb" + ports[-1] if ports else "")


def _number(path: str) -> str:
    try:
        info = os.stat(path)
    except OSError:
        return ""
    return f"{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}" if stat.S_ISBLK(info.st_mode) else ""


def _line(path: str) -> str:
    try:
        with open(path) as file:
            return file.readline().strip()
    except OSError:
        return ""


def _listed(path: str) -> List[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
