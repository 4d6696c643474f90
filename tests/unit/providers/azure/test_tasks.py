"""Tasks in the guests of clones on Azure: run once, given up, and cleared away."""

from __future__ import annotations

from typing import Any

import pytest
from tests.doubles.arm.guests import Outcome
from tests.doubles.arm.runs import runs_of
from tests.doubles.arm.vms import switch
from tests.doubles.arm.world import Resource
from tests.unit.providers.azure.site import (
    NAME,
    REF,
    VM,
    Site,
    at_site,
)

from vmclone_operator.domain.backend import (
    GuestChannel,
    GuestRunState,
    GuestTask,
)
from vmclone_operator.domain.errors import (
    CapabilityMissing,
)
from vmclone_operator.providers.azure.guest import run_name


def test_a_task_runs_once_in_the_guest_and_its_result_is_read_until_it_is_forgotten() -> None:
    ran: list[str] = []

    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()

        def program(_: Any, script: str) -> Outcome:
            ran.append(script)
            return Outcome(exit_code=0, stdout="vmclone-probe=1\n", seconds=30)

        site.guests.program = program
        task = GuestTask(run="r1", script="cat", stdin="hello")
        assert (await site.session.guest_result(REF, "r1")).state is GuestRunState.ABSENT
        for _ in range(3):
            await site.session.guest_start(REF, task)
        assert (await site.session.guest_result(REF, "r1")).state is GuestRunState.RUNNING
        site.later(120)
        ended = await site.session.guest_result(REF, "r1")
        assert ended.result is not None
        assert (ended.result.exit_code, ended.result.stdout) == (0, "vmclone-probe=1\n")
        for number in range(30):
            site.later(90)
            await site.session.guest_start(REF, GuestTask(run=f"x{number}", script="true"))

    at_site(story)
    assert len([one for one in ran if "VMCLONE_" in one]) == len(ran) == 31


async def with_program(site: Site, seconds: float = 30) -> Resource:
    """Make a clone whose scripts take that long, and let it boot; return its VM."""
    await site.freeze()
    await site.clone()
    site.guests.program = lambda _, __: Outcome(exit_code=0, stdout="done\n", seconds=seconds)
    site.later(120)
    return next(one for one in site.world.of_kind(VM) if one.name == NAME)


def test_a_task_that_went_down_with_its_vm_is_given_up_and_makes_way_for_the_next() -> None:
    """Azure says for ever that it runs, and the agent takes no other one before it."""

    async def story(site: Site) -> None:
        vm = await with_program(site, seconds=200)
        await site.session.guest_start(REF, GuestTask(run="r1", script="true", limit_seconds=600))
        site.later(30)
        switch(site.world, vm, "stopped")
        switch(site.world, vm, "running")
        site.later(600)
        assert (await site.session.guest_result(REF, "r1")).state is GuestRunState.RUNNING
        site.later(300)
        lost = await site.session.guest_result(REF, "r1")
        assert lost.result is not None
        assert (lost.state, lost.result.exit_code) == (GuestRunState.ENDED, -1)
        assert "nothing was heard of it: it ran since 2026-01-01T" in lost.result.stderr
        await site.session.guest_start(REF, GuestTask(run="r2", script="true"))
        site.later(300)
        after = await site.session.guest_result(REF, "r2")
        assert after.result is not None
        assert after.result.exit_code == 0

    at_site(story)


def test_a_task_that_the_agent_never_takes_is_given_up() -> None:
    async def story(site: Site) -> None:
        await with_program(site)
        boot = next(one for key, one in site.guests.disks.items() if key.endswith(f"/{NAME}-disk-0"))
        boot.agent = False
        await site.session.guest_start(REF, GuestTask(run="r1", script="true"))
        site.later(1100)
        assert (await site.session.guest_result(REF, "r1")).state is GuestRunState.RUNNING
        site.later(120)
        lost = await site.session.guest_result(REF, "r1")
        assert lost.result is not None
        assert "was not taken by Azure's agent since 2026-01-01T" in lost.result.stderr

    at_site(story)


def test_near_azures_limit_the_oldest_that_ended_go_and_none_that_runs_whatever_the_list_says() -> None:
    async def story(site: Site) -> None:
        vm = await with_program(site)
        for number in range(19):
            await site.session.guest_start(REF, GuestTask(run=f"r{number}", script="true"))
            site.later(90)
        assert len(runs_of(site.world, vm)) == 19, "none goes before it is in the way"
        site.guests.program = lambda _, __: Outcome(exit_code=0, seconds=800)
        await site.session.guest_start(REF, GuestTask(run="long", script="true"))
        site.later(30)
        first = runs_of(site.world, vm)[0]
        long = next(one for one in runs_of(site.world, vm) if one.name == run_name("long"))
        for key in [one.key for one in runs_of(site.world, vm) if one is not long]:
            site.world.resources[key] = site.world.resources.pop(key)  # the list begins with the one that runs
        assert runs_of(site.world, vm)[:2] == [long, first]
        site.later(60)
        await site.session.guest_start(REF, GuestTask(run="next", script="true"))
        site.later(30)
        left = {one.name for one in runs_of(site.world, vm)}
        assert {run_name(one) for one in ("long", "next", "r1", "r18")} <= left
        assert first.name not in left

    at_site(story)


def test_azure_copies_disks_whole_and_its_guests_run_tasks() -> None:
    async def story(site: Site) -> None:
        can = (await site.session.check()).capabilities
        assert (can.linked, can.guest, can.look_seconds) == (False, GuestChannel.TASK, 10)
        with pytest.raises(CapabilityMissing, match="premium"):
            await site.session.check("premium")

    at_site(story)
