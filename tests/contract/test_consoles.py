"""What every backend promises about serial consoles: that a clone is mute is never an error."""

from __future__ import annotations

from tests.contract.backends import Play, Stage
from tests.contract.steps import Wish, cloned
from tests.contract.test_guests import booted
from tests.support.refs import ref_to

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.boot_console import MAX_RAW_CHARACTERS, console_lines, overdue_boot


def test_a_clone_that_is_off_has_said_nothing(on_backend: Play) -> None:
    """Also one without a console, as the libvirt source of this suite is."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        assert await stage.session.console_tail(ref_to(intent.stamp)) == ""

    on_backend(scenario)


def test_a_console_that_shows_no_failure_is_no_error_and_can_be_read_twice(on_backend: Play) -> None:
    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        await stage.session.set_power(ref_to(intent.stamp), Power.ON)
        first = await stage.session.console_tail(ref_to(intent.stamp))
        assert len(first) <= MAX_RAW_CHARACTERS
        assert overdue_boot(first, intent.vm_name).reason == "GuestAgentMissing"
        await stage.session.console_tail(ref_to(intent.stamp))

    on_backend(scenario)


def test_the_console_of_a_guest_that_booted_ends_at_its_login(with_guest: Play) -> None:
    async def scenario(stage: Stage) -> None:
        if not stage.site.traits.console:
            return
        intent = await cloned(stage.session, stage.site.source, Wish())
        await booted(stage, intent)
        told = await stage.session.console_tail(ref_to(intent.stamp))
        assert console_lines(told)[-1] == f"{stage.site.source} login:"
        await stage.session.set_power(ref_to(intent.stamp), Power.OFF)
        assert await stage.session.console_tail(ref_to(intent.stamp)) == ""

    with_guest(scenario)
