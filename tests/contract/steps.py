"""What the contract's scenarios have in common: intents with names nobody else uses, and patience with an end."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    BackendSession,
    CloneIntent,
    CloneRef,
    Consistency,
    FreezeIntent,
    FrozenPoint,
    ObservedClone,
    OperationState,
    Owner,
    Seed,
    Stamp,
)
from vmclone_operator.domain.errors import RetryLater

INSTANCE = "0f8a1a2e-7a52-4b6f-9d0c-6f6b7a0d1c01"
DEADLINE_SECONDS = 30.0


def fresh_uid() -> str:
    """Return what the API server would give a new object."""
    return str(uuid.uuid4())


def fresh_token() -> str:
    """Return what the engine would give a new attempt."""
    return uuid.uuid4().hex[:8]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One VMClone of a test: its uid, and the stamps and intents of its replicas."""

    uid: str = field(default_factory=fresh_uid)
    handles: dict[str, str] = field(default_factory=dict, compare=False)
    """What the ledger has of each frozen point, by its token."""

    @property
    def owner(self) -> Owner:
        """Return the owner of everything that this VMClone has."""
        return Owner(instance=INSTANCE, vmclone_uid=self.uid)

    def freeze_intent(
        self, source_id: str, *, consistency: Consistency = Consistency.QUIESCED, image: str = ""
    ) -> FreezeIntent:
        """Return a new attempt at a frozen point, of the source or of a golden image."""
        return FreezeIntent(
            token=fresh_token(),
            instance=INSTANCE,
            vmclone_uid=self.uid,
            source_id=source_id,
            consistency=consistency,
            image=image,
        )

    def clone_intent(self, point: FrozenPoint, *, ordinal: int = 1, incarnation: str = "") -> CloneIntent:
        """Return a new attempt at a replica's clone."""
        incarnation = incarnation or fresh_uid()
        name = naming.vm_name(f"dev-{ordinal}", incarnation)
        stamp = Stamp(
            instance=INSTANCE,
            namespace="team-a",
            vmclone="dev",
            vmclone_uid=self.uid,
            ordinal=ordinal,
            incarnation=incarnation,
        )
        return CloneIntent(
            stamp=stamp,
            token=fresh_token(),
            vm_name=name,
            uuid=naming.clone_uuid(incarnation),
            source_id=point.source_id,
            frozen_token=point.token,
            frozen_handle=self.handles.get(point.token, ""),
            seed=Seed(instance_id=incarnation, hostname=name),
        )


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until something holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await holds():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


async def followed(session: BackendSession, intent: FreezeIntent) -> tuple[FreezeIntent, FrozenPoint]:
    """Bring a frozen point to its end as the engine does; return the intent with what the ledger has then."""
    point: FrozenPoint | None = None

    async def done() -> bool:
        nonlocal intent, point
        progress = await session.freeze(intent)
        assert progress.state is not OperationState.LOST
        intent = replace(intent, handle=progress.handle or intent.handle)
        point = progress.frozen
        return progress.done

    await until(done)
    assert point is not None
    return intent, point


async def finished(session: BackendSession, intent: FreezeIntent) -> FrozenPoint:
    """Bring a frozen point to its end."""
    return (await followed(session, intent))[1]


async def frozen_point(session: BackendSession, source: str, wish: Wish) -> FrozenPoint:
    """Make a frozen point of a source for a wish."""
    found = await session.describe_source(source)
    return await _recorded(session, wish, wish.freeze_intent(found.source_id))


async def image_point(session: BackendSession, source: str, image: str, wish: Wish) -> FrozenPoint:
    """Make a frozen point of a golden image for a wish that gets its shape from a source."""
    found = await session.describe_source(source)
    return await _recorded(session, wish, wish.freeze_intent(found.source_id, image=image))


async def _recorded(session: BackendSession, wish: Wish, intent: FreezeIntent) -> FrozenPoint:
    intent, point = await followed(session, intent)
    wish.handles[point.token] = intent.handle
    return point


async def started(session: BackendSession, intent: CloneIntent) -> None:
    """Start a clone until it is there; whatever is refused on the way is the caller's to see."""

    async def done() -> bool:
        nonlocal intent
        progress = await session.start_clone(intent)
        assert progress.state is not OperationState.LOST
        intent = replace(intent, handle=progress.handle or intent.handle)
        return progress.done

    await until(done)


async def made(session: BackendSession, intent: CloneIntent) -> CloneIntent:
    """Bring a clone to its end as the engine does: start, ask, record what is finished, start again."""

    async def done() -> bool:
        nonlocal intent
        try:
            progress = await session.start_clone(intent)
        except RetryLater:
            return False
        assert progress.state is not OperationState.LOST
        known = tuple(dict.fromkeys((*intent.finished, *progress.finished)))
        intent = replace(intent, finished=known, handle=progress.handle or intent.handle)
        return progress.done

    await until(done)
    return intent


async def cloned(session: BackendSession, source: str, wish: Wish) -> CloneIntent:
    """Make one clone for a wish, frozen point included."""
    intent = wish.clone_intent(await frozen_point(session, source, wish))
    return await made(session, intent)


async def observed(session: BackendSession, stamp: Stamp) -> ObservedClone:
    """Return the one clone of an incarnation."""
    found = await session.find_clones(owner_of(stamp))
    assert len(found) == 1, f"{len(found)} clones instead of one"
    return found[0]


def ref_of(intent: CloneIntent) -> CloneRef:
    """Return a reference with all that the ledger has."""
    return CloneRef(stamp=intent.stamp, vm_name=intent.vm_name, handle=intent.handle)


def owner_of(stamp: Stamp) -> Owner:
    """Return the owner of one incarnation's objects."""
    return Owner(instance=stamp.instance, vmclone_uid=stamp.vmclone_uid, incarnation=stamp.incarnation)


def another_attempt(intent: CloneIntent) -> CloneIntent:
    """Return the same replica's next attempt, for which the ledger forgot the handle."""
    return replace(intent, token=fresh_token(), handle="")


async def removed(session: BackendSession, stamp: Stamp) -> None:
    """Delete a clone, as often as it takes."""
    await until(lambda: is_gone(session.delete_clone(ref_to(stamp))))
