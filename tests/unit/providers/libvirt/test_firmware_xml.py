"""Firmware variables: found wherever libvirt keeps them, and never left pointing at the source's."""

from __future__ import annotations

import json
import shlex
import xml.etree.ElementTree as ET

import pytest

from vmclone_operator.providers.libvirt.firmware_xml import Variables, from_command_line, has_uefi, set_variables

LOADER = "<loader readonly='yes' type='pflash'>/code.fd</loader>"
NODES = (
    {"driver": "file", "filename": "/code.fd", "node-name": "libvirt-pflash0-storage"},
    {"driver": "file", "filename": "/nvram/a '& b_VARS.fd", "node-name": "libvirt-pflash1-storage"},
    {"driver": "qcow2", "file": "libvirt-pflash1-storage", "node-name": "libvirt-pflash1-format"},
)


def _domain(os: str) -> ET.Element:
    return ET.fromstring(f"<domain>{os}</domain>")  # noqa: S314 - a constant of this file


@pytest.mark.parametrize(
    ("os", "expected"),
    [
        pytest.param("<os firmware='efi'/>", True, id="chosen by libvirt"),
        pytest.param(f"<os>{LOADER}</os>", True, id="a pflash loader"),
        pytest.param("<os><loader type='pflash' stateless='yes'>/c</loader></os>", False, id="without variables"),
        pytest.param("<os><loader type='rom'>/bios.bin</loader></os>", False, id="a BIOS file"),
        pytest.param("<os/>", False, id="BIOS"),
    ],
)
def test_uefi_is_recognized(os: str, expected: bool) -> None:
    assert has_uefi(_domain(os)) is expected


def test_libvirts_own_command_line_tells_where_the_variables_are() -> None:
    line = shlex.join(
        ["qemu", "-name", "guest=a 'b", *(word for node in NODES for word in ("-blockdev", json.dumps(node)))]
    )
    assert from_command_line(line) == Variables(path="/nvram/a '& b_VARS.fd", format="qcow2")
    assert from_command_line("qemu -S") is None


@pytest.mark.parametrize(
    ("os", "written", "expected"),
    [
        pytest.param(
            f"<os>{LOADER}<nvram template='/t.fd'>/theirs.fd</nvram><boot dev='hd'/></os>",
            "raw",
            f"<os>{LOADER}<nvram template='/t.fd'>/own</nvram><boot dev='hd'/></os>",
            id="the template stays",
        ),
        pytest.param(
            "<os firmware='efi'><nvram type='file' template='/t' templateFormat='raw' format='qcow2'>"
            "<source file='/theirs'/></nvram></os>",
            "qcow2",
            "<os firmware='efi'><nvram template='/t' templateFormat='raw' format='qcow2'>/own</nvram></os>",
            id="a file element and formats",
        ),
        pytest.param(
            "<os firmware='efi'/>", "raw", "<os firmware='efi'><nvram>/own</nvram></os>", id="chosen by libvirt"
        ),
        pytest.param(
            f"<os>{LOADER}<boot dev='hd'/></os>",
            "qcow2",
            f"<os>{LOADER}<nvram format='qcow2'>/own</nvram><boot dev='hd'/></os>",
            id="after the loader, where the schema has it",
        ),
    ],
)
def test_a_clone_points_at_its_own_variables(os: str, written: str, expected: str) -> None:
    domain = _domain(os)
    set_variables(domain, Variables(path="/own", format=written))
    assert ET.canonicalize(ET.tostring(domain)) == ET.canonicalize(ET.tostring(_domain(expected)))
