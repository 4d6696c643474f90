"""Definitions as other people write them, cloned powered off on a real libvirtd: what of them reaches the clone."""

from __future__ import annotations

import json
import shlex
import uuid
import xml.etree.ElementTree as ET

import libvirt
import pytest
from tests.contract.libvirt_backend import LibvirtFacts
from tests.integration.libvirt import shapes
from tests.integration.libvirt.shapes import DiskSpec
from tests.integration.libvirt.steps import play

from vmclone_operator.domain.backend import BackendSession, PlanWish, Seed
from vmclone_operator.providers.libvirt import definition_check, domain_xml
from vmclone_operator.providers.seed import seed_image

pytestmark = pytest.mark.libvirt
Q35, I440FX = (f"<os><type arch='x86_64' machine='{name}'>hvm</type><boot dev='hd'/></os>" for name in ("q35", "pc"))
QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"


def configuration(domain: libvirt.virDomain) -> ET.Element:
    return domain_xml.parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))


async def clone_of(session: BackendSession, facts: LibvirtFacts, *, starts: bool = False) -> ET.Element:
    """Clone a source against which nothing speaks; return the clone's definition, and leave the source's as it was.

    `starts`: QEMU takes the clone, too, beside its source.
    """
    before = ET.tostring(configuration(shapes.domain_of(facts)))
    source = await session.describe_source(facts.source_id)
    assert list(await session.preflight(source, PlanWish(replicas=1))) == []
    stamp = await shapes.cloned(session, facts)
    clone = shapes.clone_domain(facts, stamp)
    found = configuration(clone)
    assert ET.tostring(configuration(shapes.domain_of(facts))) == before
    for domain in (shapes.domain_of(facts), clone) if starts else ():
        domain.create()
    if starts:
        shapes.domain_of(facts).destroy()
    await shapes.removed(session, stamp)
    return found


def plain(facts: LibvirtFacts, devices: str = "", name: str = "vm") -> LibvirtFacts:
    return shapes.define(facts, DiskSpec(path=shapes.image(facts, f"{name}.qcow2", "A")), devices=devices, name=name)


def test_a_transient_disk_is_an_ordinary_one_of_the_clone() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts = shapes.define(facts, DiskSpec(path=shapes.image(facts, "s.qcow2", "A"), flags=["transient"]))
        assert (await clone_of(session, facts)).find("devices/disk/transient") is None

    play(scenario)


FIRMWARE = """<sysinfo type='smbios'>
  <system><entry name='manufacturer'>Example</entry><entry name='serial'>S-1</entry></system>
  <baseBoard><entry name='product'>B</entry><entry name='serial'>S-2</entry><entry name='asset'>A-2</entry></baseBoard>
  <chassis><entry name='serial'>S-3</entry><entry name='asset'>A-3</entry></chassis>
  <oemStrings><entry>io.systemd.credential:mycred=golden-secret</entry></oemStrings>
</sysinfo>"""
KEYS = """<sysinfo type='fwcfg'>
  <entry name='opt/io.systemd.credentials/a'>golden-secret</entry>
  <entry name='opt/com.coreos/config' file='/etc/hostname'/>
</sysinfo>"""


def test_no_credential_and_no_serial_number_reaches_the_clone_through_its_firmware() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        system = "<os><type arch='x86_64' machine='q35'>hvm</type><smbios mode='sysinfo'/></os>"
        facts = shapes.define(facts, DiskSpec(path=shapes.image(facts, "s.qcow2", "A")), os=system)
        shapes.extend(facts, FIRMWARE, KEYS)
        clone = await clone_of(session, facts)
        entries = [(entry.get("name"), entry.text) for entry in clone.findall("sysinfo//entry")]
        assert entries == [("manufacturer", "Example"), ("product", "B")]
        assert clone.find("os/smbios[@mode='sysinfo']") is not None

    play(scenario)


def test_no_credential_reaches_the_clone_through_its_kernels_command_line() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        line = "root=/dev/vda systemd.set_credential=a:golden-secret ds=nocloud;h=source quiet"
        system = f"<os><type arch='x86_64'>hvm</type><kernel>/boot/k</kernel><cmdline>{line}</cmdline></os>"
        facts = shapes.define(facts, DiskSpec(path=shapes.image(facts, "s.qcow2", "A")), os=system)
        assert (await clone_of(session, facts)).findtext("os/cmdline") == "root=/dev/vda quiet"

    play(scenario)


SCREENS = {
    "egl-headless": "<graphics type='egl-headless'><gl rendernode='/dev/dri/renderD128'/></graphics>",
    "sdl": "<graphics type='sdl' display=':0.0'/>",
    "dbus": "<graphics type='dbus'/>",
}


@pytest.mark.parametrize("kind", SCREENS)
def test_a_screen_without_a_port_stays_as_it_is(kind: str) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts = plain(facts, "<graphics type='vnc' port='5955' autoport='no' passwd='hunter2'/>" + SCREENS[kind])
        before = configuration(shapes.domain_of(facts)).find(f"devices/graphics[@type='{kind}']")
        clone = await clone_of(session, facts)
        after = clone.find(f"devices/graphics[@type='{kind}']")
        assert after is not None
        assert before is not None
        assert ET.canonicalize(ET.tostring(after, encoding="unicode"), strip_text=True) == ET.canonicalize(
            ET.tostring(before, encoding="unicode"), strip_text=True
        )
        (vnc,) = clone.findall("devices/graphics[@type='vnc']")
        assert (vnc.get("autoport"), vnc.get("passwd")) == ("yes", None)

    play(scenario)


def booted_first(facts: LibvirtFacts, domain: ET.Element) -> str:
    """Return which disk QEMU is told to boot first."""
    words = shlex.split(facts.connection.domainXMLToNative("qemu-argv", ET.tostring(domain, encoding="unicode"), 0))
    devices = [json.loads(word) for word in words if word.startswith('{"driver"')]
    (first,) = (device["id"] for device in devices if device.get("bootindex") == 1)
    return str(first)


@pytest.mark.parametrize(
    ("target", "bus", "seed"),
    [("vdb", "virtio", "vdc"), ("sda", "sata", "vda"), ("sda", "scsi", "vda"), ("sda", "usb", "vda")],
)
def test_the_firmware_boots_the_disk_that_the_source_boots(target: str, bus: str, seed: str) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        disk = DiskSpec(path=shapes.image(facts, "s.qcow2", "A"), target=target, bus=bus)
        facts = shapes.define(facts, disk, os=Q35)
        clone = await clone_of(session, facts)
        assert {one.target for one in domain_xml.disks(clone)} == {target, seed}
        source = configuration(shapes.domain_of(facts))
        assert booted_first(facts, clone) == booted_first(facts, source)

    play(scenario)


def way_to(domain: ET.Element, target: str) -> tuple[int, ...]:
    """Return where a guest finds a disk: slots and functions from the first bus on, 1 before those of bridges.

    Linux finds what is on a bus before what is behind the bridges of that bus.
    """
    disks = zip(domain.findall("devices/disk"), domain_xml.disks(domain), strict=True)
    (element,) = (element for element, disk in disks if disk.target == target)
    address, kind, way = element.find("address"), 0, tuple[int, ...]()
    while address is not None:
        bus, slot, function = (int(address.get(name, "0"), 0) for name in ("bus", "slot", "function"))
        way = (kind, slot, function, *way)
        bridge = domain.find(f"devices/controller[@type='pci'][@index='{bus}']")
        address, kind = (None if bus == 0 or bridge is None else bridge.find("address")), 1
    return way


@pytest.mark.parametrize(
    ("system", "seat"),
    [
        pytest.param(Q35, "<address type='pci' domain='0' bus='6' slot='0' function='0'/>", id="q35, bus 3 is free"),
        pytest.param(
            I440FX, "<address type='pci' domain='0' bus='0' slot='7' function='0'/>", id="i440fx, slot 4 is free"
        ),
        pytest.param(
            I440FX,
            "<address type='pci' domain='0' bus='0' slot='31' function='0'/>",
            id="i440fx, the last slot is taken",
        ),
    ],
)
def test_the_seed_comes_after_all_disks_of_the_source_where_a_slot_before_them_is_free(system: str, seat: str) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        path = shapes.image(facts, "s.qcow2", "A")
        disk = f"<disk type='file'><driver name='qemu' type='qcow2'/><source file='{path}'/><target dev='vda'/>{seat}"
        facts = shapes.define(facts, os=system, devices=f"{disk}</disk>")
        clone = await clone_of(session, facts, starts=True)
        assert way_to(clone, "vda") == way_to(configuration(shapes.domain_of(facts)), "vda")
        assert way_to(clone, "vdb") > way_to(clone, "vda")

    play(scenario)


@pytest.mark.parametrize("bus", ["virtio", "scsi", "sata", "usb"])
def test_the_seed_takes_the_place_of_the_sources_seed_and_moves_no_disk_behind_it(bus: str) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        seed = facts.pool_path / "seed.iso"
        seed.write_bytes(seed_image(Seed(instance_id="i", hostname="h")))
        letters = "vd" if bus == "virtio" else "sd"
        disks = [
            DiskSpec(path=shapes.image(facts, f"{letter}.qcow2", "A"), target=f"{letters}{letter}", bus=bus)
            for letter in "ac"
        ]
        theirs = DiskSpec(path=seed, format="raw", target=f"{letters}b", bus=bus)
        facts = shapes.define(facts, disks[0], theirs, disks[1])
        source, clone = configuration(shapes.domain_of(facts)), await clone_of(session, facts, starts=True)
        places = [[(disk.target, way_to(vm, disk.target)) for disk in domain_xml.disks(vm)] for vm in (source, clone)]
        assert places[0] == places[1]
        assert domain_xml.disks(clone)[1].path.endswith("-seed.iso")

    play(scenario)


def test_a_data_disk_keeps_the_serial_number_that_the_guests_fstab_names() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        path = shapes.image(facts, "data.qcow2", "B")
        disk = f"<disk type='file'><driver name='qemu' type='qcow2'/><source file='{path}'/><target dev='vdb'/>"
        facts = plain(facts, f"{disk}<serial>DATA-0002</serial></disk>")
        clone = await clone_of(session, facts)
        assert [disk.findtext("serial") for disk in clone.findall("devices/disk")] == [None, "DATA-0002", None]

    play(scenario)


DEVICES = """
<interface type='user'><mac address='52:54:00:01:00:02'/></interface>
<interface type='bridge'><source bridge='br7'/><filterref filter='clean-traffic'>
  <parameter name='IP' value='10.90.64.77'/><parameter name='MAC' value='52:54:00:01:00:03'/></filterref></interface>
<serial type='tcp'><source mode='bind' host='127.0.0.1' service='4555'/><protocol type='telnet'/></serial>
<channel type='tcp'><source mode='bind' host='127.0.0.1' service='4556'/><protocol type='raw'/>
  <target type='virtio' name='com.example.port'/></channel>
<audio id='1' type='file' path='/srv/sound.wav'/><sound model='ich9'><audio id='1'/></sound>
<vsock model='virtio'><cid auto='no' address='41'/></vsock>
<rng model='virtio'><alias name='ua-entropy'/><backend model='random'>/dev/urandom</backend></rng>
"""
OVERRIDE = (
    f"<q:override xmlns:q='{QEMU[1:-1]}'><q:device alias='ua-entropy'><q:frontend>"
    "<q:property name='disable-legacy' type='string' value='on'/></q:frontend></q:device></q:override>"
)
HOST_ENDS = {"10.90.64.77", "52:54:00:01:00:02", "52:54:00:01:00:03", "4555", "4556", "41"}


def values(document: ET.Element) -> set[str]:
    return {value for element in document.iter() for value in (*element.attrib.values(), element.text or "")}


def test_host_ends_of_devices_are_the_clones_own_and_what_refers_to_a_device_stays_with_it() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts = plain(facts, DEVICES)
        shapes.extend(facts, OVERRIDE)
        source = configuration(shapes.domain_of(facts))
        assert HOST_ENDS | {"/srv/sound.wav"} <= values(source), "libvirt no longer keeps what this test looks for"
        clone = await clone_of(session, facts)
        assert (HOST_ENDS | {"/srv/sound.wav"}) & values(clone) == set()
        assert [alias.get("name") for alias in clone.findall("devices/rng/alias")] == ["ua-entropy"]
        assert [one.get("alias") for one in clone.findall(f"{QEMU}override/{QEMU}device")] == ["ua-entropy"]
        assert [one.get("type") for one in clone.findall("devices/audio")] == ["none"]

    play(scenario)


SOUND_CARD = "<input dev='/dev/dsp0' bufferCount='2' tryPoll='yes'/>"
CLIENT = "serverName='s' clientName='c' connectPorts='p' exactName='yes'"
KINDS = {
    "a screen on a socket": "<graphics type='vnc' socket='/srv/x.sock'/>",
    "a screen that listens on a socket": "<graphics type='spice'><listen type='socket' socket='/srv/x'/></graphics>",
    "a screen that listens nowhere": "<graphics type='spice'><listen type='none'/></graphics>",
    "a port forwarded from the guest": "<channel type='tcp'><source mode='bind' host='127.0.0.1' service='4556'/>"
    "<protocol type='raw'/><target type='guestfwd' address='10.0.2.1' port='4600'/></channel>",
    "a serial port on UDP": "<serial type='udp'><source mode='bind' host='127.0.0.1' service='4556'/>"
    "<source mode='connect' host='127.0.0.1' service='4557'/></serial>",
    "a serial port of the screen": "<serial type='spiceport'><source channel='org.qemu.console.serial.0'/></serial>"
    "<graphics type='spice'/>",
    "a null modem": "<serial type='nmdm'><source master='/dev/nmdm0A' slave='/dev/nmdm0B'/></serial>",
    "a printer into a file": "<parallel type='file'><source path='/srv/p'/></parallel>",
    "an agent of the screen": "<channel type='qemu-vdagent'><source><clipboard copypaste='yes'/>"
    "<mouse mode='client'/></source><target type='virtio' name='com.redhat.spice.0'/></channel>",
    "what is emulated alone": "<watchdog model='i6300esb' action='reset'/><iommu model='intel'/><panic model='isa'/>"
    "<hub type='usb'/><memballoon model='virtio'><stats period='5'/></memballoon>",
    "redirection": "<redirfilter><usbdev class='0x08' allow='yes'/></redirfilter><redirdev bus='usb' type='spicevmc'/>"
    "<smartcard mode='passthrough' type='spicevmc'/><graphics type='spice'/>",
    "cards on a device and on a private network": "<interface type='direct'><source dev='lo'/></interface>"
    "<interface type='user'><ip family='ipv4' address='172.17.2.0' prefix='24'/></interface>",
    "sound of a card": f"<audio id='1' type='oss' tryMMap='yes' exclusive='yes'>{SOUND_CARD}</audio>",
    "sound of a server": f"<audio id='1' type='jack'><output {CLIENT}/></audio>",
    "two graphics cards": "<video><model type='qxl' ram='65536' vram='65536' vgamem='16384' heads='1'/></video>"
    "<video><model type='virtio'><resolution x='800' y='600'/></model></video>",
}


def test_devices_of_every_kind_are_cloned_by_libvirts_own_rules() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        for number, (kind, device) in enumerate(KINDS.items()):
            one = plain(facts, device, name=f"vm{number}")
            clone = await clone_of(session, one)
            assert not {"/srv/x.sock", "/srv/x", "/srv/p", "4556", "4557", "/dev/dsp0", "c"} & values(clone), kind

    play(scenario)


def test_what_is_made_by_a_check_whose_source_is_gone_is_taken_away_again() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        del session
        source = configuration(shapes.domain_of(plain(facts)))
        for name, identity in zip(source.findall("name"), source.findall("uuid"), strict=True):
            name.text, identity.text = f"{facts.pool_name}-check", str(uuid.uuid4())
        before = {domain.name() for domain in facts.connection.listAllDomains()}
        assert definition_check.asked(facts.connection, source) == []
        assert {domain.name() for domain in facts.connection.listAllDomains()} == before

    play(scenario)


def test_a_definition_that_libvirt_would_not_take_is_a_finding_that_names_the_element() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        screen = "<graphics type='vnc'><listen type='address' address='not/an/address'/></graphics>"
        facts = plain(facts, screen)
        before = facts.volume_names(), {domain.name() for domain in facts.connection.listAllDomains()}
        source = await session.describe_source(facts.source_id)
        (finding,) = await session.preflight(source, PlanWish(replicas=1))
        assert "<graphics type='vnc'>" in finding.message
        assert (facts.volume_names(), {domain.name() for domain in facts.connection.listAllDomains()}) == before

    play(scenario)
