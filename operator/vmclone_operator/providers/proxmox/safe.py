"""What of a VM's config its clone may have: a closed list, decided before the copy and enforced before the first boot.

The server copies every key that it does not know to be special: addresses, keys, passwords, tags, `protection`,
`onboot`, host devices, hook scripts. Each key here is kept, taken off, set by us, or a reason not to clone at all.
What a token can not take off again (`args`, `hookscript`, host devices are root's own) is found in the source before
anything is copied. A key that a later release has and this list does not know is refused by name.

Keys: qemu-server's table of 9.2.6, all 82; who may set them: recording 09-permissions, 78-125.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import CloneIntent, Mode, Shape
from vmclone_operator.providers.proxmox import answers
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox.config import Card, Config

_KEPT = re.compile(
    r"acpi|affinity|agent|allow-ksm|amd-sev|arch|audio0|autostart|balloon|bios|boot|bootdisk|cores|cpu|cpulimit|cpuunits"
    r"|hotplug|hugepages|intel-tdx|keephugepages|keyboard|kvm|localtime|machine|memory|meta|migrate_downtime"
    r"|migrate_speed|name|numa\d*|ostype|reboot|rng0|scsihw|shares|smbios1|smp|sockets|spice_enhancements|startdate"
    r"|startup|tablet|tdf|vcpus|vga|vmgenid|vmstatestorage|watchdog|digest|description|tags|template|net\d+"
)
"""`startup` is an order and a delay: without `onboot` nothing is started by it, and only Sys.Modify may change it."""
_TAKEN_OFF = re.compile(
    r"cicustom|cipassword|citype|ciuser|ciupgrade|ipconfig\d+|nameserver|searchdomain|sshkeys"
    r"|protection|onboot|freeze|unused\d+"
)
_NOT_COPIED = re.compile(r"lock|parent|snaptime|vmstate|snapstate|runningmachine|runningcpu|running-nets-host-mtu")
_HOSTS = {
    r"args": "has its own QEMU arguments (args)",
    r"hookscript": "runs a script on the host (hookscript)",
    r"hostpci\d+": "has a PCI device of the host",
    r"parallel\d+": "has a parallel port of the host",
    r"ivshmem": "shares memory with another process (ivshmem)",
    r"virtiofs\d+": "has a directory of the host (virtiofs)",
}
_SPICE = re.compile(r"(host=)?spice\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is still to be done to a config."""

    set: Mapping[str, str] = field(default_factory=dict)
    delete: Sequence[str] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is."""
        return bool(self.set or self.delete)

    def parameters(self, digest: str) -> dict[str, object]:
        """Return it as a request takes it: only onto the config that was read."""
        deletes: dict[str, object] = {"delete": ",".join(self.delete)} if self.delete else {}
        return {**self.set, **deletes, **({"digest": digest} if digest else {})}


def refusals(config: Config) -> Iterator[str]:
    """Say what in a source's config no clone may have and no token can take off."""
    for key in sorted(config):
        said = _refusal(key, str(config[key]))
        if said:
            yield said


def _refusal(key: str, value: str) -> str:
    host = next((words for pattern, words in _HOSTS.items() if re.fullmatch(pattern, key)), "")
    if host:
        return f"{key}: the VM {host}, which a clone would share and only root@pam can take off: {_remove(key)}"
    if re.fullmatch(r"usb\d+", key) and not _SPICE.match(value):
        return f"{key}: the VM has a USB device of the host, which only root@pam can take off a clone: {_remove(key)}"
    if re.fullmatch(r"serial\d+", key) and value != "socket":
        return f"{key}: the VM has a serial port of the host ({value}): make it a socket, or run {_remove(key)}"
    if configs.is_drive(key):
        one = configs.drive(key, value)
        return (
            f"{key}: {one.volume} is a device of the host, not a volume: a clone would share it" if one.device else ""
        )
    known = (_KEPT, _TAKEN_OFF, _NOT_COPIED, re.compile(r"(usb|serial)\d+"))
    if any(pattern.fullmatch(key) for pattern in known):
        return ""
    return f"{key}: this operator does not know whether a clone may have that setting: {_remove(key)}"


def _remove(key: str) -> str:
    return f"qm set VMID --delete {key}"


def change_for(config: Config, intent: CloneIntent, *, seed: str = "", cards: tuple[Card, ...] | None = None) -> Change:
    """Return what is still to be done until a clone that was just made may be switched on; empty when nothing is.

    `seed`: the volume id of its NoCloud image. `cards`: what its cards are like, in place of its own.
    Protection goes by itself and first: under it no drive can be taken off, and the server does the half of such a
    change before it says so (recording 06, 48).
    """
    if str(config.get("protection", "0")) != "0":
        return Change(delete=("protection",))
    cloud_init = [one.key for one in configs.drives(config) if one.cloud_init]
    if cloud_init:
        return Change(delete=cloud_init)  # in a request of its own: the seed may take the very place
    seat, made = seed_seat(config), wanted_cards(configs.cards(config) if cards is None else cards, intent)
    wanted: dict[str, str] = {
        "name": intent.vm_name,
        "smbios1": _smbios(str(config.get("smbios1", "")), intent.uuid),
        **_shape(config, intent.shape),
        **{one.key: one.text for one in made},
    }
    if seed:
        wanted[seat] = f"{seed},media=cdrom"
    deletes = [key for key in sorted(config) if _TAKEN_OFF.fullmatch(key)]
    deletes += sorted({one.key for one in configs.cards(config)} - {one.key for one in made})
    deletes += [one.key for one in configs.drives(config) if one.cdrom and one.key != (seat if seed else "")]
    return Change(set={key: text for key, text in wanted.items() if not _same(key, config, text)}, delete=deletes)


def wanted_cards(cards: Sequence[Card], intent: CloneIntent) -> tuple[Card, ...]:
    """Return a clone's cards, made like these: addresses of its own, on the networks that the wish names.

    Cables are out, but in mode Clean: there cloud-init needs the network, and the disk holds nobody's identity.
    """
    made = []
    up = intent.mode is Mode.CLEAN
    for index, one in enumerate(cards):
        mac = naming.mac_address(intent.stamp.incarnation, index).upper()
        fresh = configs.card(one.key, one.text.replace(one.mac, mac, 1)).with_link(up=up)
        networks = intent.shape.networks
        made.append(fresh.on(networks[index]) if index < len(networks) else fresh)
    return tuple(made)


def _smbios(value: str, uuid: str) -> str:
    parts = {**configs.options_of(value), "uuid": uuid}
    return ",".join(f"{name}={parts[name]}" for name in sorted(parts) if name)


def _shape(config: Config, shape: Shape) -> dict[str, str]:
    """Return CPUs as cores of one socket and memory in MiB, where the wish names them."""
    wanted: dict[str, str] = {}
    if shape.cpus and shape.cpus != configs.cpus(config):
        wanted |= {"sockets": "1", "cores": str(shape.cpus)}
        if "vcpus" in config:
            wanted["vcpus"] = str(shape.cpus)
    if shape.memory_bytes and shape.memory_bytes != configs.memory_bytes(config):
        mebibytes = -(-shape.memory_bytes // (1 << 20))
        wanted["memory"] = str(mebibytes)
        if answers.digits(config.get("balloon")) > mebibytes:
            wanted["balloon"] = str(mebibytes)
    return wanted


def seed_seat(config: Config) -> str:
    """Return the drive that takes the seed: the place of a CD, or the first free one."""
    held = configs.drives(config)
    for one in held:
        if one.cdrom:
            return one.key
    taken = {one.key for one in held}
    free = [f"ide{number}" for number in (2, 3, 0, 1)] + [f"sata{number}" for number in range(5, -1, -1)]
    return next((key for key in free if key not in taken), "scsi30")


def _same(key: str, config: Config, text: str) -> bool:
    """Tell whether a config says that already, in whatever order of options."""
    held = config.get(key)
    if held is None:
        return False
    if re.fullmatch(r"net\d+", key):
        return _card_parts(configs.card(key, str(held))) == _card_parts(configs.card(key, text))
    if configs.is_drive(key):
        one, other = configs.drive(key, str(held)), configs.drive(key, text)
        return one.volume == other.volume and one.options.get("media") == other.options.get("media")
    if key == "smbios1":
        return configs.options_of(held) == configs.options_of(text)
    return str(held) == text


def _card_parts(one: Card) -> tuple[object, ...]:
    return one.model, one.mac.upper(), dict(one.options)


def exposed(config: Config, vmid: int) -> str:
    """Say what of another VM's or the host's a VM could write to; empty when nothing. Asked before every power-on."""
    for one in configs.disks(config):
        if not one.belongs_to(vmid):
            return f"{one.key} ({one.volume}) is not a disk of VM {vmid}'s own"
    found = next(iter(refusals(config)), "")
    return f"VM {vmid} has what a clone must not have: {found}" if found else ""


def missing_disks(source: Config, clone: Config) -> tuple[str, ...]:
    """Return the disks, and the boot devices, of the source that the clone does not have."""
    wanted = {one.key for one in configs.disks(source)}
    gone = {one.key for one in configs.drives(source)} - wanted
    wanted |= {key for key in configs.boot_order(source) if key in source and key not in gone}
    return tuple(sorted(wanted - set(clone)))
