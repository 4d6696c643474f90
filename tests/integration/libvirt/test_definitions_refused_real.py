"""What two VMs of one host cannot both have, on a real libvirtd: refused by name, and the source stays as it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import libvirt
import pytest
from tests.contract.libvirt_backend import LibvirtFacts
from tests.integration.libvirt import shapes
from tests.integration.libvirt.shapes import DiskSpec
from tests.integration.libvirt.steps import play

from vmclone_operator.domain.backend import BackendSession, PlanWish
from vmclone_operator.domain.errors import SourceUnhealthy

pytestmark = pytest.mark.libvirt
QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
OVERRIDE = (
    f"<qemu:override {QEMU}><qemu:device alias='ua-d'><qemu:frontend>"
    "<qemu:property name='guest-cid' type='unsigned' value='41'/></qemu:frontend></qemu:device></qemu:override>"
)
SOCKET = "<source mode='bind' host='127.0.0.1' service='7777'/>"
CARDS = {
    "udp": "<interface type='udp'><source address='127.0.0.1' port='11115'>"
    "<local address='127.0.0.1' port='11116'/></source></interface>",
    "mcast": "<interface type='mcast'><source address='230.0.0.1' port='5558'/></interface>",
    "server": "<interface type='server'><source address='127.0.0.1' port='5559'/></interface>",
    "client": "<interface type='client'><source address='127.0.0.1' port='5559'/></interface>",
    "ethernet": "<interface type='ethernet'><target dev='tap7' managed='no'/></interface>",
    "vhostuser": "<interface type='vhostuser'><source type='unix' path='/run/n' mode='server'/>"
    "<model type='virtio'/></interface>",
    "passthrough": "<interface type='direct'><source dev='eth7' mode='passthrough'/></interface>",
    "parameter name='VLANS'": "<interface type='bridge'><source bridge='br7'/><filterref filter='clean-traffic'>"
    "<parameter name='VLANS' value='7'/></filterref></interface>",
}
DEVICES = CARDS | {
    "hostdev": "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/><product id='0x2'/></source></hostdev>",
    "filesystem": "<filesystem type='mount'><source dir='/srv'/><target dir='t'/></filesystem>",
    "shmem": "<shmem name='s'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>",
    "input type='passthrough'": "<input type='passthrough' bus='virtio'><source evdev='/dev/input/event7'/></input>",
    "input type='evdev'": "<input type='evdev'><source dev='/dev/input/event7'/></input>",
    "egd": f"<rng model='virtio'><backend model='egd' type='tcp'>{SOCKET}<protocol type='raw'/></backend></rng>",
    "/dev/nvram": "<rng model='virtio'><backend model='random'>/dev/nvram</backend></rng>",
    "redirdev": f"<redirdev bus='usb' type='tcp'>{SOCKET}<protocol type='raw'/></redirdev>",
    "smartcard mode='host'": "<smartcard mode='host'/>",
    "TPM of its host": "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm7'/></backend></tpm>",
    "/srv/render": "<graphics type='egl-headless'><gl rendernode='/srv/render'/></graphics>",
    "lease": "<lease><lockspace>l</lockspace><key>k</key><target path='/srv/lease'/></lease>",
}
FIRMWARE = "<os><type arch='x86_64' machine='q35'>hvm</type>{}</os>"
WRITABLE_LOADER = "<loader type='pflash'>/usr/share/vm.fd</loader>"
MACHINES = {
    "<loader>: two VMs would write": FIRMWARE.format(WRITABLE_LOADER),
    "smbios mode='host'": FIRMWARE.format("<smbios mode='host'/>"),
    "ip= on its kernel's command line": FIRMWARE.format(
        "<kernel>/boot/k</kernel><cmdline>root=/dev/vda ip=10.0.0.9::10.0.0.1:255.255.255.0::eth0:off</cmdline>"
    ),
    "nfsroot= on its kernel's": FIRMWARE.format("<kernel>/boot/k</kernel><cmdline>nfsroot=10.0.0.1:/r</cmdline>"),
    "db_password= on its kernel's": FIRMWARE.format("<kernel>/boot/k</kernel><cmdline>db_password=x</cmdline>"),
}


@dataclass(frozen=True, kw_only=True)
class State:
    """What must be the same before and after a refusal."""

    configuration: str
    disk: str
    volumes: tuple[str, ...]
    vms: frozenset[str]


def state_of(facts: LibvirtFacts, disk: Path) -> State:
    return State(
        configuration=shapes.domain_of(facts).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE),
        disk=hashlib.sha256(disk.read_bytes()).hexdigest(),
        volumes=tuple(facts.volume_names()),
        vms=frozenset(domain.UUIDString() for domain in facts.connection.listAllDomains()),
    )


async def refusals(session: BackendSession, facts: LibvirtFacts, disk: Path) -> list[str]:
    """Return what the preflight says of a source that must be refused; nothing may change by it or by an attempt."""
    before = state_of(facts, disk)
    source = await session.describe_source(facts.source_id)
    found = [finding.message for finding in await session.preflight(source, PlanWish(replicas=1))]
    if not found:
        return []
    with pytest.raises(SourceUnhealthy):
        await shapes.cloned(session, facts)
    assert state_of(facts, disk) == before
    return found


def test_a_device_that_two_vms_cannot_both_have_is_refused_by_name_before_anything_is_made() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        said = {}
        for number, (word, device) in enumerate(DEVICES.items()):
            disk = shapes.image(facts, f"{number}.qcow2", "A")
            one = shapes.define(facts, DiskSpec(path=disk), name=f"vm{number}", devices=device)
            said[word] = await refusals(session, one, disk)
        assert {word: found for word, found in said.items() if [word in one for one in found] != [True]} == {}

    play(scenario)


def test_a_machine_that_two_vms_cannot_both_be_is_refused_by_name_before_anything_is_made() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        said = {}
        for number, (word, system) in enumerate(MACHINES.items()):
            disk = shapes.image(facts, f"{number}.qcow2", "A")
            one = shapes.define(facts, DiskSpec(path=disk), name=f"vm{number}", os=system)
            said[word] = await refusals(session, one, disk)
        assert {word: found for word, found in said.items() if [word in one for one in found] != [True]} == {}

    play(scenario)


@pytest.mark.parametrize(
    ("added", "word"),
    [
        pytest.param(OVERRIDE, "property name='guest-cid'", id="a property of QEMU that may be an address"),
        pytest.param(
            f"<qemu:commandline {QEMU}><qemu:arg value='-name'/></qemu:commandline>", "qemu:commandline", id="arguments"
        ),
    ],
)
def test_what_qemu_is_told_beside_libvirt_is_refused_by_name(added: str, word: str) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        disk = shapes.image(facts, "src.qcow2", "A")
        facts = shapes.define(facts, DiskSpec(path=disk))
        shapes.extend(facts, added)
        (said,) = await refusals(session, facts, disk)
        assert word in said

    play(scenario)


def test_a_writable_shareable_disk_is_refused_by_its_name_and_never_written() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        disk, home = shapes.image(facts, "src.qcow2", "A"), shapes.image(facts, "home.raw", "H", "raw")
        shared = DiskSpec(path=home, format="raw", target="vdc", flags=["shareable"])
        facts = shapes.define(facts, DiskSpec(path=disk), shared)
        before = home.read_bytes()
        (said,) = await refusals(session, facts, disk)
        assert "disk vdc is shareable and writable" in said
        assert home.read_bytes() == before

    play(scenario)
