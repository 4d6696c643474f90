"""The guest agent through the double: commands, files, limits, and guests that are not there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.doubles.pve import guests
from tests.doubles.pve.api import agent
from tests.doubles.pve.guests import Machine, MissingBinary, Run
from tests.unit.doubles.pve.clients import QEMU, Client, cluster, run

AGENT = f"{QEMU}/100/agent"
FILE = "/tmp/a"  # noqa: S108  - a file of the guest


def shell(machine: Machine, command: Sequence[str], stdin: bytes) -> Run:
    if command[0] == "/bin/slow":
        return Run(done_at=machine.now() + 20, out=b"done")
    if command[0] == "/bin/cat":
        return Run(done_at=machine.now(), out=stdin)
    raise MissingBinary(command[0])


def booted() -> Client:
    client = cluster(program=shell)
    run(client)
    return client


def test_a_command_runs_beside_the_call_and_its_end_is_told_once() -> None:
    client = booted()
    pid = client.call("POST", f"{AGENT}/exec", command=["/bin/slow"]).body["data"]["pid"]
    assert client.get(f"{AGENT}/exec-status", pid=pid) == {"exited": 0}
    client.pass_time(20)
    assert client.get(f"{AGENT}/exec-status", pid=pid) == {"exited": 1, "exitcode": 0, "out-data": "done"}
    assert client.refused("GET", f"{AGENT}/exec-status", pid=pid) == "500 Agent error: PID ld does not exist"


def test_a_missing_binary_looks_like_a_dead_server_after_five_seconds() -> None:
    client = booted()
    assert client.refused("POST", f"{AGENT}/exec", command=["/bin/cat x"]) == "596 Broken pipe"
    assert client.waited[-1] == 5


def test_standard_input_arrives_byte_by_byte() -> None:
    client = booted()
    pid = client.call("POST", f"{AGENT}/exec", command=["/bin/cat"], input_data="ä").body["data"]["pid"]
    assert client.get(f"{AGENT}/exec-status", pid=pid)["out-data"] == "ä"
    wide = client.refused("POST", f"{AGENT}/exec", command=["/bin/cat"], input_data="漢")
    assert wide == "500 Wide character in subroutine entry"


def test_a_long_file_is_cut_off_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "READ_LIMIT", 4)
    client = booted()
    client.call("POST", f"{AGENT}/file-write", file=FILE, content="012345")
    expected = {"content": "0123", "bytes-read": 4, "truncated": 1}
    assert client.get(f"{AGENT}/file-read", file=FILE) == expected


def test_files_written_to_a_guest_are_on_its_disk_and_on_its_copies() -> None:
    client = booted()
    client.call("POST", f"{AGENT}/file-write", file=FILE, content="kept")
    assert client.ended("POST", f"{QEMU}/100/clone", newid=101, full=1) == "OK"
    assert client.guests.disks["local:101/vm-101-disk-0.qcow2"].files[FILE] == b"kept"


def test_a_guest_that_boots_has_no_agent_yet() -> None:
    client = cluster()
    client.task("POST", f"{QEMU}/100/status/start")
    client.pass_time(3)
    assert client.refused("POST", f"{AGENT}/ping") == "500 QEMU guest agent is not running"
    assert client.waited[-1] == 3
    client.pass_time(guests.BOOT_SECONDS)
    assert client.call("POST", f"{AGENT}/ping").body == {"data": {"result": {}}}


def test_a_card_whose_link_is_down_has_no_address() -> None:
    client = booted()
    there = client.get(f"{AGENT}/network-get-interfaces")["result"][1]
    assert there["ip-addresses"]
    down = "virtio=BC:24:11:00:00:01,bridge=vmbr0,link_down=1"
    assert client.call("PUT", f"{QEMU}/100/config", net0=down).status == 200
    assert not client.get(f"{AGENT}/network-get-interfaces")["result"][1]["ip-addresses"]


def test_file_systems_freeze_and_thaw() -> None:
    client = booted()
    steps = ("fsfreeze-status", "fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fsfreeze-status")
    states = [client.call("POST", f"{AGENT}/{step}").body["data"]["result"] for step in steps]
    assert states == ["thawed", 0, "frozen", 0, "thawed"]
