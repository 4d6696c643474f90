"""The clone's XML: nothing of the source's identity or host survives in it, and the machine stays the same."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from tests.unit.providers.libvirt.documents import (
    DATA,
    DESKTOP,
    INCARNATION,
    INTENT,
    LAB,
    lab_source_with,
    read,
    values,
)

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Shape
from vmclone_operator.domain.errors import CloneError
from vmclone_operator.providers.libvirt import domain_xml
from vmclone_operator.providers.libvirt.clone_xml import CloneDisks, Overlay, clone_xml
from vmclone_operator.providers.libvirt.stamp import read_stamp

POOL = "/var/lib/libvirt/images"
SEED = f"{POOL}/vmclone-x-t1-seed.img"
LAB_DISKS = CloneDisks(
    overlays={"vda": Overlay(path=f"{POOL}/vmclone-x-t1-vda.qcow2", base=f"{POOL}/vmclone-base-y-f1-vda.qcow2")},
    left_out=frozenset({"vdb"}),
    seed=SEED,
)
DESKTOP_DISKS = CloneDisks(
    overlays={
        "vda": Overlay(path=f"{POOL}/over-vda.qcow2", base=f"{POOL}/base-vda.qcow2"),
        "vdc": Overlay(path=f"{POOL}/over-vdc.qcow2", base=f"{POOL}/base-vdc.qcow2"),
    },
    left_out=frozenset({"vde"}),
    seed=SEED,
)
SOURCES = {LAB: LAB_DISKS, DESKTOP: DESKTOP_DISKS}


def clone_of(source: ET.Element, disks: CloneDisks = LAB_DISKS) -> ET.Element:
    return domain_xml.parsed(clone_xml(source, INTENT, disks))


def desktop() -> ET.Element:
    return clone_of(read(DESKTOP), DESKTOP_DISKS)


def _canonical(text: str) -> str:
    return ET.canonicalize(text, strip_text=True)


def test_the_labs_source_becomes_exactly_this_clone() -> None:
    assert _canonical(clone_xml(read(LAB), INTENT, LAB_DISKS)) == _canonical((DATA / "lab-clone.xml").read_text())


def test_the_sources_own_document_stays_as_it_is() -> None:
    source = read(DESKTOP)
    clone_xml(source, INTENT, DESKTOP_DISKS)
    assert ET.tostring(source) == ET.tostring(read(DESKTOP))


OWN = {
    LAB: {
        "src1",
        "654e6657-ea22-4535-a347-9654021db39a",
        "52:54:00:af:64:8b",
        "/var/lib/libvirt/images/src1.qcow2",
        "/var/lib/libvirt/images/src1-seed.img",
        "/var/log/libvirt/qemu/src1-console.log",
    },
    DESKTOP: {
        'a<b&"c',
        'golden <image> of team "a"',
        "1b4e28ba-2fa1-41d2-883f-0016d3cca427",
        "6c6a2f7e-93c1-4d0e-9b3c-8d2f0a4f1e55",
        "52:54:00:AA:BB:01",
        "52:54:00:aa:bb:02",
        "0d9c1f7e-6f0b-4f0e-9d7a-3f0c5a9f2b11",
        "9c1d2f3e-7a0b-4c1e-8d7a-1f0c5a9f2b22",
        '/srv/vm/a<b&"c.snap1',
        '/srv/vm/a<b&"c.qcow2',
        "data-disk.raw",
        "golden",
        "/srv/vm/source-seed.img",
        "vnet3",
        "vnet4",
        "/run/consoles/source.sock",
        "/var/log/source-serial.log",
        "/var/lib/libvirt/qemu/channel/target/domain-7-source/org.qemu.guest_agent.0",
        "5901",
        "hunter2",
        "41",
        "+1042:+1042",
        "/machine/team-a",
    },
}


@pytest.mark.parametrize("name", [LAB, DESKTOP])
def test_nothing_that_is_the_sources_own_survives(name: str) -> None:
    assert OWN[name] <= values(read(name)), "the document no longer holds what this test looks for"
    assert OWN[name] & values(clone_of(read(name), SOURCES[name])) == set()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("name", INTENT.vm_name, id="it has the clone's name"),
        pytest.param("uuid", INTENT.uuid, id="it has the clone's UUID"),
        pytest.param("sysinfo/system/entry[@name='uuid']", INTENT.uuid, id="the firmware shows the clone's UUID"),
        pytest.param("sysinfo/system/entry[@name='manufacturer']", "Example", id="other firmware entries stay"),
        pytest.param("currentMemory", "1048576", id="its memory stays"),
        pytest.param("cpu/model", "qemu64", id="its CPU stays"),
        pytest.param("os/type", "hvm", id="its machine type stays"),
        pytest.param("on_reboot", "restart", id="what happens at a reboot stays"),
    ],
)
def test_the_clone_is_the_same_machine_under_its_own_name(path: str, expected: str) -> None:
    assert desktop().findtext(path) == expected


def test_the_generation_id_is_there_and_empty_so_that_libvirt_draws_a_new_one() -> None:
    assert [element.text for element in desktop().findall("genid")] == [None]


@pytest.mark.parametrize("tag", ["title", "description", "seclabel", "devices//alias", "devices//log"])
def test_what_ties_the_source_to_its_place_is_dropped(tag: str) -> None:
    assert [*desktop().findall(tag), *clone_of(read(LAB)).findall(tag)] == []


def test_the_clone_carries_our_stamp_and_no_other_metadata() -> None:
    assert read_stamp(desktop()) == (INTENT.stamp, INTENT.token)
    assert len(desktop().findall("metadata/*")) == 1


def test_every_network_card_has_a_new_address_and_a_link_that_is_down() -> None:
    cards = desktop().findall("devices/interface")
    found = [(card.find("mac"), card.find("link")) for card in cards]
    macs = [mac.get("address") for mac, _ in found if mac is not None]
    assert macs == [naming.mac_address(INCARNATION, 0), naming.mac_address(INCARNATION, 1)]
    assert [link.attrib for _, link in found if link is not None] == [{"state": "down"}] * 2
    assert all(len(card.findall("link")) == 1 for card in cards)


def test_every_network_card_stays_in_its_network() -> None:
    sources = [source.attrib for source in desktop().findall("devices/interface/source")]
    assert [source.get("network") or source.get("bridge") for source in sources] == ["default", "br-lan"]
    assert len(desktop().findall("devices/interface/virtualport[@type='openvswitch']")) == 1


def _disk(document: ET.Element, target: str) -> ET.Element:
    (found,) = (disk for disk in document.findall("devices/disk") if disk.find(f"target[@dev='{target}']") is not None)
    return found


@pytest.mark.parametrize("target", ["vda", "vdc"])
def test_a_copied_disk_is_a_qcow2_overlay_that_names_its_base(target: str) -> None:
    disk, overlay = _disk(desktop(), target), DESKTOP_DISKS.overlays[target]
    assert (disk.get("type"), disk.get("device")) == ("file", "disk")
    assert [source.attrib for source in disk.findall("source")] == [{"file": overlay.path}]
    assert [source.attrib for source in disk.findall("backingStore/source")] == [{"file": overlay.base}]
    assert [driver.get("type") for driver in disk.findall("driver")] == ["qcow2"]
    assert [driver.get("discard") for driver in disk.findall("driver")] == ["unmap"]


def test_a_copied_disk_keeps_its_slot_and_how_it_is_cached() -> None:
    disk, before = _disk(desktop(), "vda"), _disk(read(DESKTOP), "vda")
    driver, address, old = disk.find("driver"), disk.find("address"), before.find("address")
    assert driver is not None
    assert (driver.get("cache"), driver.get("io")) == ("none", "native")
    assert address is not None
    assert old is not None
    assert address.attrib == old.attrib


def test_the_sources_seed_is_left_out_and_shared_media_stay() -> None:
    targets = [disk.target for disk in domain_xml.disks(desktop())]
    assert targets == ["vda", "vdc", "vdd", "vde", "sda", "sdb"]


def test_our_seed_takes_the_place_of_the_sources_and_moves_no_other_disk() -> None:
    seed, before = _disk(desktop(), "vde"), _disk(read(DESKTOP), "vde")
    assert [source.get("file") for source in seed.findall("source")] == [SEED]
    assert [driver.get("type") for driver in seed.findall("driver")] == ["raw"]
    assert [seat.attrib for seat in seed.findall("address")] == [seat.attrib for seat in before.findall("address")]
    assert len(seed.findall("readonly")) == 1


@pytest.mark.parametrize(
    "disks",
    [
        pytest.param(CloneDisks(overlays={}, left_out=frozenset({"vdb"}), seed=SEED), id="a disk nobody copied"),
        pytest.param(
            CloneDisks(overlays={"vdx": LAB_DISKS.overlays["vda"]}, left_out=frozenset({"vdb"}), seed=SEED),
            id="a disk that was renamed meanwhile",
        ),
    ],
)
def test_a_writable_disk_of_the_source_is_never_attached_to_the_clone(disks: CloneDisks) -> None:
    with pytest.raises(CloneError, match="vda"):
        clone_of(read(LAB), disks)


@pytest.mark.parametrize(
    ("fragment", "kind"),
    [
        pytest.param("<serial type='file'><source path='/s.log'/><target port='1'/></serial>", "pty", id="a log file"),
        pytest.param("<serial type='dev'><source path='/dev/ttyS0'/><target port='1'/></serial>", "pty", id="a tty"),
        pytest.param(
            "<serial type='unix'><source mode='bind' path='/s.sock'/><target port='1'/></serial>", "pty", id="a socket"
        ),
        pytest.param(
            "<serial type='tcp'><source mode='bind' host='h'/><protocol type='raw'/><target port='1'/></serial>",
            "pty",
            id="a TCP port",
        ),
        pytest.param(
            "<serial type='pty'><source path='/dev/pts/3'/><target port='1'/></serial>", "pty", id="a terminal"
        ),
        pytest.param("<serial type='nmdm'><source master='/dev/a' slave='/dev/b'/></serial>", "pty", id="a null modem"),
        pytest.param("<serial type='null'><target port='1'/></serial>", "null", id="no output stays no output"),
    ],
)
def test_a_serial_port_is_freed_of_the_sources_end(fragment: str, kind: str) -> None:
    port = clone_of(lab_source_with("devices", fragment)).findall("devices/serial")[-1]
    assert (port.get("type"), port.findall("source"), port.findall("protocol")) == (kind, [], [])


def test_the_agents_channel_stays_a_socket_that_libvirt_names() -> None:
    (channel,) = (c for c in desktop().findall("devices/channel") if c.get("type") == "unix")
    assert channel.findall("source") == []
    assert [target.get("name") for target in channel.findall("target")] == ["org.qemu.guest_agent.0"]


def test_graphics_get_a_port_of_their_own_and_keep_where_they_listen() -> None:
    (graphics,) = desktop().findall("devices/graphics")
    assert (graphics.get("port"), graphics.get("autoport"), graphics.get("passwd")) == (None, "yes", None)
    assert [listen.attrib for listen in graphics.findall("listen")] == [{"type": "address", "address": "127.0.0.1"}]


@pytest.mark.parametrize("kind", ["egl-headless", "sdl", "dbus"])
def test_a_screen_without_a_port_gets_none(kind: str) -> None:
    source = lab_source_with("devices", f"<graphics type='{kind}'><gl enable='yes'/></graphics>")
    (graphics,) = clone_of(source).findall("devices/graphics")
    assert graphics.attrib == {"type": kind}


def test_a_copied_disk_keeps_its_serial_and_whatever_is_written_to_it() -> None:
    disk = _disk(desktop(), "vda")
    assert (disk.findtext("serial"), disk.find("transient")) == ("DATA-0001", None)


FIRMWARE = """<x>
<sysinfo type='smbios'>
  <baseBoard><entry name='product'>B</entry><entry name='serial'>S</entry><entry name='asset'>A</entry></baseBoard>
  <chassis><entry name='sku'>C</entry><entry name='serial'>S</entry><entry name='asset'>A</entry></chassis>
  <oemStrings><entry>io.systemd.credential:mycred=golden-secret</entry></oemStrings>
</sysinfo>
<sysinfo type='fwcfg'><entry name='opt/io.systemd.credentials/a'>golden-secret</entry></sysinfo>
</x>"""


def test_no_credential_and_no_serial_number_reaches_the_clone_through_its_firmware() -> None:
    source = read(LAB)
    source.extend(domain_xml.parsed(FIRMWARE))
    (system,) = clone_of(source).findall("sysinfo")
    assert [(entry.get("name"), entry.text) for entry in system.iter("entry")] == [("product", "B"), ("sku", "C")]
    assert system.find("oemStrings") is None


def test_a_filter_keeps_its_rules_and_not_the_addresses_of_the_source() -> None:
    parameters = {"IP": "10.0.0.9", "IPV6": "fd00::9", "MAC": "52:54:00:01:00:02", "DHCPSERVER": "10.0.0.1"}
    card = "".join(f"<parameter name='{name}' value='{value}'/>" for name, value in parameters.items())
    fragment = f"<interface type='user'><filterref filter='clean-traffic'>{card}</filterref></interface>"
    (rules,) = clone_of(lab_source_with("devices", fragment)).findall("devices/interface/filterref")
    assert (rules.get("filter"), [one.get("name") for one in rules]) == ("clean-traffic", ["DHCPSERVER"])


def test_a_vsock_gets_an_address_of_its_own() -> None:
    assert [cid.attrib for cid in desktop().findall("devices/vsock/cid")] == [{"auto": "yes"}]


def test_markup_in_names_stays_text() -> None:
    source = read(LAB)
    disks = CloneDisks(
        overlays={"vda": Overlay(path="/p/a<b&\"c'.qcow2", base="/p/]]>.qcow2")},
        left_out=frozenset({"vdb"}),
        seed="/p/<s>",
    )
    paths = domain_xml.file_paths(clone_of(source, disks))
    assert paths == {"/p/a<b&\"c'.qcow2", "/p/]]>.qcow2", "/p/<s>"}


def test_a_full_copy_has_nothing_below_it_and_nobody_looks_for_it() -> None:
    disks = CloneDisks(overlays={"vda": Overlay(path="/p/full.qcow2")}, left_out=frozenset({"vdb"}), seed=SEED)
    disk = _disk(clone_of(read(LAB), disks), "vda")
    assert [source.get("file") for source in disk.findall("source")] == ["/p/full.qcow2"]
    assert [(below.attrib, list(below)) for below in disk.findall("backingStore")] == [({}, [])]


def test_added_network_cards_get_addresses_of_their_own_and_links_that_are_down() -> None:
    intent = replace(INTENT, shape=Shape(networks=("default", "blue")))
    cards = domain_xml.parsed(clone_xml(read(LAB), intent, LAB_DISKS)).findall("devices/interface")
    macs = [mac.get("address") for card in cards for mac in card.findall("mac")]
    assert macs == [naming.mac_address(INCARNATION, 0), naming.mac_address(INCARNATION, 1)]
    assert [link.get("state") for card in cards for link in card.findall("link")] == ["down", "down"]
