"""Guests through their agent, and what frozen points are worth."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.doubles.pve.guests import Machine, Run
from tests.doubles.pve.world import Node
from tests.unit.doubles.pve.clients import Client, cluster, run, source_volume
from tests.unit.providers.proxmox.lives import CLONE, FREEZE, STAMP, Life, story, with_running_source

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Consistency, DiskCopy, GuestCommand, Power
from vmclone_operator.domain.errors import AgentNotReady, QuiesceFailed, SourceLocked
from vmclone_operator.providers.proxmox.frozen import worth
from vmclone_operator.providers.proxmox.guest import packed


def shell(machine: Machine, command: Sequence[str], stdin: bytes) -> Run:
    """Run our packed and plain scripts for real, on this machine: they are `cat` and the like."""
    folder = tempfile.gettempdir()  # where a real guest has /run
    command = [part.replace("/run/vmclone", f"{folder}/vmclone-parts-{os.getpid()}") for part in command]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    return Run(done_at=machine.now() + 1, exit_code=done.returncode, out=done.stdout, err=done.stderr)


def with_shell() -> Client:
    world = cluster(program=shell)
    world.guests.disks[source_volume("dir")].boot_seconds = 5
    return world


async def booted(life: Life) -> None:
    await life.freeze()
    await life.clone()
    await life.power(Power.ON)


LONG = "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(2000))  # hard to pack
COMMANDS = {
    "short": GuestCommand(name="a", script="cat; exit 3", stdin="hello"),
    "other letters": GuestCommand(name="a", script="cat; exit 3", stdin="grün 日本"),
    "too long for an older release": GuestCommand(name="a", script=f"cat; exit 3 # {'é' * 100}", stdin=LONG),
}


@pytest.mark.parametrize("case", COMMANDS)
@pytest.mark.parametrize("limit", [64 * 1024, 512 * 1024])
def test_a_command_arrives_whole_and_answers_whole(case: str, limit: int) -> None:
    world = with_shell()
    world.world.release.post_bytes = limit

    async def tell(life: Life) -> None:
        await booted(life)
        life.world.pass_time(30)
        answer = await life.session.guest_exec(life.ref, COMMANDS[case])
        assert (answer.exit_code, answer.stdout) == (3, COMMANDS[case].stdin[: 64 * 1024])

    story(tell, world)


def test_what_is_short_is_sent_as_it_is() -> None:
    assert packed(COMMANDS["short"]) == (["/bin/sh", "-c", "cat; exit 3"], "hello")


def test_a_silent_agent_costs_the_server_three_seconds_once_and_is_then_left_alone() -> None:
    async def tell(life: Life) -> None:
        await booted(life)
        calls: list[Any] = []
        for _ in range(3):
            before = life.world.clock()
            with pytest.raises(AgentNotReady):
                await life.session.guest_exec(life.ref, COMMANDS["short"])
            calls.append(round(life.world.clock() - before))
        assert calls == [3, 0, 0]

    world = with_shell()
    world.guests.disks[source_volume("dir")].boot_seconds = 600
    story(tell, world)


def test_addresses_are_those_of_the_clones_own_cards_once_its_cable_is_in() -> None:
    async def tell(life: Life) -> None:
        await booted(life)
        life.world.pass_time(30)
        assert await life.session.guest_addresses(life.ref) == ()
        await life.connect()
        assert len(await life.session.guest_addresses(life.ref)) == 1
        assert await life.session.console_tail(life.ref) == ""

    story(tell, with_shell())


def test_a_freeze_that_failed_inside_the_server_is_not_called_quiesced() -> None:
    world = with_running_source()
    world.world.freeze_fails = True

    async def tell(life: Life) -> None:
        with pytest.raises(QuiesceFailed, match="got timeout"):
            await life.freeze(replace(FREEZE, consistency=Consistency.QUIESCED))
        await life.release()
        life.ledger.frozen = ""
        assert (await life.freeze()).consistency is Consistency.CRASH_CONSISTENT
        await life.release()

    story(tell, world)
    assert set(world.world.vms) == {100}


def test_a_stopped_source_is_powered_off_at_its_point() -> None:
    async def tell(life: Life) -> Consistency:
        return (await life.freeze()).consistency

    assert story(tell) is Consistency.POWERED_OFF


def test_a_template_is_borrowed_and_nothing_of_it_is_copied_or_removed() -> None:
    world = cluster()
    assert world.ended("POST", "/nodes/pve1/qemu/100/template") == "OK"

    async def tell(life: Life) -> None:
        point = await life.freeze()
        assert point.borrowed
        assert set(world.world.vms) == {100}
        await life.clone()
        await life.delete()
        await life.release()

    story(tell, world)
    assert set(world.world.vms) == {100}
    assert world.world.vms[100].template


def test_eight_clones_of_one_point_have_eight_ids() -> None:
    world = cluster()

    async def tell(life: Life) -> None:
        await life.freeze()
        for ordinal in range(1, 9):
            stamp = replace(STAMP, ordinal=ordinal, incarnation=f"incarnation-{ordinal}")
            uuid = naming.clone_uuid(stamp.incarnation)
            life.ledger.clone = ""
            await life.clone(replace(CLONE, stamp=stamp, uuid=uuid, vm_name=f"dev-{ordinal}"))

    story(tell, world)
    assert len(world.world.vms) == 1 + 1 + 8


def test_a_full_copy_stands_on_nothing() -> None:
    world = cluster()

    async def tell(life: Life) -> None:
        await life.freeze()
        await life.clone(replace(CLONE, copy=DiskCopy.FULL))
        await life.release()
        assert await life.session.find_clone(life.ref) is not None

    story(tell, world)
    assert len(world.world.vms) == 2


def test_a_source_that_is_backed_up_is_waited_for() -> None:
    world = cluster()
    world.world.vms[100].config["lock"] = "backup"

    async def tell(life: Life) -> None:
        life.ledger.frozen = (await life.session.freeze(FREEZE)).handle
        with pytest.raises(SourceLocked):
            await life.session.freeze(replace(FREEZE, handle=life.ledger.frozen))
        del world.world.vms[100].config["lock"]
        await life.freeze()

    story(tell, world)


def test_a_clone_that_moved_to_another_node_is_found_there() -> None:
    world = cluster()

    async def tell(life: Life) -> None:
        await life.freeze()
        done = await life.clone()
        world.world.nodes["pve2"] = Node("pve2")
        world.world.vms[int(done.external_id)].node = "pve2"
        assert await life.session.find_clone(life.ref) is not None
        await life.restart()
        assert await life.session.find_clone(life.ref) is not None

    story(tell, world)


MIRROR = "drive mirror is starting for drive-scsi0"
FROZE = "issuing guest agent 'guest-fsfreeze-freeze' command"
FAILED = "VM 100 qga command 'guest-fsfreeze-freeze' failed - got timeout"


@pytest.mark.parametrize(
    ("log", "ran", "consistency"),
    [
        ([MIRROR, FROZE], True, Consistency.QUIESCED),
        ([MIRROR, FROZE, FAILED], True, Consistency.CRASH_CONSISTENT),
        ([MIRROR, "suspend vm"], True, Consistency.CRASH_CONSISTENT),
        (["transferred 1.0 MiB of 1.0 MiB (100.00%)"], False, Consistency.POWERED_OFF),
        ([], False, Consistency.POWERED_OFF),
        ([], True, Consistency.CRASH_CONSISTENT),
    ],
)
def test_a_copy_is_worth_what_its_log_says(log: list[str], consistency: Consistency, *, ran: bool) -> None:
    assert worth(log, ran=ran) is consistency


def test_a_running_source_is_switched_off_and_on_again_once_each() -> None:
    world = cluster()
    run(world)
    world.pass_time(30)

    async def tell(life: Life) -> None:
        assert await life.session.set_source_power("100", Power.OFF) is True
        world.pass_time(10)
        assert await life.session.set_source_power("100", Power.OFF) is False
        assert await life.session.set_source_power("100", Power.ON) is True
        world.pass_time(10)
        assert await life.session.set_source_power("100", Power.ON) is False

    story(tell, world)
