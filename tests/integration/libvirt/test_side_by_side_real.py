"""A source and its clones run side by side on a real libvirtd: what belongs to one machine alone is each one's own."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from dataclasses import replace

import libvirt
import pytest
from tests.contract.libvirt_backend import LibvirtFacts
from tests.integration.libvirt import shapes
from tests.integration.libvirt.steps import clone_intent, play

from vmclone_operator.domain.backend import BackendSession, Stamp
from vmclone_operator.providers.libvirt import domain_xml

pytestmark = pytest.mark.libvirt
OS = "<os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/><smbios mode='sysinfo'/></os>"
DEVICES = """
<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
<interface type='user'><mac address='52:54:00:00:00:02'/><model type='e1000'/></interface>
<serial type='pty'><log file='{folder}/serial.log'/></serial>
<channel type='unix'>
  <source mode='bind' path='{folder}/agent-of-the-source.sock'/><target type='virtio' name='org.qemu.guest_agent.0'/>
</channel>
<graphics type='vnc' port='5942' autoport='no' listen='127.0.0.1'/>
<video><model type='vga'/></video>
"""
ADDED = """
<added>
  <title>The golden one</title>
  <description>nobody else's</description>
  <genid>6c6a2f7e-93c1-4d0e-9b3c-8d2f0a4f1e55</genid>
  <sysinfo type='smbios'><system>
    <entry name='manufacturer'>Example</entry><entry name='serial'>S-1</entry><entry name='uuid'>{uuid}</entry>
  </system></sysinfo>
</added>
"""
OWN = {
    "the name": "name",
    "the UUID": "uuid",
    "the generation id": "genid",
    "what the firmware calls the UUID": "sysinfo/system/entry[@name='uuid']",
}
OWN_OF_DEVICES = {
    "the first card's address": ("devices/interface[1]/mac", "address"),
    "the second card's address": ("devices/interface[2]/mac", "address"),
    "the agent's socket": ("devices/channel/source", "path"),
    "the port of its screen": ("devices/graphics", "port"),
    "its disk": ("devices/disk[1]/source", "file"),
}
KEPT = (
    *("memory", "vcpu", "os/type", "os/boot", "cpu", "features/acpi", "sysinfo/system/entry[@name='manufacturer']"),
    *("devices/interface[1]/model", "devices/interface[2]/model", "devices/disk[1]/target", "devices/video/model"),
)


def _rich(facts: LibvirtFacts) -> LibvirtFacts:
    """Define a source with everything that two machines on one host cannot both have."""
    disk = shapes.DiskSpec(path=shapes.image(facts, "src.qcow2", "AB"))
    facts = shapes.define(facts, disk, os=OS, devices=DEVICES.format(folder=facts.pool_path))
    xml = domain_xml.parsed(shapes.domain_of(facts).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    xml.extend(ET.fromstring(ADDED.format(uuid=facts.source_id)))  # noqa: S314 - ours
    facts.connection.defineXML(ET.tostring(xml, encoding="unicode"))
    return facts


def _values(domains: list[ET.Element], path: str, attribute: str = "") -> list[str]:
    found = [domain.find(path) for domain in domains]
    return [
        "" if element is None else (element.get(attribute, "") if attribute else element.text or "")
        for element in found
    ]


def _shown(element: ET.Element | None) -> str:
    return "" if element is None else ET.canonicalize(ET.tostring(element, encoding="unicode"), strip_text=True)


async def _side_by_side(session: BackendSession, facts: LibvirtFacts) -> tuple[list[ET.Element], list[Stamp]]:
    """Make two clones of the source and start all three; return what libvirt says of them as they run."""
    first = await shapes.cloned(session, facts)
    second = replace(first, ordinal=2, incarnation=str(uuid.uuid4()))
    await session.start_clone(clone_intent(facts, second, "f1"))
    running = [shapes.domain_of(facts), *(shapes.clone_domain(facts, stamp) for stamp in (first, second))]
    for domain in running:
        domain.create()
    assert all(domain.isActive() for domain in running)
    return [domain_xml.parsed(domain.XMLDesc()) for domain in running], [first, second]


def test_source_and_clones_run_side_by_side_and_share_nothing_that_is_ones_own() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts = _rich(facts)
        machines, stamps = await _side_by_side(session, facts)
        own = {what: _values(machines, path) for what, path in OWN.items()}
        own |= {what: _values(machines, *where) for what, where in OWN_OF_DEVICES.items()}
        assert {what: values for what, values in own.items() if len({*values} - {""}) != 3} == {}
        assert own["what the firmware calls the UUID"] == own["the UUID"]
        _, *clones = machines
        for path in ("title", "description", "devices/serial/log", "sysinfo/system/entry[@name='serial']"):
            assert all(clone.find(path) is None for clone in clones), path
        source, clone = (
            domain_xml.parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
            for domain in (shapes.domain_of(facts), shapes.clone_domain(facts, stamps[0]))
        )
        assert {path for path in KEPT if _shown(source.find(path)) != _shown(clone.find(path))} == set()
        assert all(source.find(path) is not None for path in KEPT if path != "cpu")

    play(scenario)
