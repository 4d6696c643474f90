"""What a clone can write and what its source names: pure, over XML documents."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from vmclone_operator.providers.libvirt.places import named, overlap, writable


def vm(devices: str = "", head: str = "") -> ET.Element:
    text = (
        f"<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>{head}<devices>{devices}</devices></domain>"
    )
    return ET.fromstring(text)  # noqa: S314 - ours


def disk(path: str, flags: str = "", target: str = "vdc", device: str = "disk") -> str:
    return (
        f"<disk type='file' device='{device}'><source file='{path}'/><target dev='{target}'/>"
        f"<backingStore><source file='/below'/></backingStore>{flags}</disk>"
    )


WRITTEN = {
    "a disk": (disk("/pool/a"), "", "/pool/a"),
    "a disk under another spelling": (disk("/pool//x/../a"), "", "/pool/a"),
    "a shareable disk": (disk("/pool/a", "<shareable/>"), "", "/pool/a"),
    "a block device": ("<disk><source dev='/dev/vg/a'/><target dev='vda'/></disk>", "", "/dev/vg/a"),
    "a volume": ("<disk type='volume'><source pool='p' volume='v'/><target dev='vda'/></disk>", "", "p//v"),
    "a floppy": (disk("/pool/f", device="floppy"), "", "/pool/f"),
    "a console that is a file": ("<serial type='file'><source path='/var/log/c'/></serial>", "", "/var/log/c"),
    "a console's log": ("<serial type='pty'><log file='/var/log/c'/></serial>", "", "/var/log/c"),
    "a socket": ("<channel type='unix'><source mode='bind' path='/run/s'/></channel>", "", "/run/s"),
    "a host's terminal": ("<serial type='dev'><source path='/dev/ttyS0'/></serial>", "", "/dev/ttyS0"),
    "a shared folder": ("<filesystem><source dir='/srv'/></filesystem>", "", "/srv"),
    "firmware variables": ("", "<os><nvram>/vars</nvram></os>", "/vars"),
    "firmware variables with a source": ("", "<os><nvram type='file'><source file='/vars'/></nvram></os>", "/vars"),
    "firmware that can be written": ("", "<os><loader readonly='no'>/code</loader></os>", "/code"),
    "a TPM's state": ("<tpm><backend type='emulator'><source type='dir' path='/tpm'/></backend></tpm>", "", "/tpm"),
    "a memory module": ("<memory model='nvdimm'><source><path>/nv</path></source></memory>", "", "/nv"),
    "a word of qemu:commandline": (
        "",
        "<qemu:commandline><qemu:arg value='file=/x,if=none'/></qemu:commandline>",
        "/x",
    ),
    "what nobody has thought of yet": ("<novelty><inner place='/new'/></novelty>", "", "/new"),
}


@pytest.mark.parametrize(("devices", "head", "path"), WRITTEN.values(), ids=WRITTEN.keys())
def test_whatever_names_a_path_can_be_written_and_is_found_at_the_source(devices: str, head: str, path: str) -> None:
    clone, source = writable(vm(devices, head)), named(vm(devices, head))
    assert path in {place.path for place in clone}
    found = overlap(clone, source)
    assert found is not None
    assert found[0].path == path


READ = {
    "a read-only disk": (disk("/pool/a", "<readonly/>"), ""),
    "a CD": (disk("/iso", device="cdrom"), ""),
    "what lies below a disk": ("<disk><backingStore><source file='/below'/></backingStore></disk>", ""),
    "the emulator": ("<emulator>/usr/bin/qemu</emulator>", ""),
    "the kernel": ("", "<os><kernel>/k</kernel><initrd>/i</initrd><cmdline>root=/dev/vda</cmdline></os>"),
    "firmware": ("", "<os><loader readonly='yes' type='pflash'>/code</loader><nvram template='/t'/></os>"),
    "entropy that each program gets anew": ("<rng><backend model='random'>/dev/urandom</backend></rng>", ""),
    "a graphics card that is shared by design": ("<graphics><gl rendernode='/dev/dri/renderD128'/></graphics>", ""),
    "a title": ("", "<title>/srv</title>"),
    "metadata": ("", "<metadata><x>/srv</x></metadata>"),
}


@pytest.mark.parametrize(("devices", "head"), READ.values(), ids=READ.keys())
def test_what_is_only_read_may_be_the_sources_too(devices: str, head: str) -> None:
    assert writable(vm(devices, head)) == []


def test_a_folder_holds_all_below_it() -> None:
    folder = vm("<filesystem><source dir='/srv'/></filesystem>")
    inside, beside = vm(disk("/srv/images/a")), vm(disk("/srv-2/a"))
    assert overlap(writable(folder), named(inside)) is not None
    assert overlap(writable(inside), named(folder)) is not None
    assert overlap(writable(folder), named(beside)) is None


def test_both_ends_are_told_in_words() -> None:
    found = overlap(writable(vm(disk("/a", target="vdb"))), named(vm(disk("/a", "<readonly/>", target="sdq"))))
    assert found is not None
    assert [place.where for place in found] == ["disk vdb", "disk sdq"]
