"""The named formats of parameters: what they let through, and how the server words a refusal.

Texts from recordings 02, 05, 06, 07, 09 and 10; the expressions from pve-common src/PVE/JSONSchema.pm 9.2.1.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import unquote


class BadFormat(Exception):  # noqa: N818  - named for what happened
    """A value is refused; the text is what the server says of it."""


Check = Callable[[str], None]
_CONTENT = ("images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none")
_CPUS = ("host", "kvm64", "kvm32", "qemu64", "qemu32", "max", "x86-64-v2", "x86-64-v2-AES", "x86-64-v3", "x86-64-v4")
_DRIVE = re.compile(r"(ide[0-3]|sata[0-5]|scsi([0-9]|[12][0-9]|30)|virtio([0-9]|1[0-5])|net([0-9]|[12][0-9]|3[01]))")
_DRIVE_OR_DEVICE = re.compile(_DRIVE.pattern + r"|usb\d+|hostpci\d+")


def bad(what: str) -> BadFormat:
    """Return the refusal of a format."""
    return BadFormat(f"invalid format - {what}\n")


def _matching(pattern: str, complaint: str) -> Check:
    """Check against an expression; `{}` in the complaint is the value."""
    compiled = re.compile(pattern)

    def check(value: str) -> None:
        if not compiled.fullmatch(value):
            raise bad(complaint.format(value))

    return check


def _anything(value: str) -> None:
    """Let everything through: these formats are never sent by a client of ours."""


def _list_of(check: Check) -> Check:
    def check_all(value: str) -> None:
        for entry in split_list(value):
            check(entry)

    return check_all


def split_list(value: str) -> list[str]:
    """Split at commas, semicolons and blanks, as the server does everywhere."""
    return [entry for entry in re.split(r"[,;\s\0]+", value.strip()) if entry]


def _urlencoded(value: str) -> None:
    if not re.fullmatch(r"[-%a-zA-Z0-9_.!~*'()]*", value):
        raise bad(f"invalid urlencoded string: {value}")
    unquote(value)


def _ip_config(version: int, words: tuple[str, ...]) -> Check:
    def check(value: str) -> None:
        if value in words:
            return
        try:
            parsed = ipaddress.ip_interface(value)
        except ValueError:
            parsed = None
        if parsed is None or parsed.version != version or "/" not in value:
            raise bad(f"value does not look like a valid ipv{version} network configuration")

    return check


def _address(version: int) -> Check:
    def check(value: str) -> None:
        try:
            right = ipaddress.ip_address(value).version == version
        except ValueError:
            right = False
        if not right:
            raise bad(f"value does not look like a valid IPv{version} address")

    return check


def _any_address(value: str) -> None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9.-]+", value):
            raise bad("value does not look like a valid IP address") from None


def _volume(value: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9\-_.]*[a-z0-9]:.+", value, re.IGNORECASE):
        raise bad(f"unable to parse volume ID '{value}'")


def _drive_file(value: str) -> None:
    if value in {"none", "cdrom"} or value.startswith("/"):
        return
    _volume(value)


def _cpu(value: str) -> None:
    kind = value.split(",", maxsplit=1)[0].removeprefix("cputype=")
    if not kind.startswith("custom-") and kind not in _CPUS:
        raise bad(f"Built-in cputype '{kind}' is not defined (missing 'custom-' prefix?)")


def _mac(value: str) -> None:
    if not re.fullmatch(r"[a-f0-9][02468ace](:[a-f0-9]{2}){5}", value, re.IGNORECASE):
        raise bad("value does not look like a valid unicast MAC address")


_UNCHECKED = (
    *("CIDR", "pve-qm-bootdisk", "pve-qm-hostpci", "pve-qm-ide", "pve-qm-watchdog", "pve-qemu-sev-fmt"),
    *("pve-qemu-tdx-fmt", "pve-groupid-list", "pve-roleid-list", "pve-tokenid-list", "pve-userid-list"),
    *("storage-pair-list", "email-opt"),
)
FORMATS: dict[str, Check] = {
    "pve-vmid": _matching(r"[1-9][0-9]{2,8}", "value does not look like a valid VM ID"),
    "pve-node": _matching(r"[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?", "value does not look like a valid node name"),
    "dns-name": _matching(
        r"([a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?)*",
        "value does not look like a valid DNS name",
    ),
    "pve-configid": _matching(r"[a-z][a-z0-9_-]+", "invalid configuration ID '{}'"),
    "pve-configid-list": _anything,
    "pve-poolid": _matching(r"[A-Za-z0-9\-_]+(/[A-Za-z0-9\-_]+){0,2}", "value '{}' contains invalid characters"),
    "pve-storage-id": _matching(r"(?i)[a-z][a-z0-9\-_.]*[a-z0-9]", "storage ID '{}' contains illegal characters"),
    "pve-storage-content": _matching("|".join(_CONTENT), "invalid content type '{}'"),
    "pve-storage-content-list": _list_of(_matching("|".join(_CONTENT), "invalid content type '{}'")),
    "pve-task-status-type-list": _list_of(_matching("ok|error|warning|unknown", "invalid status '{}'")),
    "pve-tag-list": _list_of(_matching(r"(?ia:[a-z0-9_][a-z0-9_\-+.]*)", "invalid characters in tag")),
    "pve-volume-id": _volume,
    "pve-volume-id-or-qm-path": _drive_file,
    "pve-volume-id-or-absolute-path": _drive_file,
    "pve-qm-bootdev-list": _list_of(_matching(_DRIVE_OR_DEVICE.pattern, "invalid boot device '{}'")),
    "pve-ipv4-config": _ip_config(4, ("dhcp", "manual")),
    "pve-ipv6-config": _ip_config(6, ("dhcp", "manual", "auto")),
    "pve-bridge-id": _matching(r"[a-zA-Z][a-zA-Z0-9_]*([-.][a-zA-Z0-9_]+)*", "invalid bridge name '{}'"),
    "pve-hotplug-features": _anything,
    "pve-cpuset": _matching(r"\d+(-\d+)?(,\d+(-\d+)?)*", "value does not look like a valid CPU set"),
    "pve-vm-cpu-conf": _cpu,
    "disk-size": _matching(r"\d+(\.\d+)?[KMGT]?", "value does not look like a valid disk size: {}"),
    "address-list": _list_of(_any_address),
    "ipv4": _address(4),
    "ipv6": _address(6),
    "mac-addr": _mac,
    "urlencoded": _urlencoded,
    "pve-userid": _matching(r"[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+", "value '{}' does not look like a valid user name"),
    **dict.fromkeys(_UNCHECKED, _anything),
}
"""By name, what raises BadFormat when a value does not fit."""
