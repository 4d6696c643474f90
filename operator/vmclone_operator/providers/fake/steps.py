"""Long work of the fake in as many steps as its profile says: an id first, and the point in time at the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vmclone_operator.domain.backend import CloneIntent, FreezeIntent, OperationState, Progress
from vmclone_operator.providers.fake.freezing import BEGUN

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmclone_operator.providers.fake.world import World


def freeze(world: World, intent: FreezeIntent, work: Callable[[], Progress]) -> Progress:
    """Take a step of a freeze."""
    if not world.profile.claims:
        return _paced(world, work())
    number = intent.handle.partition(" ")[0]
    if not number or not world.ids.take(number, intent.token):
        return _claimed(world)
    progress = replace(work(), handle=f"{number} {BEGUN}")
    if world.profile.point_at_end and not progress.done:
        progress = replace(progress, frozen=None)
    return _paced(world, progress)


def start_clone(world: World, intent: CloneIntent, work: Callable[[], Progress]) -> Progress:
    """Take a step of making a clone."""
    if world.profile.claims:
        number = intent.handle
        if not number or not world.ids.take(number, intent.stamp.incarnation):
            return _claimed(world)
        return _paced(world, replace(work(), handle=number))
    return _paced(world, work())


def _claimed(world: World) -> Progress:
    """Answer an id, and write nothing: the caller must have it before anything is made."""
    return Progress(state=OperationState.RUNNING, handle=world.ids.free())


def _paced(world: World, progress: Progress) -> Progress:
    if progress.state is not OperationState.RUNNING:
        return progress
    return replace(progress, again_seconds=world.profile.again_seconds)
