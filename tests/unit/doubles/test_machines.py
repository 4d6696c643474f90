"""What libvirt is asked for when a double's VM is a real guest."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.machines import Build, Plug, backup_of, rendered
from tests.doubles.pve.lab_guests import LabRun

UUID = "11111111-2222-4333-8444-555555555555"
BUILD = Build(
    name="pve-9101",
    uuid=UUID,
    disks=(Path("/pool/boot.qcow2"), Path("/pool/data.qcow2")),
    seeds=(Path("/pool/seed.iso"),),
    cards=(Plug(mac="BC:24:11:00:00:01", up=False), Plug(mac="BC:24:11:00:00:02", up=True)),
    memory_mib=640,
)


def _domain(build: Build = BUILD) -> ET.Element:
    return ET.fromstring(rendered(build, "slim", kvm=False))  # noqa: S314 - rendered here


def _attribute(element: ET.Element, path: str, name: str) -> str | None:
    found = element.find(path)
    return None if found is None else found.get(name)


def test_a_machine_has_its_own_disks_in_order_and_reads_its_seed_only() -> None:
    disks = [
        (_attribute(one, "source", "file"), _attribute(one, "target", "dev"), one.find("readonly") is not None)
        for one in _domain().iterfind("devices/disk")
    ]
    assert disks == [
        ("/pool/boot.qcow2", "vda", False),
        ("/pool/data.qcow2", "vdb", False),
        ("/pool/seed.iso", "vdc", True),
    ]


def test_a_machine_has_the_cables_in_that_the_double_says() -> None:
    cards = [
        (_attribute(one, "mac", "address"), _attribute(one, "link", "state"))
        for one in _domain().iterfind("devices/interface")
    ]
    assert cards == [("bc:24:11:00:00:01", "down"), ("bc:24:11:00:00:02", "up")]


def test_a_machine_is_who_the_double_says_it_is() -> None:
    domain = _domain()
    assert [domain.findtext(key) for key in ("name", "uuid", "memory")] == ["pve-9101", UUID, "640"]


def test_a_copy_takes_one_disk_and_leaves_the_others_out() -> None:
    wish = backup_of(rendered(BUILD, "slim", kvm=False), "vdb", Path("/pool/copy.qcow2"))
    backup = ET.fromstring(wish)  # noqa: S314 - rendered here
    told = {one.get("name"): (one.get("backup"), _attribute(one, "target", "file")) for one in backup.iter("disk")}
    assert told == {"vda": ("no", None), "vdb": ("yes", "/pool/copy.qcow2"), "vdc": ("no", None)}


@pytest.mark.parametrize(
    ("told", "ended", "code", "signal", "out"),
    [
        pytest.param({"exited": False}, False, 0, 0, b"", id="a command that runs has no result"),
        pytest.param({"exited": True, "exitcode": 3}, True, 3, 0, b"", id="one that ended has its status"),
        pytest.param({"exited": True, "signal": 9}, True, 0, 9, b"", id="one that was killed has its signal"),
        pytest.param(
            {"exited": True, "exitcode": 0, "out-data": "w7w="}, True, 0, 0, b"\xc3\xbc", id="bytes stay bytes"
        ),
    ],
)
def test_a_command_has_ended_when_the_guests_agent_says_so(
    told: dict[str, Any], ended: bool, code: int, signal: int, out: bytes
) -> None:
    run = LabRun(done_at=float("inf"), ask=lambda: told)
    run.look()
    assert (run.done_at <= 0, run.exit_code, run.signal, run.out) == (ended, code, signal, out)
