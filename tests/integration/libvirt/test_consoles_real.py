"""Consoles on a real libvirtd: firmware that finds nothing to boot says so on the serial port, and we hear it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import libvirt
import pytest
from tests.contract.libvirt_backend import LibvirtFacts
from tests.contract.steps import until
from tests.integration.libvirt import shapes
from tests.integration.libvirt.steps import play
from tests.support.refs import ref_to

from vmclone_operator.domain.backend import BackendSession, Power, Stamp
from vmclone_operator.domain.boot_console import overdue_boot
from vmclone_operator.providers.libvirt.session import LibvirtSession

pytestmark = pytest.mark.libvirt
SPEAKS = "<os><type arch='x86_64' machine='q35'>hvm</type><bios useserial='yes'/></os>"
"""SeaBIOS writes to the first serial port, too."""
LAST = b"No bootable device"


async def _a_clone_that_boots_nothing(session: BackendSession, facts: LibvirtFacts) -> tuple[LibvirtFacts, Stamp]:
    disk = shapes.DiskSpec(path=shapes.image(facts, "src.qcow2", "A"))
    facts = shapes.define(facts, disk, os=SPEAKS, devices="<serial type='pty'/>")
    return facts, await shapes.cloned(session, facts)


async def _heard(session: BackendSession, stamp: Stamp) -> None:
    """Wait until the session has heard the firmware give up."""
    assert isinstance(session, LibvirtSession)
    ears = session._consoles._ears

    async def gave_up() -> bool:
        return stamp.incarnation in ears and LAST in ears[stamp.incarnation].heard

    await until(gave_up)


@contextlib.contextmanager
def _listening(facts: LibvirtFacts, stamp: Stamp) -> Iterator[libvirt.virStream]:
    """Hold a clone's console as `virsh console` does; fails while somebody else holds it."""
    stream = facts.connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
    shapes.clone_domain(facts, stamp).openConsole(None, stream, 0)
    yield stream
    stream.abort()


def test_a_clone_that_boots_nothing_is_told_with_the_last_words_of_its_firmware() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts, stamp = await _a_clone_that_boots_nothing(session, facts)
        await session.set_power(ref_to(stamp), Power.ON)
        await _heard(session, stamp)
        verdict = overdue_boot(await session.console_tail(ref_to(stamp)), "dev-1")
        assert verdict.reason == "BootFailed"
        assert verdict.message.endswith("No bootable device.")
        with _listening(facts, stamp):  # it was let go of: people may look now, as they are told
            assert await session.console_tail(ref_to(stamp)) == ""
        await shapes.removed(session, stamp)

    play(scenario)


def test_a_console_that_somebody_holds_is_not_taken_from_them() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts, stamp = await _a_clone_that_boots_nothing(session, facts)
        shapes.clone_domain(facts, stamp).create()
        with _listening(facts, stamp) as stream:
            await session.set_power(ref_to(stamp), Power.ON)
            assert await session.console_tail(ref_to(stamp)) == ""
            assert isinstance(stream.recv(1024), int | bytes), "it still is theirs"
        await shapes.removed(session, stamp)

    play(scenario)


def test_the_console_of_a_clone_that_is_switched_off_is_forgotten() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts, stamp = await _a_clone_that_boots_nothing(session, facts)
        await session.set_power(ref_to(stamp), Power.ON)
        await _heard(session, stamp)
        await session.set_power(ref_to(stamp), Power.OFF)
        assert await session.console_tail(ref_to(stamp)) == ""
        await session.set_power(ref_to(stamp), Power.ON)
        await _heard(session, stamp)  # the next boot is heard like the first
        await shapes.removed(session, stamp)

    play(scenario)
