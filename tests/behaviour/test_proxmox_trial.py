"""`hack/test proxmox` against the double: what it does is told, and nothing is left, whatever goes wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.doubles.pve.clients import TOKEN, Client, cluster
from tests.unit.doubles.pve.lab import adopt
from tests.unit.providers.proxmox.lives import with_rights
from tests.unit.providers.proxmox.servers import served

from vmclone_operator.providers.fake.faults import Fault, FaultKind, FaultSchedule, at_call
from vmclone_proxmox import cli
from vmclone_proxmox.journal import Journal

CLONE = "POST /nodes/{node}/qemu/{vmid}/clone"


def tried(world: Client, folder: Path, *more: str, schedule: FaultSchedule | None = None, name: str = TOKEN) -> int:
    """Run the command against a served double whose clock runs as fast as it is asked."""
    token = folder / "token"
    token.write_text(f"# a comment\n{name}=secret\n")

    async def told() -> int:
        async with served(world, schedule) as server:

            async def quick() -> None:
                while True:
                    await asyncio.sleep(0.01)
                    world.pass_time(1)

            moving = asyncio.ensure_future(quick())
            asked = ["--endpoint", f"https://127.0.0.1:{server.port}/", "--fingerprint", server.fingerprint]
            asked += ["--token-file", str(token), "--timeout", "60", *more]
            try:
                return await asyncio.to_thread(cli.main, asked)
            finally:
                moving.cancel()

    return asyncio.run(told())


def test_a_source_and_a_template_are_tried_and_nothing_is_left(tmp_path: Path, capsys: Any) -> None:
    world = cluster()
    config = {"name": "image", "memory": "64", "boot": "order=scsi0", "scsi0": "local:200/vm-200-disk-0.qcow2,size=1G"}
    adopt(world.world, 200, config)
    assert world.ended("POST", "/nodes/pve1/qemu/200/template") == "OK"
    before = set(world.world.storages.volumes)
    assert tried(world, tmp_path, "--source", "golden", "--template", "image") == 0
    said = capsys.readouterr().out
    assert "ok     freeze" in said
    assert "POST /nodes/{node}/qemu/{vmid}/clone" in said
    assert "an administrator's template stays" in said
    assert set(world.world.vms) == {100, 200}
    assert set(world.world.storages.volumes) == before


def test_a_step_that_fails_is_told_and_what_was_made_is_removed(tmp_path: Path, capsys: Any) -> None:
    world = cluster()
    world.world.start_failures = dict.fromkeys(range(9100, 10000), "bridge 'vmbr9' does not exist")
    assert tried(world, tmp_path, "--source", "golden") == 1
    said = capsys.readouterr().out
    assert "FAILED power on" in said
    assert "vmbr9" in said
    assert "ok     leftovers" in said
    assert set(world.world.vms) == {100}


def test_rights_that_lack_are_told_and_what_the_server_does_all_the_same_is_tried(tmp_path: Path, capsys: Any) -> None:
    """A server that knows fewer rights than Proxmox VE may do all the rest; the trial is no success for that."""
    world = with_rights("VM.Config.Cloudinit@/pool/clones")
    asked = ("--source", "golden", "--pool", "clones")
    assert tried(world, tmp_path, *asked, name="vmclone@pve!op") == 1
    said = capsys.readouterr().out
    assert "FAILED check" in said
    assert "VM.Config.Cloudinit" in said
    assert "ok     power off" in said
    assert "ok     leftovers" in said
    assert set(world.world.vms) == {100}


def test_a_reply_that_is_lost_is_lived_with(tmp_path: Path) -> None:
    schedule = FaultSchedule(at_call(CLONE, Fault(kind=FaultKind.LOSE_REPLY)))
    assert tried(cluster(), tmp_path, "--source", "golden", schedule=schedule) == 0


@pytest.mark.parametrize(
    "text", ["u@pve!t=s", "u@pve!t\ns\n", "# mine\nPVEAPIToken=u@pve!t=s", "Authorization: PVEAPIToken=u@pve!t=s\n"]
)
def test_a_token_file_may_have_any_of_the_usual_forms(text: str) -> None:
    assert cli.read_token(text) == cli.Token("u@pve!t", "s")


@pytest.mark.parametrize("text", ["", "secret", "u@pve=secret", "u@pve!t"])
def test_a_token_file_of_another_form_is_told_how_to_write(tmp_path: Path, text: str, capsys: Any) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    assert cli.main(["--endpoint", "x", "--token-file", str(file), "--source", "a"]) == 2
    assert "user@realm!name=secret" in capsys.readouterr().out


def test_calls_are_counted_by_endpoint() -> None:
    journal = Journal()
    for vmid in (101, 102):
        journal.note("GET", f"/nodes/pve1/qemu/{vmid}/config", 200)
    journal.note("GET", "/nodes/pve1/tasks/UPID%3Apve1%3A00/status", 500)
    assert journal.taken() == [
        "GET /nodes/{node}/qemu/{vmid}/config  x2",
        "GET /nodes/{node}/tasks/{upid}/status  -> 500",
    ]
    assert journal.taken() == []
