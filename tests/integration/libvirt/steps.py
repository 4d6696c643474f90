"""What the tests of the libvirt session share: a scratch host, intents, and waiting for the end of a copy."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

from tests.contract.libvirt_backend import LibvirtFacts, open_libvirt

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    BackendSession,
    CloneIntent,
    Consistency,
    FreezeIntent,
    OperationState,
    Progress,
    Seed,
    Stamp,
)

Scenario = Callable[[BackendSession, LibvirtFacts], Awaitable[None]]
INSTANCE = "00000000-0000-4000-8000-00000000000a"
CLONE_TOKEN, FROZEN_TOKEN = "c1", "f1"


def play(scenario: Scenario) -> None:
    async def run() -> None:
        async with open_libvirt() as (session, facts):
            await scenario(session, facts)

    asyncio.run(run())


def stamp_of(vmclone_uid: str, ordinal: int = 1) -> Stamp:
    return Stamp(
        instance=INSTANCE,
        namespace="team-a",
        vmclone="dev",
        vmclone_uid=vmclone_uid,
        ordinal=ordinal,
        incarnation=str(uuid.uuid4()),
    )


def clone_intent(facts: LibvirtFacts, stamp: Stamp, frozen_token: str, token: str = CLONE_TOKEN) -> CloneIntent:
    name = f"{facts.pool_name}-{naming.vm_name('dev', stamp.incarnation)}"
    return CloneIntent(
        stamp=stamp,
        token=token,
        vm_name=name,
        uuid=naming.clone_uuid(stamp.incarnation),
        source_id=facts.source_id,
        frozen_token=frozen_token,
        seed=Seed(instance_id=stamp.incarnation, hostname=name),
    )


def freeze_intent(
    facts: LibvirtFacts, vmclone_uid: str, token: str, consistency: Consistency = Consistency.QUIESCED
) -> FreezeIntent:
    return FreezeIntent(
        token=token,
        instance=INSTANCE,
        vmclone_uid=vmclone_uid,
        source_id=facts.source_id,
        consistency=consistency,
    )


async def begun(session: BackendSession, intent: FreezeIntent) -> FreezeIntent:
    """Ask for a freeze once; return the intent with what the ledger has then."""
    progress = await session.freeze(intent)
    return replace(intent, handle=progress.handle or intent.handle)


async def ended(session: BackendSession, intent: FreezeIntent) -> Progress:
    """Ask how a freeze stands until it runs no more."""
    deadline = time.monotonic() + 30
    while (progress := await session.freeze(intent)).state is OperationState.RUNNING:
        intent = replace(intent, handle=progress.handle or intent.handle)
        assert time.monotonic() < deadline, "the copy did not end"
        await asyncio.sleep(0.05)
    return progress


async def frozen_point(
    session: BackendSession, facts: LibvirtFacts, vmclone_uid: str, token: str = FROZEN_TOKEN
) -> str:
    assert (await ended(session, freeze_intent(facts, vmclone_uid, token))).state is OperationState.DONE
    return token


async def gone(act: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 30
    while not await act():
        assert time.monotonic() < deadline, "it is still there"
        await asyncio.sleep(0.05)
