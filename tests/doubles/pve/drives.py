"""Drives and network devices in a VM's config: one string of options each, in the order the server prints them.

drive("scsi0", "local:100/vm-100-disk-0.qcow2,size=1G,discard=on").text
-> "local:100/vm-100-disk-0.qcow2,discard=on,size=1G"     (recording 02-create-config, 16)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

DRIVE_NAME = re.compile(r"(ide[0-3]|sata[0-5]|scsi([0-9]|[12][0-9]|30)|virtio([0-9]|1[0-5])|efidisk0|tpmstate0)")
NEW_VOLUME = re.compile(r"([a-zA-Z][a-zA-Z0-9\-_.]*):(\d+(?:\.\d+)?|cloudinit)")
"""How a drive asks for a new volume: a storage, and a size in GiB or the word cloudinit."""
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def is_drive(key: str) -> bool:
    """Tell whether a config key names a drive."""
    return DRIVE_NAME.fullmatch(key) is not None


@dataclass(slots=True)
class Drive:
    """One drive of a VM."""

    key: str
    file: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def cloud_init(self) -> bool:
        """Tell whether the server makes this drive's content itself at each start."""
        return re.search(r"vm-\d+-cloudinit", self.file) is not None or self.file.endswith(":cloudinit")

    @property
    def cdrom(self) -> bool:
        """Tell whether it is a CD drive whose content belongs to nobody; a cloud-init drive is none."""
        return self.options.get("media") == "cdrom" and not self.cloud_init

    @property
    def owned(self) -> bool:
        """Tell whether it stands for a volume that this VM may own."""
        return not self.cdrom and ":" in self.file

    @property
    def text(self) -> str:
        """Return it as the config holds it: the file, then the options by name."""
        return ",".join([self.file, *(f"{name}={self.options[name]}" for name in sorted(self.options))])


def drive(key: str, value: str) -> Drive:
    """Read a drive from a config or a request."""
    options: dict[str, str] = {}
    file = ""
    for part in value.split(","):
        name, separator, option = part.partition("=")
        if not separator or ":" in name:
            file = part
        elif name in {"file", "volume"}:
            file = option
        else:
            options[name] = option
    return Drive(key, file, options)


def drives(config: dict[str, object]) -> list[Drive]:
    """Return the drives of a config, by name."""
    return [drive(key, str(config[key])) for key in sorted(config) if is_drive(key)]


def unused(config: dict[str, object]) -> dict[str, str]:
    """Return the volumes that the config keeps without using them."""
    return {key: str(value) for key, value in config.items() if re.fullmatch(r"unused\d+", key)}


def network(value: str, new_address: str) -> str:
    """Return a network device as the server prints it, with this address if it has none."""
    model, address = "", ""
    options: dict[str, str] = {}
    for part in value.split(","):
        name, separator, option = part.partition("=")
        if not separator:
            model = part
        elif name == "model":
            model = option
        elif name == "macaddr":
            address = option
        elif re.fullmatch(r"[a-z][a-z0-9_-]*", name) and re.fullmatch(r"(?i)[0-9a-f]{2}(:[0-9a-f]{2}){5}", option):
            model, address = name, option
        else:
            options[name] = option
    first = f"{model}={(address or new_address).upper()}"
    return ",".join([first, *(f"{name}={options[name]}" for name in sorted(options))])


def with_address(value: str, address: str) -> str:
    """Return a network device with another address."""
    return re.sub(r"(?i)[0-9a-f]{2}(:[0-9a-f]{2}){5}", address, network(value, address), count=1)


def bridge(value: str) -> str:
    """Return the bridge that a network device is on."""
    found = re.search(r"bridge=([^,]+)", value)
    return found[1] if found else ""


def size_text(size: int) -> str:
    """Return a size as configs print it: the largest unit that divides it."""
    unit = ""
    for letter in "KMGT":
        if size % 1024:
            break
        size, unit = size // 1024, letter
    return f"{size}{unit}"


def size_bytes(text: str) -> int:
    """Read a size like `32M`, `1.5G` or plain bytes."""
    factor = _UNITS.get(text[-1:], 0)
    return int(float(text[:-1]) * factor) if factor else int(float(text))


def human(size: float) -> str:
    """Return a size as task logs print it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError
