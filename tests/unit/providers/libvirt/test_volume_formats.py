"""What a volume is, by what its pool's kind writes of it. The documents are libvirt's own, cut short."""

from __future__ import annotations

import pytest

from vmclone_operator.providers.libvirt import domain_xml, volumes

FORMATS = {
    "an LVM volume, of which no format is told": ("block", "", "raw"),
    "a partition": ("block", "<format type='none'/>", "raw"),
    "a Linux partition": ("block", "<format type='linux'/>", "raw"),
    "a disk of an iSCSI target with a label": ("block", "<format type='gpt'/>", "raw"),
    "a disk whose kind of label is not known": ("block", "<format type='unknown'/>", "raw"),
    "a device with qcow2 on it, which libvirt clones as raw": ("block", "<format type='qcow2'/>", "raw"),
    "a raw file": ("file", "<format type='raw'/>", "raw"),
    "an ISO image": ("file", "<format type='iso'/>", "raw"),
    "a qcow2 file": ("file", "<format type='qcow2'/>", "qcow2"),
    "a vmdk file": ("file", "<format type='vmdk'/>", "vmdk"),
    "a file of which no format is told": ("file", "", ""),
}


@pytest.mark.parametrize(("kind", "word", "expected"), FORMATS.values(), ids=FORMATS.keys())
def test_the_format_is_what_the_volume_is_read_as(kind: str, word: str, expected: str) -> None:
    text = f"<volume type='{kind}'><capacity>1</capacity><target><path>/x</path>{word}</target></volume>"
    found = volumes.described(domain_xml.parsed(text))
    assert (found.format, found.block) == (expected, kind == "block")
