"""QEMU guests of the lab's libvirtd behind a double: real disks, real boots, the guest agent that is in them.

    machines = Machines.of_lab(Lab(Layout.from_environment(os.environ)))
    machines.copy(machines.file("golden-dev.qcow2"), machines.file("clone.qcow2"), linked=False)
    cards = (Plug(mac=..., up=False),)
    machines.start(Build(name="pve-101", uuid=..., disks=(machines.file("clone.qcow2"),), cards=cards))

A double decides when a VM is copied, started, stopped and plugged in; this module does it. Domains are transient and
files lie in the lab's pool, so `hack/lab down` leaves nothing of either. It must run inside the lab (`hack/lab exec`).
Guests boot the lab's kernel and see every disk as virtio, seeds too: their kernel has no driver for a SATA cdrom.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu

from vmclone_lab import domainxml, layout
from vmclone_lab.lab import Lab

AGENT = "org.qemu.guest_agent.0"
PING_SECONDS, ANSWER_SECONDS = 2, 10
"""How long the agent may take for a ping, and for an answer."""
COPY_SECONDS = 300
_CHUNK = 48 * 1024
_LIBVIRTS_WORDS = re.compile(r"^internal error: unable to execute QEMU agent command '[^']*': ")


class NoAnswer(Exception):  # noqa: N818 - named for what happened
    """The guest agent refused, in its own words, or did not answer, in libvirt's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plug:
    """A network card."""

    mac: str
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What a machine is made of."""

    name: str
    uuid: str
    disks: Sequence[Path]
    """Its disks (qcow2), the boot disk first."""
    seeds: Sequence[Path] = ()
    """Raw images that it can only read."""
    cards: Sequence[Plug] = ()
    memory_mib: int = 512


@dataclass(slots=True)
class Machines:
    """The machines of one double."""

    kvm: bool
    profile: str = "slim"
    folder: Path = Path(layout.POOL_PATH)
    connection: libvirt.virConnect = field(default_factory=lambda: libvirt.open("qemu:///system"))

    @classmethod
    def of_lab(cls, lab: Lab) -> Machines:
        """Return the machines of the lab that this process runs in."""
        libvirt.registerErrorHandler(lambda *_: None, None)  # raised as exceptions, and not printed too
        return cls(kvm=lab.record.kvm)

    def file(self, name: str) -> Path:
        """Return where a disk lies."""
        return self.folder / name

    def start(self, build: Build) -> None:
        """Boot a machine."""
        self.connection.createXML(rendered(build, self.profile, kvm=self.kvm), 0)

    def resume(self, name: str) -> None:
        """Boot a machine that the lab has defined."""
        self._domain(name).create()

    def stop(self, name: str) -> None:
        """Pull a machine's plug; one that is off is left alone."""
        if self.runs(name):
            self._domain(name).destroy()

    def runs(self, name: str) -> bool:
        """Tell whether a machine is on."""
        try:
            return bool(self._domain(name).isActive())
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            return False

    def plug(self, name: str, cards: Sequence[Plug]) -> None:
        """Put a running machine's cables in or out."""
        domain = self._domain(name)
        for interface in ET.fromstring(domain.XMLDesc(0)).iter("interface"):  # noqa: S314 - libvirt's own
            mac = interface.find("mac")
            wanted = next((one for one in cards if mac is not None and one.mac.lower() == mac.get("address")), None)
            if wanted is None:
                continue
            link = interface.find("link")
            link = ET.SubElement(interface, "link") if link is None else link
            link.set("state", "up" if wanted.up else "down")
            domain.updateDeviceFlags(ET.tostring(interface, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def reserve(self, mac: str, address: str) -> None:
        """Have the lab's DHCP server give a card this address."""
        self.release(mac)
        self._lease(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, ET.Element("host", mac=mac, ip=address))

    def release(self, mac: str) -> None:
        """Let go of a card's address."""
        network = ET.fromstring(self._network().XMLDesc(0))  # noqa: S314 - libvirt's own
        for host in network.iterfind("ip/dhcp/host"):
            if host.get("mac", "").lower() == mac.lower():
                self._lease(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, host)

    def facts(self, name: str) -> dict[str, str]:
        """Return the UUID and the first MAC of a machine."""
        root = ET.fromstring(self._domain(name).XMLDesc(0))  # noqa: S314 - libvirt's own
        mac = root.find("devices/interface/mac")
        return {"uuid": root.findtext("uuid", ""), "mac": "" if mac is None else mac.get("address", "")}

    def copy(self, source: Path, target: Path, *, linked: bool) -> None:
        """Make a disk that is another one as it is now: an overlay that stands on it, or all of it.

        The disk of a running machine is copied as its file systems are while they are frozen for a moment; nothing
        is frozen when its agent is silent. Each disk has a moment of its own.
        """
        found = self._user_of(source)
        if found is not None and not linked:
            self._backup(*found, target)
        elif linked:
            _image("create", "-f", "qcow2", "-F", "qcow2", "-b", str(source), str(target))
        else:
            _image("convert", "-O", "qcow2", str(source), str(target))

    def grow(self, disk: Path, size: int) -> None:
        """Let a disk of a machine that is off have at least that many bytes; one that is not there is made, empty."""
        if not disk.exists():
            _image("create", "-f", "qcow2", str(disk), str(size))
            return
        told = json.loads(_image("info", "--output", "json", str(disk)))
        if told["virtual-size"] < size:
            _image("resize", "-f", "qcow2", str(disk), str(size))

    def answers(self, name: str) -> bool:
        """Tell whether a machine's agent answers."""
        if not self.runs(name):
            return False
        channels = ET.fromstring(self._domain(name).XMLDesc(0)).iterfind("devices/channel/target")  # noqa: S314
        if not any(one.get("name") == AGENT and one.get("state") == "connected" for one in channels):
            return False
        try:
            self.ask(name, "guest-ping", seconds=PING_SECONDS)
        except NoAnswer:
            return False
        return True

    def ask(self, name: str, command: str, *, seconds: int = ANSWER_SECONDS, **arguments: object) -> Any:
        """Ask a machine's agent one thing and return its answer; raises NoAnswer."""
        told = {key.replace("_", "-"): value for key, value in arguments.items()}
        request = {"execute": command} | ({"arguments": told} if told else {})
        try:
            return json.loads(libvirt_qemu.qemuAgentCommand(self._domain(name), json.dumps(request), seconds, 0))[
                "return"
            ]
        except libvirt.libvirtError as error:
            raise NoAnswer(_LIBVIRTS_WORDS.sub("", str(error))) from error

    def execute(self, name: str, command: Sequence[str], stdin: bytes = b"") -> int:
        """Start a command in a machine and return its process id there; raises NoAnswer."""
        given: dict[str, Any] = {"path": command[0], "arg": list(command[1:]), "capture_output": True}
        if stdin:
            given["input_data"] = base64.b64encode(stdin).decode()
        return int(self.ask(name, "guest-exec", **given)["pid"])

    def read(self, name: str, path: str) -> bytes:
        """Return a file of a machine; raises NoAnswer."""
        handle = self.ask(name, "guest-file-open", path=path, mode="r")
        data, ended = b"", False
        try:
            while not ended:
                part = self.ask(name, "guest-file-read", handle=handle, count=_CHUNK)
                data, ended = data + base64.b64decode(part["buf-b64"]), part["eof"]
        finally:
            self.ask(name, "guest-file-close", handle=handle)
        return data

    def write(self, name: str, path: str, content: bytes) -> None:
        """Write a file of a machine; raises NoAnswer."""
        handle = self.ask(name, "guest-file-open", path=path, mode="w")
        try:
            for start in range(0, len(content), _CHUNK):
                part = base64.b64encode(content[start : start + _CHUNK]).decode()
                self.ask(name, "guest-file-write", handle=handle, buf_b64=part)
        finally:
            self.ask(name, "guest-file-close", handle=handle)

    def _network(self) -> libvirt.virNetwork:
        return self.connection.networkLookupByName(layout.GUEST_NETWORK)

    def _lease(self, command: int, host: ET.Element) -> None:
        text, part = ET.tostring(host, encoding="unicode"), libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
        self._network().update(command, part, -1, text, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE)

    def _domain(self, name: str) -> libvirt.virDomain:
        return self.connection.lookupByName(name)

    def _user_of(self, disk: Path) -> tuple[libvirt.virDomain, str] | None:
        """Return the running machine that has a disk, and what the disk is called there."""
        for domain in self.connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            for one in ET.fromstring(domain.XMLDesc(0)).iterfind("devices/disk"):  # noqa: S314 - libvirt's own
                source, target = one.find("source"), one.find("target")
                if source is not None and target is not None and source.get("file") == str(disk):
                    return domain, target.get("dev", "")
        return None

    def _backup(self, domain: libvirt.virDomain, device: str, target: Path) -> None:
        quiet = self.answers(domain.name())
        if quiet:
            domain.fsFreeze()
        try:
            domain.backupBegin(backup_of(domain.XMLDesc(0), device, target), None, 0)
        finally:
            if quiet:
                domain.fsThaw()
        deadline = time.monotonic() + COPY_SECONDS
        while domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
            if time.monotonic() > deadline:
                domain.abortJob()
                raise TimeoutError(f"the copy of {device} of {domain.name()} takes over {COPY_SECONDS} s")
            time.sleep(0.1)
        if not domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED).get("success"):
            raise OSError(f"the copy of {device} of {domain.name()} failed")


def rendered(build: Build, profile: str, *, kvm: bool) -> str:
    """Return a machine as libvirt takes it: the lab's kind of domain with other disks and cards."""
    plain = domainxml.SourceDomain(
        name=build.name, uuid=build.uuid, memory_mib=build.memory_mib, profile=profile, kvm=kvm
    )
    domain = ET.fromstring(domainxml.render(plain))  # noqa: S314 - rendered a line above
    devices = domain.find("devices")
    assert devices is not None
    for old in [*devices.findall("disk"), *devices.findall("interface")]:
        devices.remove(old)
    media = [(one, "qcow2") for one in build.disks] + [(one, "raw") for one in build.seeds]
    for letter, (path, kind) in zip("abcdefgh", media, strict=False):
        domainxml.add_disk(devices, kind, str(path), f"vd{letter}", read_only=kind == "raw")
    for card in build.cards:
        interface = ET.SubElement(devices, "interface", type="network")
        ET.SubElement(interface, "mac", address=card.mac.lower())
        ET.SubElement(interface, "source", network=layout.GUEST_NETWORK)
        ET.SubElement(interface, "model", type="virtio")
        ET.SubElement(interface, "link", state="up" if card.up else "down")
    return ET.tostring(domain, encoding="unicode")


def backup_of(domain: str, device: str, target: Path) -> str:
    """Return the wish for a copy of one disk of a running domain, as libvirt takes it; the others are left out."""
    backup = ET.Element("domainbackup", mode="push")
    disks = ET.SubElement(backup, "disks")
    for one in ET.fromstring(domain).iterfind("devices/disk/target"):  # noqa: S314 - libvirt's own
        name = one.get("dev", "")
        if name != device:
            ET.SubElement(disks, "disk", name=name, backup="no")
            continue
        disk = ET.SubElement(disks, "disk", name=name, backup="yes", type="file")
        ET.SubElement(disk, "driver", type="qcow2")
        ET.SubElement(disk, "target", file=str(target))
    return ET.tostring(backup, encoding="unicode")


def _image(*words: str) -> str:
    return subprocess.run(["qemu-img", *words], check=True, stdout=subprocess.PIPE, text=True).stdout
