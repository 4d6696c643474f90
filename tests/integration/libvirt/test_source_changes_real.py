"""A source that changes while it is copied: a frozen point of one moment, or none, and nothing left behind."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import libvirt
import pytest
from tests.contract.libvirt_backend import LibvirtFacts, open_libvirt
from tests.integration.libvirt import shapes
from tests.integration.libvirt.steps import INSTANCE, begun, ended, freeze_intent, gone, play
from tests.support.refs import is_gone

from vmclone_operator.domain.backend import BackendSession, Consistency, OperationState, Owner, Progress
from vmclone_operator.domain.errors import CloneError, SourceChanged, SourceNotFound

pytestmark = pytest.mark.libvirt
PIECES = 300
Act = Callable[[libvirt.virDomain], object]


def _start_and_stop(source: libvirt.virDomain) -> None:
    source.create()
    source.destroy()


def _rename(source: libvirt.virDomain) -> None:
    if not source.name().endswith("-renamed"):
        source.rename(f"{source.name()}-renamed")


def _undefine(source: libvirt.virDomain) -> None:
    source.undefine()


def _during_the_copy(act: Act, check: Callable[[LibvirtFacts, Progress | CloneError], None]) -> None:
    """Let a person do this to a powered-off source just before its disk is copied; nothing may be left of it."""
    seen: list[LibvirtFacts] = []

    def intervene() -> None:
        if seen:
            facts = seen.pop()
            act(facts.connection.lookupByUUIDString(facts.source_id))

    async def run() -> None:
        async with open_libvirt(fence=intervene) as (session, facts):
            uid = str(uuid.uuid4())
            seen.append(facts)
            try:
                check(facts, await ended(session, freeze_intent(facts, uid, "f1")))
            except CloneError as error:
                check(facts, error)
            await gone(lambda: is_gone(session.release_frozen(Owner(instance=INSTANCE, vmclone_uid=uid), "f1")))
            assert _frozen_names(facts) == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(_start_and_stop, SourceChanged, id="started, however short it ran"),
        pytest.param(libvirt.virDomain.create, SourceChanged, id="started, and it runs"),
        pytest.param(_undefine, SourceNotFound, id="undefined"),
    ],
)
def test_a_source_that_is_not_what_it_was_gives_no_frozen_point(act: Act, expected: type[CloneError]) -> None:
    def check(_facts: LibvirtFacts, outcome: Progress | CloneError) -> None:
        assert isinstance(outcome, expected)

    _during_the_copy(act, check)


def test_a_source_that_is_renamed_is_the_same_source() -> None:
    def check(facts: LibvirtFacts, outcome: Progress | CloneError) -> None:
        assert isinstance(outcome, Progress)
        assert outcome.state is OperationState.DONE
        assert facts.connection.lookupByUUIDString(facts.source_id).name().endswith("-renamed")

    _during_the_copy(_rename, check)


def _running(facts: LibvirtFacts) -> tuple[LibvirtFacts, libvirt.virDomain]:
    """Start a source whose backup takes a while: nothing on its disk is empty."""
    path = facts.pool_path / "full.raw"
    piece = bytes(range(1, 256)) * 4096
    with path.open("wb") as file:
        for _ in range(PIECES):
            file.write(piece)
    path.chmod(0o666)
    facts.pool.refresh()
    facts = shapes.define(facts, shapes.DiskSpec(path=path, format="raw"))
    source = shapes.domain_of(facts)
    source.create()
    return facts, source


def _frozen_names(facts: LibvirtFacts) -> list[str]:
    return [name for name in facts.volume_names() if name.startswith("vmclone-base-")]


def test_a_source_that_stops_while_its_backup_runs_is_frozen_again_as_it_is_then() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts, source = _running(facts)
        uid = str(uuid.uuid4())
        frozen = await begun(session, freeze_intent(facts, uid, "f1", Consistency.CRASH_CONSISTENT))
        source.destroy()
        assert (await ended(session, frozen)).state is OperationState.LOST
        owner = Owner(instance=INSTANCE, vmclone_uid=uid)
        await gone(lambda: is_gone(session.release_frozen(owner, "f1")))
        assert _frozen_names(facts) == []
        again = await ended(session, freeze_intent(facts, uid, "f2"))
        assert again.done
        assert again.frozen is not None
        assert again.frozen.consistency is Consistency.POWERED_OFF

    play(scenario)


def test_a_running_source_may_be_undefined_while_its_backup_runs() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts, source = _running(facts)
        uid = str(uuid.uuid4())
        frozen = await begun(session, freeze_intent(facts, uid, "f1", Consistency.CRASH_CONSISTENT))
        source.undefine()
        assert (await ended(session, frozen)).state is OperationState.DONE
        source.destroy()
        await gone(lambda: is_gone(session.release_frozen(Owner(instance=INSTANCE, vmclone_uid=uid), "f1")))
        assert _frozen_names(facts) == []

    play(scenario)
