"""A VM's config as values: drives, cards, boot order. Strings of options in, strings of options out.

    drive("scsi0", "local:100/vm-100-disk-0.qcow2,size=1G").volume   ->  "local:100/vm-100-disk-0.qcow2"
    card("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=7").network  ->  "vmbr0.7"

The grammar is Proxmox VE's property strings (qemu-server PVE/QemuServer/Drive.pm, Network.pm; recordings 02 and 07).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from vmclone_operator.providers.proxmox import answers

Config = Mapping[str, object]
_DRIVE = re.compile(r"(ide[0-3]|sata[0-5]|scsi([0-9]|[12][0-9]|30)|virtio([0-9]|1[0-5])|efidisk0|tpmstate0)")
_CARD = re.compile(r"net(\d+)")
_MAC = re.compile(r"(?i)[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_CLOUD_INIT = re.compile(r"vm-\d+-cloudinit(\.\w+)?$|:cloudinit$")
_DEFAULT_MEMORY = 512
"""MiB, of a config without the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One drive."""

    key: str
    volume: str
    """`storage:name`, a path, or `none`."""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def cloud_init(self) -> bool:
        """The server makes its content at each start."""
        return _CLOUD_INIT.search(self.volume) is not None

    @property
    def cdrom(self) -> bool:
        """Its medium belongs to nobody, or it is empty."""
        return self.options.get("media") == "cdrom" and not self.cloud_init

    @property
    def disk(self) -> bool:
        """It is copied by a clone, and holds something of the guest's."""
        return not self.cdrom and not self.cloud_init and self.volume != "none"

    @property
    def device(self) -> bool:
        """It is a device or file of the host, not a volume of a storage."""
        return self.volume.startswith("/")

    @property
    def storage(self) -> str:
        """The storage that holds it."""
        return self.volume.partition(":")[0]

    @property
    def bytes(self) -> int:
        """What the guest sees; 0 where the config does not say."""
        return size_bytes(self.options.get("size", "0"))

    def belongs_to(self, vmid: int) -> bool:
        """Tell whether the volume's own name is one of this VM's."""
        own = self.volume.rpartition("/")[2].rpartition(":")[2]
        return re.match(rf"(vm|base)-{vmid}-", own) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One network card."""

    key: str
    model: str
    mac: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def network(self) -> str:
        """The bridge, with its VLAN behind a dot if it has one."""
        bridge, tag = self.options.get("bridge", ""), self.options.get("tag", "")
        return f"{bridge}.{tag}" if tag else bridge

    @property
    def up(self) -> bool:
        """Whether its cable is in."""
        return self.options.get("link_down", "0") != "1"

    @property
    def text(self) -> str:
        """The card as a config takes it."""
        return ",".join(
            [f"{self.model}={self.mac}", *(f"{name}={self.options[name]}" for name in sorted(self.options))]
        )

    def on(self, network: str) -> Card:
        """Return it on another network: `vmbr0`, or `vmbr0.7` for VLAN 7 there."""
        bridge, _, tag = network.partition(".")
        others = {name: text for name, text in self.options.items() if name not in {"bridge", "tag", "trunks"}}
        return replace(self, options={**others, "bridge": bridge, **({"tag": tag} if tag else {})})

    def with_link(self, *, up: bool) -> Card:
        """Return it with its cable in or out."""
        others = {name: text for name, text in self.options.items() if name != "link_down"}
        return replace(self, options=others if up else {**others, "link_down": "1"})


def drive(key: str, value: str) -> Drive:
    """Read one drive."""
    volume, options = "", {}
    for part in value.split(","):
        name, separator, option = part.partition("=")
        if not separator or ":" in name or name.startswith("/"):
            volume = part
        elif name in {"file", "volume"}:
            volume = option
        else:
            options[name] = option
    return Drive(key=key, volume=volume, options=options)


def card(key: str, value: str) -> Card:
    """Read one card."""
    model, mac, options = "", "", {}
    for part in value.split(","):
        name, separator, option = part.partition("=")
        if not separator or name == "model":
            model = option or name
        elif name == "macaddr":
            mac = option
        elif _MAC.fullmatch(option) and not mac:
            model, mac = name, option
        else:
            options[name] = option
    return Card(key=key, model=model, mac=mac.upper(), options=options)


def drives(config: Config) -> tuple[Drive, ...]:
    """Return the drives of a config by name."""
    return tuple(drive(key, str(config[key])) for key in sorted(config) if _DRIVE.fullmatch(key))


def disks(config: Config) -> tuple[Drive, ...]:
    """Return the drives that a clone has too: all but CDs and the cloud-init drive."""
    return tuple(one for one in drives(config) if one.disk)


def cards(config: Config) -> tuple[Card, ...]:
    """Return the network cards in the order of their numbers."""
    numbered = sorted((int(found[1]), key) for key in config if (found := _CARD.fullmatch(key)))
    return tuple(card(key, str(config[key])) for _, key in numbered)


def is_drive(key: str) -> bool:
    """Tell whether a key names a drive."""
    return _DRIVE.fullmatch(key) is not None


def boot_order(config: Config) -> tuple[str, ...]:
    """Return the keys that the VM boots from, first first; empty where the config leaves it to the server."""
    text = str(config.get("boot", ""))
    found = re.search(r"order=([^,]*)", text)
    if found is None:
        return (str(config["bootdisk"]),) if config.get("bootdisk") else ()
    return tuple(key for key in re.split(r"[;\s]+", found[1]) if key)


def options_of(value: object) -> dict[str, str]:
    """Read a property string whose first part may stand without its name, under the empty one."""
    pairs = (part.partition("=") for part in str(value).split(",") if part)
    return {name if separator else "": option if separator else name for name, separator, option in pairs}


def agent_configured(config: Config) -> bool:
    """Tell whether the VM has the guest agent's device."""
    said = options_of(config.get("agent", "0"))
    return said.get("enabled", said.get("", "0")) == "1"


def system_uuid(config: Config) -> str:
    """Return the UUID in the VM's SMBIOS table, in lower case."""
    return options_of(config.get("smbios1", "")).get("uuid", "").lower()


def tags(config: Config) -> frozenset[str]:
    """Return the tags."""
    return frozenset(tag for tag in re.split(r"[;,\s]+", str(config.get("tags", ""))) if tag)


def cpus(config: Config) -> int:
    """Return how many CPUs the guest sees."""
    vcpus = _number(config.get("vcpus"), 0)
    return vcpus or _number(config.get("sockets"), 1) * _number(config.get("cores"), 1)


def memory_bytes(config: Config) -> int:
    """Return the memory that the guest may have."""
    said = options_of(config.get("memory", _DEFAULT_MEMORY))
    return _number(said.get("current", said.get("", _DEFAULT_MEMORY)), _DEFAULT_MEMORY) << 20


def size_bytes(text: str) -> int:
    """Return a size such as `32G`, `528K` or `1.5T` in bytes; 0 for what is none."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([KMGT]?)", text)
    return int(float(found[1]) * _UNITS[found[2]]) if found else 0


def _number(value: object, default: int) -> int:
    return answers.digits(value, default)
