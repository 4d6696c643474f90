"""What the adapter believes about a source, and what it refuses to clone, row by row."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from tests.unit.providers.libvirt.documents import DATA, DESKTOP, LAB, lab_source_with, lab_source_without, read

from vmclone_operator.domain.errors import CloneError
from vmclone_operator.providers.libvirt import domain_xml

UEFI_LOADER = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>"
DISK = "<disk type='{}' device='{}'><driver name='qemu' type='{}'/><source {}/><target dev='vdz' bus='virtio'/></disk>"


@pytest.mark.parametrize("text", [(DATA / "hostile-entities.xml").read_text(), "<!DOCTYPE domain><domain/>"])
def test_a_document_type_is_refused_before_anything_is_expanded(text: str) -> None:
    with pytest.raises(CloneError, match="document type"):
        domain_xml.parsed(text)


@pytest.mark.parametrize(
    ("path", "fragment", "sentence"),
    [
        pytest.param(
            "devices",
            DISK.format("network", "disk", "raw", "protocol='rbd' name='pool/image'"),
            "disk vdz is a network disk",
            id="a disk on the network is refused by name",
        ),
        pytest.param(
            "devices",
            DISK.format("dir", "disk", "fat", "dir='/srv'"),
            "disk vdz is a dir disk",
            id="a directory is refused",
        ),
        pytest.param(
            "devices",
            DISK.format("vhostuser", "disk", "raw", "type='unix' path='/run/v.sock'"),
            "disk vdz is a vhostuser disk",
            id="a vhost-user disk is refused",
        ),
        pytest.param(
            "devices",
            DISK.format("nvme", "disk", "raw", "type='pci' managed='yes' namespace='1'"),
            "disk vdz is a nvme disk",
            id="a whole NVMe device is refused",
        ),
        pytest.param(
            "devices",
            DISK.format("block", "lun", "raw", "dev='/dev/sdq'"),
            "SCSI LUN",
            id="a passed-through LUN is refused",
        ),
        pytest.param(
            "devices",
            DISK.format("file", "disk", "vmdk", "file='/a.vmdk'"),
            "format vmdk",
            id="an unknown format is refused",
        ),
        pytest.param(
            "devices",
            "<disk type='file' device='disk'><source file='/a'/><target dev='vdz'/></disk>",
            "disk vdz",
            id="a format that nobody wrote down is refused, never probed",
        ),
        pytest.param("devices", "<hostdev mode='subsystem' type='pci'/>", "hostdev", id="a PCI device is refused"),
        pytest.param("devices", "<hostdev mode='subsystem' type='usb'/>", "hostdev", id="a USB device is refused"),
        pytest.param(
            "devices", "<tpm><backend type='passthrough'/></tpm>", "TPM of its host", id="the host's own TPM is refused"
        ),
        pytest.param(
            "devices",
            "<tpm><backend type='external'/></tpm>",
            "another program",
            id="a TPM of somebody else's making is refused",
        ),
        pytest.param("devices", "<filesystem type='mount'/>", "host directory", id="a shared directory is refused"),
        pytest.param(
            "os",
            "<nvram type='network'><source protocol='iscsi' name='iqn/0'/></nvram>",
            "firmware variables (nvram) are copied from files only",
            id="firmware variables on the network are refused",
        ),
        pytest.param(
            ".",
            "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-x'/></q:commandline>",
            "qemu:commandline",
            id="QEMU arguments of its own are refused: they may name its files",
        ),
        pytest.param(
            "devices",
            "<interface type='hostdev'><mac address='52:54:00:00:00:01'/></interface>",
            "hostdev",
            id="a network card of the host is refused",
        ),
        pytest.param(
            "devices",
            "<interface type='vhostuser'><source type='unix' path='/run/n.sock' mode='client'/></interface>",
            "vhostuser",
            id="a vhost-user network card is refused: two VMs would share its socket",
        ),
        pytest.param(
            "devices",
            "<memory model='nvdimm'><source><path>/srv/nvdimm</path></source></memory>",
            "nvdimm",
            id="a memory module in a file is refused: two VMs would write it",
        ),
        *(
            pytest.param(
                "devices", f"<interface type='{kind}'><source port='11115'/></interface>", kind, id=f"{kind} card"
            )
            for kind in ("udp", "mcast", "client", "server")
        ),
        pytest.param(
            "devices",
            "<interface type='direct'><source dev='eth1' mode='passthrough'/></interface>",
            "passthrough",
            id="a network card that takes a device of the host whole is refused",
        ),
        pytest.param(
            "devices",
            DISK.format("file", "disk", "raw", "file='/srv/home.raw'").replace("</disk>", "<shareable/></disk>"),
            "disk vdz is shareable and writable",
            id="a disk that the clone and its source would both write is refused",
        ),
        pytest.param(
            "devices",
            DISK.format("file", "floppy", "raw", "file='/srv/floppy.img'"),
            "vdz",
            id="a writable floppy is refused: two VMs would write it",
        ),
        pytest.param(
            "devices",
            "<graphics type='egl-headless'><gl rendernode='/srv/render'/></graphics>",
            "device graphics is /srv/render, which the clone would share with its source and could write to",
            id="a path in a place that is kept is refused now, not when the clone is switched on",
        ),
    ],
)
def test_what_cannot_be_cloned_is_named_in_one_sentence(path: str, fragment: str, sentence: str) -> None:
    found = domain_xml.blockers(lab_source_with(path, fragment))
    assert [sentence in blocker for blocker in found] == [True], found


@pytest.mark.parametrize(
    ("path", "fragment"),
    [
        pytest.param("os", UEFI_LOADER, id="UEFI: its variables are copied"),
        pytest.param(
            "os", "<nvram type='file'><source file='/v.fd'/></nvram>", id="UEFI with variables in a named file"
        ),
        pytest.param("devices", "<tpm><backend type='emulator'/></tpm>", id="a virtual TPM: the clone gets a new one"),
        pytest.param(
            "devices",
            "<disk type='network' device='cdrom'><driver name='qemu' type='raw'/><source protocol='https' name='a.iso'>"
            "<host name='mirror.example' port='443'/></source><target dev='sdz'/><readonly/></disk>",
            id="a cdrom on the network: it is shared, not copied",
        ),
        pytest.param(
            "devices",
            "<graphics type='egl-headless'><gl rendernode='/dev/dri/renderD128'/></graphics>",
            id="a graphics card that the kernel gives to each program anew",
        ),
        pytest.param(
            "devices",
            "<graphics type='sdl' display=':0' xauth='/home/ana/.Xauthority'/>",
            id="the key of an X server, which is only read",
        ),
    ],
)
def test_what_need_not_be_copied_is_no_reason(path: str, fragment: str) -> None:
    assert domain_xml.blockers(lab_source_with(path, fragment)) == []


def test_a_virtual_tpm_is_not_copied_under_a_running_guest() -> None:
    (found,) = domain_xml.running_blockers(lab_source_with("devices", "<tpm><backend type='emulator'/></tpm>"))
    assert "shut the source down" in found
    assert domain_xml.running_blockers(read(LAB)) == []


def test_findings_are_told_all_at_once() -> None:
    source = lab_source_with("devices", "<hostdev mode='subsystem' type='pci'/>")
    for devices in source.findall("devices"):
        devices.append(domain_xml.parsed(DISK.format("network", "disk", "raw", "protocol='nbd' name='x'")))
        devices.append(domain_xml.parsed(DISK.format("file", "disk", "vdi", "file='/a.vdi'")))
    assert len(domain_xml.blockers(source)) == 3


def test_a_source_without_a_disk_of_its_own_is_called_corrupted() -> None:
    found = domain_xml.blockers(lab_source_without("devices", "disk"))
    assert len(found) == 1
    assert found[0].startswith("missing boot disk - the template may be corrupted")


def _booting(*orders: str, per_device: str = "devices/none") -> ET.Element:
    """Return the desktop source with this boot order, for the firmware or on one kind of device."""
    source = read(DESKTOP)
    for system in source.findall("os"):
        for boot in system.findall("boot"):
            system.remove(boot)
        system.extend(ET.Element("boot", dev=device) for device in orders)
    device = source.find(per_device)
    if device is not None:
        ET.SubElement(device, "boot", order="1")
    return source


@pytest.mark.parametrize(
    ("domain", "refused"),
    [
        pytest.param(_booting("hd"), False, id="from the disk"),
        pytest.param(_booting("network", "hd"), False, id="from the network, then the disk"),
        pytest.param(_booting(), False, id="without an order the firmware finds the disk"),
        pytest.param(_booting(per_device="devices/disk"), False, id="the disk has an order of its own"),
        pytest.param(_booting("cdrom"), True, id="from the cdrom only"),
        pytest.param(_booting(per_device="devices/interface"), True, id="from a network card only"),
    ],
)
def test_a_source_that_never_boots_from_its_disk_is_refused(domain: ET.Element, refused: bool) -> None:
    assert any("boot order" in blocker for blocker in domain_xml.blockers(domain)) is refused


@pytest.mark.parametrize("name", [LAB, DESKTOP])
def test_an_ordinary_source_is_not_refused(name: str) -> None:
    """Spice redirection is in every desktop VM that virt-manager makes, and ties it to nothing of the host."""
    assert domain_xml.blockers(read(name)) == []


def test_disks_are_read_as_the_xml_describes_them() -> None:
    found = [
        (d.target, d.kind, d.format, d.path or d.volume, d.shared, d.empty) for d in domain_xml.disks(read(DESKTOP))
    ]
    assert found == [
        ("vda", "file", "qcow2", '/srv/vm/a<b&"c.snap1', False, False),
        ("vdc", "volume", "raw", ("golden", "data-disk.raw"), False, False),
        ("vdd", "file", "raw", "/srv/vm/cluster-lock.raw", True, False),
        ("vde", "file", "raw", "/srv/vm/source-seed.img", True, False),
        ("sda", "file", "raw", "/srv/iso/debian-12.iso", True, False),
        ("sdb", "file", "", ("", ""), True, True),
    ]


def test_every_file_of_a_chain_counts_as_the_sources_own() -> None:
    assert {'/srv/vm/a<b&"c.snap1', '/srv/vm/a<b&"c.qcow2'} <= domain_xml.file_paths(read(DESKTOP))


def test_firmware_variables_count_as_the_vms_own_file() -> None:
    assert "/v/a b.fd" in domain_xml.file_paths(lab_source_with("os", "<nvram>/v/a b.fd</nvram>"))


def test_mac_addresses_are_compared_in_lower_case() -> None:
    assert domain_xml.macs(read(DESKTOP)) == ("52:54:00:aa:bb:01", "52:54:00:aa:bb:02")


def test_only_a_running_source_has_an_id() -> None:
    assert domain_xml.is_active(read(DESKTOP))
    assert not domain_xml.is_active(read(LAB))


def _with_links(*states: str) -> ET.Element:
    source = lab_source_without("devices", "interface")
    for state in states:
        for devices in source.findall("devices"):
            ET.SubElement(ET.SubElement(devices, "interface", type="network"), "link", state=state)
    return source


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        pytest.param(read(LAB), True, id="a link that is not mentioned is up"),
        pytest.param(_with_links("up"), True, id="a link that is said to be up is up"),
        pytest.param(_with_links("down"), False, id="a link that is down is down"),
        pytest.param(_with_links("down", "up"), False, id="one link that is down: not connected yet"),
        pytest.param(_with_links(), True, id="without a network card nothing holds it back"),
    ],
)
def test_links_are_up_when_none_is_held_down(domain: ET.Element, expected: bool) -> None:
    assert domain_xml.links_up(domain) is expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param({"name": "org.qemu.guest_agent.0", "state": "connected"}, True, id="a connected agent is seen"),
        pytest.param({"name": "org.qemu.guest_agent.0", "state": "disconnected"}, False, id="a silent agent is not"),
        pytest.param({"name": "org.qemu.guest_agent.0"}, False, id="a channel alone is no agent"),
        pytest.param({"name": "com.redhat.spice.0", "state": "connected"}, False, id="another channel is no agent"),
    ],
)
def test_the_agent_is_seen_on_its_own_channel_only(target: dict[str, str], expected: bool) -> None:
    domain = ET.Element("domain")
    channel = ET.SubElement(ET.SubElement(domain, "devices"), "channel", type="unix")
    ET.SubElement(channel, "target", target)
    assert domain_xml.agent_connected(domain) is expected


BASE = ("uuid-1", {"vda": ("/a", 10), "vdb": ("/b", 20)})


@pytest.mark.parametrize(
    ("uuid", "sizes", "same"),
    [
        pytest.param("uuid-1", {"vdb": ("/b", 20), "vda": ("/a", 10)}, True, id="the order of disks does not matter"),
        pytest.param("uuid-2", BASE[1], False, id="another VM has another fingerprint"),
        pytest.param("uuid-1", {"vda": ("/a", 11), "vdb": ("/b", 20)}, False, id="a resized disk changes it"),
        pytest.param("uuid-1", {"vda": ("/a", 10)}, False, id="a removed disk changes it"),
        pytest.param("uuid-1", {"vda": ("/c", 10), "vdb": ("/b", 20)}, False, id="an exchanged disk changes it"),
        pytest.param("uuid-1", {"vda": ("/b", 20), "vdb": ("/a", 10)}, False, id="swapped disks change it"),
    ],
)
def test_the_fingerprint_changes_with_the_source_and_not_with_the_listing(
    uuid: str, sizes: dict[str, tuple[str, int]], same: bool
) -> None:
    assert domain_xml.fingerprint(*BASE).startswith("sha256:")
    assert (domain_xml.fingerprint(uuid, sizes) == domain_xml.fingerprint(*BASE)) is same
