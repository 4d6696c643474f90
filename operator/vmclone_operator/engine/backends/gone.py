"""A VM is gone when the backend says so twice: the second answer is of a call that found nothing to remove."""

from __future__ import annotations

from vmclone_operator.domain.backend import BackendSession, CloneRef, Progress


async def removed_twice(session: BackendSession, ref: CloneRef) -> Progress:
    """Remove a clone a step on, and look again once it is said to be gone."""
    progress = await session.delete_clone(ref)
    return await session.delete_clone(ref) if progress.done else progress
